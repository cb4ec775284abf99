"""The parent process: starts workers, replaces those that end or hang, stops them all.

Source: docs/operating/serving.md, "Stopping"; docs/decisions/0026-one-transport.md.
"""

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, cast

from openpns.core import logs
from openpns.kit.stop_signals import OF_TERMINAL, stop_signals

_EARLY_S: Final = 5.0
"""A worker that ends sooner after its start has failed to start."""

_RETRY_S: Final = 1.0
_RETRY_S_MAX: Final = 30.0
_CHECKS_PER_TIMEOUT: Final = 4
"""How often heartbeats are read in the time after which a worker is killed."""
_KILL_AFTER_S: Final = 2
"""How long after `shutdown_grace_s` a worker that has not ended is killed."""


class Program(NamedTuple):
    """What some of the workers run.

    Attributes:
        module: Run with the descriptors as its arguments.
        workers: How many processes run it.
        first_line: What they read first from stdin, with its end: the settings, the master key.
        read_beats: Returns how often each has shown that its event loop runs, by its pid.
        is_vital: Whether the server stops if it cannot start; else it is tried again.
    """

    module: str
    workers: int
    descriptors: Sequence[int]
    first_line: bytes
    read_beats: Callable[[], dict[int, int]]
    is_vital: bool = True


class Supervisor:
    """Keeps a number of workers running.

    Args:
        listening: The socket that they share; this process keeps it, so that connections wait in
            its queue while no worker runs.
        worker_timeout_s: A worker whose heartbeat has stopped for so long is killed.
        reloads: Whether SIGHUP goes to the workers, to load their certificate again. Else it stops
            the server, as a closed terminal does; `nohup` protects it from that.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        listening: socket.socket,
        *,
        grace_s: int,
        worker_timeout_s: float,
        reloads: bool,
    ) -> None:
        self._programs = programs
        self._listening = listening
        self._worker_timeout_s = worker_timeout_s
        self._grace_s = grace_s
        self._reloads = reloads
        self._running: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()
        self._is_failed = False

    async def run(self) -> bool:
        """Run until SIGTERM, SIGINT or SIGHUP; return whether that is why it ended.

        Otherwise a worker has failed to start twice in a row, or this process has failed.
        """
        loop = asyncio.get_running_loop()
        for number in stop_signals():
            loop.add_signal_handler(number, self._stopping.set)
        if self._reloads:
            loop.add_signal_handler(signal.SIGHUP, self._signal, signal.SIGHUP)
        keepers = [
            asyncio.create_task(self._keep_one(program))
            for program in self._programs
            for _ in range(program.workers)
        ]
        watch = asyncio.create_task(self._watch())
        stop = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait((stop, watch, *keepers), return_when=asyncio.FIRST_COMPLETED)
        self._stopping.set()
        watch.cancel()
        for task in done:
            self._note_failure(task)
        self._listening.close()  # so that clients are refused, not kept waiting
        self._signal(signal.SIGTERM)
        _, late = await asyncio.wait(keepers, timeout=self._grace_s + _KILL_AFTER_S)
        if late:
            logs.logger().error("workers killed: they did not stop in time", workers=len(late))
            self._signal(signal.SIGKILL)
            await asyncio.wait(late)
        return not self._is_failed

    async def _keep_one(self, program: Program) -> None:
        """Run one worker after another until the stop."""
        failures = 0
        while not self._stopping.is_set():
            started_s = time.monotonic()
            try:
                process = await self._start(program)
            except OSError as error:  # no processes, no memory
                logs.logger().error("worker not started", why=error.strerror)
                await asyncio.sleep(_RETRY_S)
                continue
            self._running.add(process)
            if self._stopping.is_set():
                process.terminate()
            code = await process.wait()
            self._running.discard(process)
            if self._stopping.is_set():
                return
            logs.logger().error("worker ended; another one is started", pid=process.pid, code=code)
            failures = failures + 1 if time.monotonic() - started_s < _EARLY_S else 0
            if failures > 1 and not program.is_vital:
                await self._pause(min(_RETRY_S * 2**failures, _RETRY_S_MAX))
            elif failures > 1:
                logs.logger().error("stopping: workers cannot start")
                self._is_failed = True
                self._stopping.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _start(self, program: Program) -> asyncio.subprocess.Process:
        # The worker inherits this: what comes before it ignores or handles them must not end it.
        signal.pthread_sigmask(signal.SIG_BLOCK, OF_TERMINAL)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                program.module,
                *map(str, program.descriptors),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=program.descriptors,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_TERMINAL)
        # Not by its environment: that shows secrets to whatever it starts. stdin stays open.
        cast("asyncio.StreamWriter", process.stdin).write(program.first_line)
        return process

    async def _watch(self) -> None:
        """Kill workers whose heartbeat has stopped; `_keep_one` starts others.

        Time is counted in checks: while the whole server is suspended, there are none.
        """
        beats: dict[int, int] = {}
        missed: Counter[int] = Counter()
        while True:
            await asyncio.sleep(self._worker_timeout_s / _CHECKS_PER_TIMEOUT)
            before, beats = beats, {}
            for program in self._programs:
                beats |= program.read_beats()
            for process in [*self._running]:
                count = beats.get(process.pid, 0)  # 0 until it serves
                if not count or count != before.get(process.pid):
                    del missed[process.pid]
                    continue
                missed[process.pid] += 1
                if missed[process.pid] == _CHECKS_PER_TIMEOUT:
                    logs.logger().error("worker killed: its event loop hangs", pid=process.pid)
                    with contextlib.suppress(ProcessLookupError):  # it has just ended
                        process.kill()

    def _note_failure(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logs.logger().error("stopping: unexpected error", **logs.describe_error(error))
            self._is_failed = True

    def _signal(self, number: signal.Signals) -> None:
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                process.send_signal(number)
