import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from openpns.api.counters import Counters, create_counter_file, read_beats
from openpns.core import logs
from openpns.server import supervisor as module
from openpns.server.supervisor import Program, Supervisor


@pytest.fixture
def counters() -> Iterator[int]:
    descriptor = create_counter_file(2)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def program(counters: int) -> Program:
    return Program("this", 1, (counters,), b"\n", partial(read_beats, counters))


@pytest.fixture
def supervisor(program: Program) -> Iterator[Supervisor]:
    with socket.socket() as listening:
        yield Supervisor([program], listening, grace_s=1, worker_timeout_s=0.04, reloads=False)


@pytest.fixture(autouse=True)
def _hangup_is_handled() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("failing", ["_keep_one", "_watch"])
async def test_unexpected_error_ends_the_server_with_one_line(
    supervisor: Supervisor,
    failing: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def fail(*_: object) -> None:
        raise OSError("hunter22")

    async def wait(*_: object) -> None:
        await supervisor._stopping.wait()

    logs.configure("json", "info")
    for name in ("_keep_one", "_watch"):
        monkeypatch.setattr(supervisor, name, fail if name == failing else wait)
    assert await asyncio.wait_for(supervisor.run(), 10) is False
    (line,) = capsys.readouterr().err.splitlines()
    assert "stopping: unexpected error" in line
    assert "OSError" in line
    assert "hunter22" not in line


async def test_worker_starts_with_the_signals_of_a_terminal_blocked(
    supervisor: Supervisor, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = []

    async def note(*_: object, **__: object) -> None:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        raise BlockingIOError

    monkeypatch.setattr(asyncio, "create_subprocess_exec", note)
    with pytest.raises(BlockingIOError):
        await supervisor._start(program)
    assert masks[0] >= {signal.SIGINT, signal.SIGHUP}
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGINT, signal.SIGHUP}


class EndedWorker:
    """A worker with the pid of this process, that has ended by itself when it is killed."""

    pid = os.getpid()

    def __init__(self) -> None:
        self.kills = 0

    def kill(self) -> None:
        self.kills += 1
        raise ProcessLookupError


async def test_watch_kills_only_a_worker_whose_heartbeat_has_stopped(
    supervisor: Supervisor, counters: int
) -> None:
    row, worker = Counters(counters), EndedWorker()
    supervisor._running.add(worker)  # type: ignore[arg-type]
    watch = asyncio.create_task(supervisor._watch())
    await asyncio.sleep(0.2)  # it does not serve yet
    assert worker.kills == 0
    row.beat()
    for _ in range(200):
        await asyncio.sleep(0.01)
        if worker.kills:
            break
    await asyncio.sleep(0.2)
    assert worker.kills == 1
    assert not watch.done()
    watch.cancel()


@pytest.mark.parametrize("is_vital", [True, False])
async def test_only_a_vital_program_that_cannot_start_ends_the_server(
    supervisor: Supervisor, program: Program, is_vital: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.001)
    failing = program._replace(module="openpns.no_such_module", is_vital=is_vital)
    starts = 0
    start = supervisor._start

    async def count(program: Program) -> asyncio.subprocess.Process:
        nonlocal starts
        starts += 1
        if starts == 4:
            supervisor._stopping.set()
        return await start(program)

    monkeypatch.setattr(supervisor, "_start", count)
    await asyncio.wait_for(supervisor._keep_one(failing), 60)
    assert (supervisor._is_failed, starts) == ((True, 2) if is_vital else (False, 4))
