"""The servers that are measured: openpns and its peers, each a process of its own."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench import proc
from bench.databases import OPENPNS
from bench.figures import BenchError
from bench.requests import MASTER_KEY
from openpns.server.run import free_port

PEERS = Path(__file__).parent / "peers"
START_S = 30


@dataclass
class Server:
    """A server that runs.

    Attributes:
        name: Its name in the tables.
        process: Its first process.
        port: Where it answers.
        admin_port: Where openpns tells what it answered; None for peers.
        workers: The pids of openpns's workers.
    """

    name: str
    process: subprocess.Popen[bytes]
    port: int
    admin_port: int | None = None
    workers: tuple[int, ...] = ()

    def cpu_us(self) -> float:
        """Return the CPU that all its processes have used, in µs."""
        return proc.cpu_us(self.process.pid)

    def answered(self) -> dict[str, int]:
        """Return how many requests openpns has answered with each code; nothing for peers."""
        if self.admin_port is None:
            return {}
        url = f"http://127.0.0.1:{self.admin_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        codes: dict[str, int] = {}
        for code, count in re.findall(
            r'^openpns_requests_total\{.*code="(\d+)"\} (\S+)', text, re.M
        ):
            codes[code] = codes.get(code, 0) + int(float(count))
        return codes


@contextmanager
def openpns(
    name: str, url: str, folder: Path, *arguments: str, program: Sequence[str] = OPENPNS
) -> Iterator[Server]:
    """Run `openpns serve`, with metrics on.

    Args:
        name: Its name in the tables.
        url: The database.
        folder: Where its log goes.
        arguments: More options.
        program: What to run in the place of openpns.
    """
    command = [*program, "serve", "--database", url, "--port", "0", "--admin-port", "0"]
    with _run(name, [*command, *arguments], folder) as (process, log):
        count = int(arguments[arguments.index("--workers") + 1]) if "--workers" in arguments else 1
        _wait(process, log, rf"(?s)(worker ready.*?){{{count}}}")
        port = int(_wait(process, log, r":([0-9]+)/api/pns/")[1])
        admin_port = int(_wait(process, log, r":([0-9]+)/healthz")[1])
        pids = re.findall(r"worker ready\W.*pid\D+([0-9]+)", log.read_text("utf-8"))
        yield Server(name, process, port, admin_port, tuple(map(int, pids)))


@contextmanager
def started(name: str, url: str, folder: Path, port: int) -> Iterator[None]:
    """Run `openpns serve`, without waiting until it answers.

    Args:
        name: The name of its log.
        url: The database.
        folder: Where its log goes.
        port: Where it is to answer.
    """
    with _run(name, [*OPENPNS, "serve", "--database", url, "--port", str(port)], folder):
        yield


def one_commit(name: str, url: str, folder: Path) -> AbstractContextManager[Server]:
    """Run openpns with one commit for each write.

    Args:
        name: Its name in the tables.
        url: The database.
        folder: Where its log goes.
    """
    return openpns(name, url, folder, program=[sys.executable, str(PEERS / "one_commit.py")])


@contextmanager
def limit(name: str, body: bytes, folder: Path) -> Iterator[Server]:
    """Run the limit: the same bytes for every request.

    Args:
        name: Its name in the tables.
        body: The bytes.
        folder: Where its files go.
    """
    file = folder / f"{_slug(name)}.body"
    file.write_bytes(body)
    command = [sys.executable, str(PEERS / "limit.py"), str(file)]
    with _run(name, command, folder) as (process, log):
        port = int(_wait(process, log, r"serving http://[^:]+:([0-9]+)")[1])
        _wait_until_it_listens(process, port)
        yield Server(name, process, port)


@contextmanager
def framework(name: str, url: str, folder: Path, python: Path) -> Iterator[Server]:
    """Run the framework peer.

    Args:
        name: Its name in the tables.
        url: The PostgreSQL database.
        folder: Where its log goes.
        python: The Python that has the peers' packages.
    """
    _, port = free_port("port", "127.0.0.1", 0)
    command = [str(python), str(PEERS / "framework.py"), url, str(port)]
    with _run(name, command, folder) as (process, _):
        _wait_until_it_listens(process, port)
        yield Server(name, process, port)


@contextmanager
def datasette(name: str, file: Path, folder: Path, python: Path) -> Iterator[Server]:
    """Run Datasette on an SQLite file.

    Args:
        name: Its name in the tables.
        file: The file.
        folder: Where its log goes.
        python: The Python that has the peers' packages.
    """
    _, port = free_port("port", "127.0.0.1", 0)
    command = [
        str(python), "-m", "datasette", "serve", str(file), "--host", "127.0.0.1",
        "--port", str(port), "--setting", "suggest_facets", "off",
        "--setting", "default_cache_ttl", "0",
    ]  # fmt: skip
    with _run(name, command, folder) as (process, _):
        _wait_until_it_listens(process, port)
        yield Server(name, process, port)


@cache
def can_serve_without_cache() -> bool:
    """Tell whether `openpns serve` has the option --no-cache."""
    done = subprocess.run([*OPENPNS, "serve", "--help"], capture_output=True, check=True)
    return b"--no-cache" in done.stdout


def without_cache() -> tuple[str, ...]:
    """Return the option by which openpns caches nothing; none if it has no cache."""
    return ("--no-cache",) if can_serve_without_cache() else ()


@contextmanager
def _run(
    name: str, command: Sequence[str], folder: Path
) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """Run a program until the end of the block; what it prints goes into the log."""
    log = folder / f"{_slug(name)}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OPENPNS_MASTER_KEY": MASTER_KEY},
            cwd=PEERS.parents[1],
        )
        try:
            yield process, log
        finally:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: "subprocess.Popen[bytes]", log: Path, pattern: str) -> re.Match[str]:
    for _ in range(START_S * 50):
        found = re.search(pattern, log.read_text("utf-8"))
        if found:
            return found
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise BenchError(f"a server does not start: {log.read_text('utf-8')[-2000:]}")


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> None:
    for _ in range(START_S * 50):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.02)
        else:
            return
    raise BenchError(f"nothing listens on port {port}: {process.args!r}")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())
