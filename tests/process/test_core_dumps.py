import subprocess
import sys

import pytest

FORBID = """
import ctypes, resource, sys
from openpns.process.core_dumps import forbid_core_dumps
forbid_core_dumps()
print(*resource.getrlimit(resource.RLIMIT_CORE))
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else "")
"""


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """The core limit of a process after the function, and whether it is dumpable."""
    return subprocess.check_output([sys.executable, "-c", FORBID], text=True).splitlines()


def test_core_limit_is_zero(printed: list[str]) -> None:
    assert printed[0] == "0 0"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the flag")
def test_process_is_not_dumpable(printed: list[str]) -> None:
    assert printed[1] == "0"
