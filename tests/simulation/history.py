"""Could these responses have been given if each request took effect at one moment while it ran?

That is linearizability (Herlihy and Wing, "Linearizability: a correctness condition for
concurrent objects", 1990). It covers everything that is promised of a read: it misses no write that
was acknowledged before it began, and shows nothing that a later read does not have.

A history is checked object by object, which is enough: a history is linearizable if and only if
what it holds of each object is (their theorem of locality). There are two kinds of objects, see
`model`. All groups of one customer are one object, for a page shows many of them and their total
at one moment. An access key with its customer's state is another. A request uses both, and counts
as an operation of each: its check of the key and its action each have one moment.

The search is that of Wing and Gong in Lowe's order ("Testing for linearizability", 2017): the
events are gone through in the order of time, with every state that the writes so far can have led
to, and a write that still runs is put into the order only when an answer asks for it. A read
changes nothing, so it is put in as soon as it fits: only orders of writes that run at the same
time are tried, and of these there are few.

A history is pure data. Times are of one clock that never goes back, such as
`time.monotonic_ns`.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

CONFIGURATIONS_MAX = 20_000


class Act(Protocol):
    """What an operation did, and the response to it."""

    @property
    def writes(self) -> bool:
        """Whether it may change the object."""
        ...

    def step(self, state: Any) -> Any:
        """Return the state after it; None if it gets another response in that state."""
        ...


@dataclass(frozen=True, eq=False)
class Operation:
    """An act that began and ended, as the client saw it."""

    start: int
    end: int
    act: Any


@dataclass(frozen=True)
class Violation:
    """An operation whose response fits no order, and what is known of the states around it."""

    operation: Operation
    possible: list[Any]
    """Every state that the object can have had when it ended."""
    past: list[tuple[Any, Operation]]
    """States before these, oldest first, each with a write that ended it."""


class TooManyOrders(Exception):
    """So many writes run at the same time that the history cannot be checked."""


def check(operations: Iterable[Operation], initial: Hashable) -> Violation | None:
    """Return the first operation on an object whose response fits no order; None if all fit."""
    events = []
    for number, operation in enumerate(operations):
        assert operation.start <= operation.end, operation
        # If times are equal, a begin comes before an end: that orders less.
        events.append((operation.start, 0, number, operation))
        events.append((operation.end, 1, number, operation))
    search = _Search({(initial, frozenset())})
    for _time, is_end, _number, operation in sorted(events, key=lambda event: event[:3]):
        if not is_end:
            search.running[operation] = None
        elif not search.end(operation):
            possible = list(dict.fromkeys(state for state, _ in search.reached))
            return Violation(operation, possible, search.past)
    return None


@dataclass
class _Search:
    """The configurations that can be: a state, and which running operations are in it."""

    configurations: set[tuple[Any, frozenset[Operation]]]
    running: dict[Operation, None] = field(default_factory=dict)
    reached: set[tuple[Any, frozenset[Operation]]] = field(default_factory=set)
    past: list[tuple[Any, Operation]] = field(default_factory=list)

    def end(self, ended: Operation) -> bool:
        """Keep the configurations that include an operation; return whether there are any."""
        self.reached = set(self.configurations)
        to_do, kept = list(self.configurations), set()
        while to_do:
            state, done = to_do.pop()
            done |= self._fitting_reads(state, done)
            if ended in done:
                kept.add((state, done - {ended}))
            else:
                to_do += self._after_one_write(state, done)
            if len(self.reached) > CONFIGURATIONS_MAX:
                raise TooManyOrders(f"{len(self.running)} operations at the same time")
        del self.running[ended]
        self.configurations = kept
        return bool(kept)

    def _fitting_reads(self, state: Any, done: frozenset[Operation]) -> set[Operation]:
        return {
            other
            for other in self.running
            if not other.act.writes and other not in done and other.act.step(state) is not None
        }

    def _after_one_write(
        self, state: Any, done: frozenset[Operation]
    ) -> Iterable[tuple[Any, frozenset[Operation]]]:
        for write in self.running:
            if write.act.writes and write not in done:
                after = write.act.step(state)
                configuration = (after, done | {write})
                if after is not None and configuration not in self.reached:
                    self.reached.add(configuration)
                    self.past.append((state, write))
                    yield configuration
