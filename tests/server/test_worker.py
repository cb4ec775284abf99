import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openpns.api.counters import create_counter_file
from openpns.core import logs
from openpns.errors import ConfigError
from openpns.server import worker
from openpns.server.settings import Settings


@pytest.fixture(autouse=True)
def _signals_are_handled() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """The process's bound on open files, soft and hard; may be raised to the hard one."""
    bound = {"files": (1024, 65536)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: bound["files"])

    def set_limit(_: int, wanted: Any) -> None:
        bound["files"] = wanted

    monkeypatch.setattr(resource, "setrlimit", set_limit)
    return bound


def test_worker_raises_its_bound_on_open_files(limit: dict[str, tuple[int, int]]) -> None:
    bounds = worker.bounds(Settings(database="x", connections_max=5000))
    assert worker._with_descriptors(bounds).connections_max == 5000
    assert limit["files"][0] > 5000


def test_worker_accepts_fewer_connections_if_it_may_open_few_files(
    limit: dict[str, tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json", "info")
    limit["files"] = (1024, 2000)
    bounds = worker.bounds(Settings(database="x", connections_max=5000))
    assert worker._with_descriptors(bounds).connections_max == 2000 - 256
    assert "fewer connections than connections_max" in capsys.readouterr().err


def test_one_body_is_always_admitted() -> None:
    settings = Settings(database="x", body_bytes_max=100_000, receive_buffer_bytes_max=1024)
    assert worker.bounds(settings).received_bytes_max == 100_000


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(24, "Too many open files"), "Too many open files"),
        (ConfigError("database: is away"), "database: is away"),
        (ValueError("hunter22"), "ValueError"),
    ],
)
def test_worker_that_fails_logs_one_line(
    error: Exception,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(worker, "_wait_until_usable", fail)
    settings = Settings(database="x", core_dumps="on")
    (tmp_path / "stdin").write_bytes(worker.first_line(settings, None))
    counters = create_counter_file(1)
    listening = socket.socket().detach()
    monkeypatch.setattr("sys.argv", ["", str(listening), str(counters)])
    with (tmp_path / "stdin").open("rb") as stdin:
        monkeypatch.setattr(worker, "open", lambda *_, **__: stdin, raising=False)
        with pytest.raises(SystemExit) as ended:
            worker.main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert shown in line
    assert "hunter22" not in line
