"""What the operating system tells of processes: CPU and memory, from /proc (Linux)."""

import os
import re
from pathlib import Path

_TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM, _WAITED_USER, _WAITED_SYSTEM = 11, 12, 13, 14


def tree(pid: int) -> list[int]:
    """Return a process and all that came from it and still run.

    Args:
        pid: The process.
    """
    found = [pid]
    for task in _files(Path(f"/proc/{pid}/task"), "*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in children:
            found += tree(int(child))
    return found


def cpu_us(pid: int) -> float:
    """Return the CPU that a process and all below it have used, user and system, in µs.

    The system counts in steps of 10 ms. What ended before is counted as well, once its parent has
    taken note of it.

    Args:
        pid: The process.
    """
    total = 0
    for each in tree(pid):
        fields = _stat(each)
        total += sum(fields[place] for place in (_USER, _SYSTEM, _WAITED_USER, _WAITED_SYSTEM))
    return total * _TICK_US


def resident_mib(pid: int, *, peak: bool = False) -> float:
    """Return a process's resident memory.

    Args:
        pid: The process.
        peak: The most that it ever was, rather than what it is.
    """
    name = "VmHWM" if peak else "VmRSS"
    found = re.search(rf"{name}:\s+([0-9]+)", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise RuntimeError(f"no {name} of process {pid}")
    return int(found[1]) / 1024


def _stat(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return [0] * 15
    # After the name, which may hold anything but ends with the last bracket, and the state.
    return [0, *(int(field) for field in text.rpartition(")")[2].split()[1:16])]


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []
