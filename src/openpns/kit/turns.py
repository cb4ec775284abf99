"""Turns by owner: a queue that serves owners in rotation, and places that they share."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from openpns.errors import Overloaded

ItemT = TypeVar("ItemT")


class TurnQueue(Generic[ItemT]):
    """Items that wait, each with its owner; owners take turns, the items of one keep their order.

    It has no lock: its users have one, or run on one event loop.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[ItemT]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def count(self, owner: str) -> int:
        """Return how many items of an owner wait."""
        return len(self._waiting.get(owner, ()))

    @property
    def next_owner(self) -> str:
        """The owner whose turn is next; empty if nothing waits."""
        return next(iter(self._waiting), "")

    def owners(self) -> list[str]:
        """Return the owners of waiting items, the next one first."""
        return list(self._waiting)

    def add(self, owner: str, item: ItemT) -> None:
        """Add an item; a new owner's turn is after those of all others."""
        self._waiting.setdefault(owner, deque()).append(item)
        self._length += 1

    def take(self, owner: str | None = None) -> ItemT:
        """Remove and return the first item of the next owner, or of this one; its turn is over.

        Raises:
            LookupError: No item waits.
        """
        name = self.next_owner if owner is None else owner
        items = self._waiting[name]
        item = items.popleft()
        self._length -= 1
        if items:
            self._waiting.move_to_end(name)
        else:
            del self._waiting[name]
        return item

    def put_back(self, owner: str, item: ItemT) -> None:
        """Add an item that was taken before all others, and make its owner the next one."""
        self._waiting.setdefault(owner, deque()).appendleft(item)
        self._waiting.move_to_end(owner, last=False)
        self._length += 1

    def put_last(self, owner: str) -> None:
        """Let all other owners who wait now have their turn before this one."""
        if owner in self._waiting:
            self._waiting.move_to_end(owner)

    def remove(self, owner: str, item: ItemT) -> None:
        """Remove an item if it waits; the owner's turn stays the same."""
        items = self._waiting.get(owner)
        if items is None or item not in items:
            return
        items.remove(item)
        self._length -= 1
        if not items:
            del self._waiting[owner]


class OwnerCounts:
    """How much work of each owner is in flight; more than `per_owner_max` is refused.

    Work without an owner ("") is not bounded.
    """

    def __init__(self, what: str, per_owner_max: int) -> None:
        self._what = what
        self._per_owner_max = per_owner_max
        self._counts: Counter[str] = Counter()

    def enter(self, owner: str) -> None:
        """Count work of an owner until `leave`.

        Raises:
            Overloaded: The owner has too much in flight; nothing is counted.
        """
        if owner and self._counts[owner] >= self._per_owner_max:
            raise Overloaded(
                f"this customer has {self._per_owner_max} {self._what} waiting already; nothing "
                "was written"
            )
        self._counts[owner] += 1

    def leave(self, owner: str) -> None:
        """End work of an owner."""
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]


class Places:
    """Places for work in flight on one event loop; work without one waits for its owner's turn.

    Args:
        what: What the work is, in the plural, for the error text.
        at_once_max: Work in flight of all owners.
        per_owner_max: Work in flight of one owner. If there are several places, an owner leaves at
            least one to others; work without an owner ("") need not.
        waiting_per_owner_max: Work of one owner that waits; more is refused. Any number waits
            without an owner ("").
        timeout_s: How long work waits for its place at most.
    """

    def __init__(
        self,
        what: str,
        at_once_max: int,
        per_owner_max: int,
        waiting_per_owner_max: int,
        timeout_s: float,
    ) -> None:
        self.at_once_max = at_once_max
        self.in_flight = 0
        self._what = what
        self._per_owner_max = per_owner_max
        self._leaving_one_max = max(1, at_once_max - 1)
        self._waiting_per_owner_max = waiting_per_owner_max
        self._timeout_s = timeout_s
        self._in_flight_of: Counter[str] = Counter()
        self._queue: TurnQueue[asyncio.Future[None]] = TurnQueue()

    @property
    def waiting(self) -> int:
        """How much work waits for a place."""
        return len(self._queue)

    def check(self, owner: str) -> None:
        """Refuse more work of an owner if too much of it waits.

        Raises:
            Overloaded: Too much work of this owner waits.
        """
        if owner and self._queue.count(owner) >= self._waiting_per_owner_max:
            raise Overloaded(
                f"this customer has {self._waiting_per_owner_max} {self._what} waiting already; "
                "nothing was written"
            )

    async def take(self, owner: str) -> None:
        """Take a place; give it back with `give`.

        Raises:
            Overloaded: Too much work of this owner waits, or it waited too long.
        """
        if self._has_place(owner):
            self._hold(owner)
            return
        self.check(owner)
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._queue.add(owner, place)
        timer = loop.call_later(self._timeout_s, self._give_up, owner, place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._queue.remove(owner, place)
            elif place.exception() is None:
                self.give(owner)
            raise
        finally:
            timer.cancel()

    @asynccontextmanager
    async def hold(self, owner: str) -> AsyncGenerator[None, None]:
        """Take a place for the time of a block; see `take`.

        The event loop first does what it has for others. Blocks that do not wait would otherwise
        run one after the other without a pause.
        """
        await self.take(owner)
        try:
            await asyncio.sleep(0)
            yield
        finally:
            self.give(owner)

    def give(self, owner: str) -> None:
        """Give a place back, to the next owner in turn who may have it."""
        self.in_flight -= 1
        self._in_flight_of[owner] -= 1
        if not self._in_flight_of[owner]:
            del self._in_flight_of[owner]
        for next_owner in self._queue.owners():
            while self._has_place(next_owner) and self._queue.count(next_owner):
                place = self._queue.take(next_owner)
                if not place.done():  # else its caller was cancelled in this turn of the loop
                    self._hold(next_owner)
                    place.set_result(None)

    def _has_place(self, owner: str) -> bool:
        most = min(self._per_owner_max, self._leaving_one_max) if owner else self._per_owner_max
        return self.in_flight < self.at_once_max and self._in_flight_of[owner] < most

    def _hold(self, owner: str) -> None:
        self.in_flight += 1
        self._in_flight_of[owner] += 1

    def _give_up(self, owner: str, place: "asyncio.Future[None]") -> None:
        if not place.done():
            self._queue.remove(owner, place)
            place.set_exception(
                Overloaded(
                    f"the {self._what} waited longer than {self._timeout_s:g} s for their turn; "
                    "nothing was written"
                )
            )
