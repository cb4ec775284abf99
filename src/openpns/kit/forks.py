"""Renew what a forked process must not share with its parent."""

import os
from contextlib import suppress
from itertools import count
from typing import Protocol
from weakref import WeakValueDictionary


class Renewable(Protocol):
    """An object with locks, connections or the like."""

    def after_fork(self) -> None:
        """Renew it, in the child, before any other code of the program runs there.

        It must not wait for a lock: a thread that does not exist in the child may hold it.
        """


_renewed: "WeakValueDictionary[int, Renewable]" = WeakValueDictionary()
_places = count()


def renew_after_fork(renewable: Renewable) -> None:
    """Call `after_fork` of an object in each child that is forked while the object exists.

    Objects are renewed in the order in which they were passed.
    """
    _renewed[next(_places)] = renewable


def give_up(descriptor: int) -> None:
    """Let a descriptor that a child has inherited read and write nothing: /dev/null.

    The parent's file is then the parent's only: it ends when the parent closes it. The descriptor
    stays open, because inherited objects that have its number may close it.
    """
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)


def _renew_all() -> None:
    for renewable in list(_renewed.values()):
        renewable.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_renew_all)
