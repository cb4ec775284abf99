"""Turns of the event loop: connections that have received something are parsed and answered.

Known connections and strangers wait in lines of their own, and in each line places take turns. So a
crowd of strangers, however large, delays a known connection by the rest of a turn, and another
stranger by one connection of each place.

Source: docs/decisions/0064-lines-of-strangers.md.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from openpns.kit.turns import TurnQueue

if TYPE_CHECKING:
    from openpns.transport.connection import Connection
    from openpns.transport.tls import TlsTransport

_TURN_S: Final = 0.0025
"""How long the line of known connections parses in a turn, and how long it then answers."""
_STRANGERS_S: Final = 0.0005
"""The same for strangers, after them."""
_FEW: Final = 32
"""So many go on in the order of their arrival: turns of places take a twentieth of the time of a
small response."""

Work: TypeAlias = "Connection | TlsTransport"
_WorkT = TypeVar("_WorkT", bound="Connection | TlsTransport")


class Answering:
    """The connections of a listener that are to be parsed and answered."""

    def __init__(self) -> None:
        self._known = _Line(_TURN_S)
        self._strangers = _Line(_STRANGERS_S)
        self._is_waiting = False

    def add(self, work: Work, connection: "Connection") -> None:
        """Let a connection, or its TLS, go on after what is received in this turn of the loop."""
        line = self._known if connection.is_known else self._strangers
        line.arrived.append((work, connection))
        if not self._is_waiting:
            self._is_waiting = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        for line in self._known, self._strangers:
            if line.has_more:
                for work, connection in line.run():
                    self.add(work, connection)
        self._is_waiting = self._known.has_more or self._strangers.has_more
        if self._is_waiting:
            asyncio.get_running_loop().call_soon(self._run)


class _Line:
    def __init__(self, turn_s: float) -> None:
        self.arrived: deque[tuple[Work, Connection]] = deque()
        """Those that wait since the last turn."""
        self._turn_s = turn_s
        self._queue: TurnQueue[tuple[Work, Connection]] = TurnQueue()

    @property
    def has_more(self) -> bool:
        """Whether something waits."""
        return bool(self.arrived or self._queue)

    def run(self) -> list[tuple[Work, "Connection"]]:
        """Answer connections until the time is over; return those that go on in another turn."""
        batch: list[tuple[Work, Connection]] = []
        arrived, queue = self.arrived, self._queue
        if queue or len(arrived) > _FEW:
            for entry in arrived:
                queue.add(entry[1].place, entry)
            arrived.clear()
        until_s = perf_counter() + self._turn_s
        # All are parsed, then all are answered: the same work in a row is quicker.
        while (arrived or queue) and perf_counter() < until_s:
            batch.append(arrived.popleft() if arrived else queue.take())
            work = batch[-1][0]
            try:
                work.parse()
            except Exception as error:  # noqa: BLE001 - it is not to harm the others
                fail(work, error)
        until_s += self._turn_s
        answered = 0
        going_on = []
        for entry in batch:
            if answered and perf_counter() > until_s:
                break
            answered += 1
            try:
                if entry[0].answer():
                    going_on.append(entry)
            except Exception as error:  # noqa: BLE001 - it is not to harm the others
                fail(entry[0], error)
        for entry in reversed(batch[answered:]):
            queue.put_back(entry[1].place, entry)
        # Written one after the other, the responses wake a client once and not for each.
        for_each((work for work, _ in batch[:answered]), lambda work: work.flush())
        return going_on


def for_each(connections: Iterable[_WorkT], work: Callable[[_WorkT], None]) -> None:
    """Do something with connections; what fails for one is not to harm the others."""
    for connection in connections:
        try:
            work(connection)
        except Exception as error:  # noqa: BLE001 - see above
            fail(connection, error)


def fail(connection: Work, error: Exception) -> None:
    """Close a connection whose code failed."""
    logging.getLogger(__name__).error("connection closed: it failed", exc_info=error)
    connection.abort()
