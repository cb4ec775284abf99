"""The parent process: starts workers, replaces those that end, stops them all.

Source: docs/operating/serving.md, "Stopping"; docs/decisions/0026-one-transport.md.
"""

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import Final

from openpns.core import logs

_EARLY_S: Final = 5.0
"""A worker that ends sooner after its start has failed to start."""

_RETRY_S: Final = 1.0
_KILL_AFTER_S: Final = 2
"""How long after `shutdown_grace_s` a worker that has not ended is killed."""


class Supervisor:
    """Keeps a number of workers running.

    Args:
        listening: The socket that they share; this process keeps it, so that connections wait in
            its queue while no worker runs.
        counters: The descriptor of their counters.
        environ: Their environment: it holds the settings.
        reloads: Whether SIGHUP goes to the workers, to load their certificate again. Else it stops
            the server, as a closed terminal does; `nohup` protects it from that.
    """

    def __init__(
        self,
        workers: int,
        listening: socket.socket,
        counters: int,
        environ: Mapping[str, str],
        grace_s: int,
        *,
        reloads: bool,
    ) -> None:
        self._count = workers
        self._listening = listening
        self._counters = counters
        self._environ = environ
        self._grace_s = grace_s
        self._reloads = reloads
        self._running: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()
        self._is_failed = False

    async def run(self) -> bool:
        """Run until SIGTERM, SIGINT or SIGHUP; return whether that is why it ended.

        Otherwise a worker has failed to start twice in a row.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        if self._reloads:
            loop.add_signal_handler(signal.SIGHUP, self._signal, signal.SIGHUP)
        elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._stopping.set)
        keepers = [asyncio.create_task(self._keep_one()) for _ in range(self._count)]
        await self._stopping.wait()
        self._listening.close()  # so that clients are refused, not kept waiting
        self._signal(signal.SIGTERM)
        _, late = await asyncio.wait(keepers, timeout=self._grace_s + _KILL_AFTER_S)
        if late:
            logs.logger().error("workers killed: they did not stop in time", workers=len(late))
            self._signal(signal.SIGKILL)
            await asyncio.wait(late)
        return not self._is_failed

    async def _keep_one(self) -> None:
        """Run one worker after another until the stop."""
        failures = 0
        while not self._stopping.is_set():
            started_s = time.monotonic()
            try:
                process = await self._start()
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
            if failures > 1:
                logs.logger().error("stopping: workers cannot start")
                self._is_failed = True
                self._stopping.set()

    async def _start(self) -> asyncio.subprocess.Process:
        descriptors = (self._listening.fileno(), self._counters)
        # The worker inherits this: a SIGHUP that comes before it handles that must not end it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "openpns.server.worker",
                *map(str, descriptors),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=descriptors,
                env=self._environ,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _signal(self, number: signal.Signals) -> None:
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                process.send_signal(number)
