"""Wait until a test run has ended; then stop its PostgreSQL servers and remove its folder.

Run as a program: the run holds the other end of the standard input, which closes with it.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

WAIT_S = 20


def main(folder: Path) -> None:
    sys.stdin.read()
    # Also those of tests that were ended before they could stop theirs.
    pid_files = [*folder.rglob("postmaster.pid")]
    for pid_file in pid_files:
        try:
            os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGQUIT)
        except (OSError, ValueError, IndexError):
            pid_file.unlink(missing_ok=True)
    end = time.monotonic() + WAIT_S
    while any(pid_file.exists() for pid_file in pid_files) and time.monotonic() < end:
        time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
