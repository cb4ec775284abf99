"""Deleting expired rows, by a time that a clock which is wrong for a while does not change."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from openpns.clock import Clock
from openpns.core import usage
from openpns.core.context import Services
from openpns.ids import worker_of
from openpns.storage.store import Statement, Transaction

CONFIRM_S: Final = 600.0
"""How long the wall clock must have run ahead before rows are deleted by it."""

_ROWS_EACH: Final = 1000
"""At most the number that the statements name, or a run would seem to be the last one."""


class SteadyTime:
    """The wall clock without its jumps ahead, until one has lasted for CONFIRM_S.

    A clock that is ahead for a while would else expire what is needed once it is right again, such
    as the record of a write whose `ts` is still fresh then.

    Args:
        monotonic: A clock that never jumps, in seconds.
    """

    def __init__(self, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._begin_s: float | None = None
        self._offsets: deque[tuple[float, float]] = deque()
        """When it was read, and the wall clock less the monotonic clock, in ms."""

    def read(self) -> int | None:
        """Return the time in ms since 1970 UTC, to be read periodically.

        It is the earliest that any reading for CONFIRM_S allows; None until there are readings for
        so long.
        """
        at_s = self._monotonic()
        if self._begin_s is None:
            self._begin_s = at_s
        self._offsets.append((at_s, self._clock() - at_s * 1000))
        # The last one from before counts, too: this process may have been stopped since.
        while len(self._offsets) > 1 and self._offsets[1][0] <= at_s - CONFIRM_S:
            self._offsets.popleft()
        if at_s - self._begin_s < CONFIRM_S:
            return None
        return int(at_s * 1000 + min(offset for _, offset in self._offsets))


async def delete_expired(
    services: Services, statement: str, params: dict[str, Any], counted: str = ""
) -> None:
    """Run a statement that deletes at most `:at_most` rows until it deletes fewer.

    Args:
        counted: The count of each customer that has these rows, if any; then the statement returns
            their customers.
    """
    # Here, not in the steps: SQLite's writer runs them in a thread of its own.
    worker_id = worker_of(services.ids.request_id()) if counted else usage.OPERATOR

    def steps() -> Transaction[int]:
        rows = yield Statement(statement, params | {"at_most": _ROWS_EACH})
        if counted and rows:
            yield usage.delete(counted, [row[0] for row in rows], worker_id)
        return len(rows)

    while await services.store.write(steps) == _ROWS_EACH:
        pass
