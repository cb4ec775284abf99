"""Renew what a forked process must not share with its parent."""

import os
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


def _renew_all() -> None:
    for renewable in list(_renewed.values()):
        renewable.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_renew_all)
