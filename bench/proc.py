"""CPU and memory of processes, and facts of the machine (Linux)."""

import os
import platform
import re
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import apsw

_FLUSHES = 50
_PEERS = ("fastapi", "pydantic", "sqlalchemy", "asyncpg", "uvicorn", "granian")


def tree(pid: int) -> list[int]:
    """Return a process and all running processes below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in children:
            found += tree(int(child))
    return found


def cpu_us(pid: int) -> float:
    """Return the user and system time of a process and all that run below it, in µs."""
    return sum(_clock_us(each) for each in tree(pid))


def _clock_us(pid: int) -> float:
    try:
        # The id of another process's CPU clock, as clock_getcpuclockid makes it: exact to 1 ns,
        # whereas /proc/PID/stat counts steps of 10 ms.
        return time.clock_gettime_ns(~pid << 3 | 2) / 1000
    except OSError:  # the process has ended
        return 0.0


def memory_mib(pid: int, name: str = "VmRSS") -> float:
    """Return a memory figure of a process, in MiB.

    Args:
        pid: The process.
        name: `VmRSS` (resident), `VmHWM` (the peak of it) or `Pss` (pages that processes share
            are divided among them).
    """
    file = "smaps_rollup" if name == "Pss" else "status"
    found = re.search(rf"^{name}:\s+([0-9]+)", Path(f"/proc/{pid}/{file}").read_text(), re.M)
    if found is None:
        raise RuntimeError(f"no {name} of process {pid}")
    return int(found[1]) / 1024


def facts(folder: Path, postgres_version: str, python: Path) -> dict[str, str]:
    """Return what the figures depend on.

    Args:
        folder: The folder of the databases.
        postgres_version: PostgreSQL's.
        python: The Python that has the peers' packages.
    """
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text("utf-8"))
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _output("git", "describe", "--always", "--dirty", "--exclude=*"),
        "CPU": f"{os.cpu_count()} × {found[1] if found else platform.machine()}",
        "kernel": platform.release(),
        "fsync": f"{_flush_ms(folder):.2f} ms",
        "Python": platform.python_version(),
        "openpns": version("openpns"),
        "SQLite": apsw.sqlite_lib_version(),
        "PostgreSQL": postgres_version,
        "wrk": _output("wrk", "-v").partition(" ")[2].partition(" ")[0],
        **_peer_versions(python),
    }


def _flush_ms(folder: Path) -> float:
    """Return how long a small write to the disk takes."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_FLUSHES):
            file.write(b"x" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return median(times) * 1000


def _peer_versions(python: Path) -> dict[str, str]:
    code = f"from importlib.metadata import version\nfor n in {_PEERS}: print(version(n))"
    return dict(zip(_PEERS, _output(str(python), "-c", code).split(), strict=True))


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
