"""Keep the memory of a process, which holds secrets, from other programs of the same user."""

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def forbid_core_dumps() -> None:
    """Let the system write no core file of this process and of those that it starts.

    On Linux also forbid debuggers, and reading the process's environment in /proc, to all but root;
    a process that this one starts has to call this again for that.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # A core limit of 0 does not stop a program that the system hands cores to.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
