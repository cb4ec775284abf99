import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from openpns.kit import counter_rows

HOLD = """
import sys
from openpns.kit import counter_rows
cells = counter_rows.claim_row(int(sys.argv[1]), 3)
cells[1] += 7
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file() -> Iterator[int]:
    descriptor = counter_rows.create_file(2, 3)
    yield descriptor
    os.close(descriptor)


def test_rows_of_several_processes_are_read_together(file: int) -> None:
    own = counter_rows.claim_row(file, 3)
    own[0] = 5
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[file],
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        assert list(counter_rows.read_rows(file)) == [5, 0, 0, 0, 7, 0]
        other.kill()
        other.wait()
    # The row of a process that has ended is free, and keeps its counts.
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[file],
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        assert list(counter_rows.read_rows(file)) == [5, 0, 0, 0, 14, 0]
        other.kill()


def test_row_without_a_file_is_of_this_process_alone() -> None:
    cells = counter_rows.claim_row(None, 3)
    cells[2] = 1
    assert list(cells) == [0, 0, 1]
