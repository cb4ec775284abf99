"""Renew what a forked process must not share with its parent."""

import os
import threading
from contextlib import ExitStack, suppress
from itertools import count
from typing import Protocol
from weakref import WeakValueDictionary


class Renewable(Protocol):
    """An object with locks, connections or the like."""

    def after_fork(self) -> None:
        """Renew it, in the child, before any other code uses it there.

        It must not wait for a lock: a thread that does not exist in the child may hold it. It may
        be called more than once.
        """


class Descriptor:
    """A file descriptor, and which file it was opened for: a closed one's number is used again.

    Raises:
        OSError: It is not open.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._file = self._identify()

    def close(self) -> None:
        """Close it, if it is still of the same file."""
        with suppress(OSError):
            if self._identify() == self._file:
                os.close(self._number)

    def give_up(self) -> None:
        """Let it read and write nothing (/dev/null), if it is still of the same file.

        The parent's file is then the parent's only: it ends when the parent closes it. The
        descriptor stays open, because inherited objects that have its number may close it.
        """
        with suppress(OSError):
            if self._identify() == self._file:
                nothing = os.open(os.devnull, os.O_RDWR)
                os.dup2(nothing, self._number, inheritable=False)
                os.close(nothing)

    def _identify(self) -> tuple[int, int]:
        status = os.fstat(self._number)
        return status.st_dev, status.st_ino


_renewed: "WeakValueDictionary[int, Renewable]" = WeakValueDictionary()
_places = count()
_process = os.getpid()
"""For which process all objects have been renewed."""
_locks: dict[int, threading.RLock] = {}
"""By process: a child waits for no lock of its parent."""


def renew_after_fork(renewable: Renewable) -> None:
    """Call `after_fork` of an object in each child that is forked while the object exists.

    Objects are renewed in the order in which they were passed.
    """
    _renewed[next(_places)] = renewable


def renew_if_forked() -> None:
    """Renew all objects if this process was forked without Python, and has not renewed them yet.

    Python calls its hooks only if Python forks; uWSGI forks itself. So each object calls this
    before it uses what a child must not share.
    """
    process = os.getpid()
    if process != _process:
        with _locks.setdefault(process, threading.RLock()):
            if process != _process:
                _renew_all()


def _renew_all() -> None:
    """Renew all objects, also after one that raises; then raise its error.

    In that case the next use renews them again: it must not go on with the parent's.
    """
    global _process  # noqa: PLW0603 - what a process is, is known to the module only
    with ExitStack() as stack:
        for find in reversed(list(_renewed.valuerefs())):
            renewable = find()
            if renewable is not None:
                stack.callback(renewable.after_fork)
    _process = os.getpid()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_renew_all)
