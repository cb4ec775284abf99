"""The servers that are measured: openpns and its peers, each a process of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import proc
from bench.figures import BenchError
from bench.requests import MASTER_KEY

PEERS = Path(__file__).parent / "peers"
_OPENPNS = (sys.executable, "-c", "from openpns.cli.main import main; main()")
_START_S = 30


@dataclass
class Server:
    """A server that runs.

    Attributes:
        side: Its name in the tables.
        pid: Its first process.
        port: Where it answers.
        admin_port: Where openpns shows what it answered; None for peers.
        on_postgres: Whether PostgreSQL works for it.
    """

    side: str
    pid: int
    port: int
    admin_port: int | None = None
    on_postgres: bool = False

    def codes(self, action: str = "") -> dict[str, int]:
        """Return how many requests openpns has answered with each code; nothing for peers.

        Args:
            action: Count requests of this action only; empty for all.
        """
        codes: dict[str, int] = {}
        label = action or r'[^"]*'
        counted = rf'^openpns_requests_total{{action="{label}",code="(\d+)"}} (\S+)'
        for code, count in re.findall(counted, self._metrics(), re.M):
            codes[code] = codes.get(code, 0) + int(float(count))
        return codes

    def gauge(self, name: str) -> float:
        """Return a gauge of openpns.

        Raises:
            BenchError: It has no such gauge.
        """
        found = re.search(rf"^{name} (\S+)", self._metrics(), re.M)
        if found is None:
            raise BenchError(f"{self.side} has no gauge {name}")
        return float(found[1])

    def _metrics(self) -> str:
        """Return the metrics of openpns; nothing for peers."""
        if self.admin_port is None:
            return ""
        return metrics(self.admin_port)


@contextmanager
def openpns(
    side: str, url: str, folder: Path, *arguments: str, prefix: Sequence[str] = ()
) -> Iterator[Server]:
    """Run `openpns serve`, with metrics on.

    Args:
        side: Its name in the tables.
        url: The database.
        folder: Where its log goes.
        arguments: More options.
        prefix: A program that runs it.
    """
    port, admin_port = free_port(), free_port()
    ports = ("--port", str(port), "--admin-port", str(admin_port))
    command = [*prefix, *_OPENPNS, "serve", "--database", url, *ports, *arguments]
    with run(side, command, folder) as process:
        _wait(process, lambda: _connect(port))
        _wait(process, lambda: _get(f"http://127.0.0.1:{admin_port}/readyz"))
        yield Server(side, process.pid, port, admin_port, url.startswith("postgres"))


@contextmanager
def command(name: str, folder: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run an `openpns` command until the end of the block."""
    with run(name, [*_OPENPNS, *arguments], folder) as process:
        yield process


def wait_until_ready(process: "subprocess.Popen[bytes]", admin_port: int) -> None:
    """Wait until an admin port says that its process is ready."""
    _wait(process, lambda: _get(f"http://127.0.0.1:{admin_port}/readyz"))


def metrics(admin_port: int) -> str:
    """Return the metrics of an admin port."""
    return _get(f"http://127.0.0.1:{admin_port}/metrics")


@contextmanager
def peer(
    side: str, script: str, python: Path, folder: Path, argument: str, *, on_postgres: bool = False
) -> Iterator[Server]:
    """Run a program of `peers`.

    Args:
        side: Its name in the tables.
        script: The program's file.
        python: The Python that has the peers' packages.
        folder: Where its log goes.
        argument: What the program needs besides its port.
        on_postgres: Whether PostgreSQL works for it.
    """
    port = free_port()
    with run(side, [str(python), str(PEERS / script), str(port), argument], folder) as process:
        _wait(process, lambda: _connect(port))
        yield Server(side, process.pid, port, None, on_postgres)


@contextmanager
def serving(url: str, folder: Path, port: int) -> Iterator[None]:
    """Run `openpns serve` without waiting until it answers."""
    with run("start", [*_OPENPNS, "serve", "--database", url, "--port", str(port)], folder):
        yield


@contextmanager
def run(name: str, command: Sequence[str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program until the end of the block; what it prints goes into a log."""
    log = folder / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OPENPNS_MASTER_KEY": MASTER_KEY},
            cwd=PEERS.parents[1],
        )
        try:
            yield process
        except BenchError as error:
            error.add_note(f"log of {name}: {log.read_text('utf-8', 'replace')[-2000:]}")
            raise
        finally:
            # strace does not pass a signal on.
            place = 1 if command[0] == "strace" else 0
            for pid in proc.tree(process.pid)[place : place + 1]:
                os.kill(pid, signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - always http
        return str(answer.read().decode())


def _wait(process: "subprocess.Popen[bytes]", probe: Callable[[], object]) -> None:
    """Wait until a probe raises no OSError."""
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        try:
            probe()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise BenchError(f"a server does not start: {process.args!r}")


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
