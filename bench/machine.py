"""Facts of the machine and the programs, without which figures mean nothing."""

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import apsw

from bench.databases import postgres_version

_FLUSHES = 50


def facts(folder: Path, postgres: str, python: Path) -> dict[str, object]:
    """Return what the results depend on.

    Args:
        folder: Where the databases are.
        postgres: The PostgreSQL server's URL.
        python: The Python that has the peers' packages.
    """
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text("utf-8"))
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": os.cpu_count(),
        "cpu": found[1] if found else platform.machine(),
        "kernel": platform.release(),
        "fsync_ms": round(_flush_ms(folder), 2),
        "python": platform.python_version(),
        "openpns": version("openpns"),
        "granian": version("granian"),
        "sqlite": apsw.sqlite_lib_version(),
        "postgresql": postgres_version(postgres),
        "wrk": _wrk_version(),
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


def _wrk_version() -> str:
    done = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    found = re.search(r"wrk (\S+)", done.stdout)
    return found[1] if found else "unknown"


def _peer_versions(python: Path) -> dict[str, str]:
    names = ("fastapi", "pydantic", "sqlalchemy", "asyncpg", "uvicorn", "datasette")
    code = f"from importlib.metadata import version\nfor n in {names}: print(version(n))"
    printed = subprocess.check_output([str(python), "-c", code], text=True).split()
    return dict(zip(names, printed, strict=True))


def is_linux() -> bool:
    """Tell whether /proc can be read."""
    return sys.platform == "linux"
