"""Reading every row of a database, to see that the rows agree with each other.

Everything is read by one statement, so that it is one snapshot: the check can run beside a server
that writes. Memory holds one slice of groups, and a few integers for each customer and for each
block of 64 places in its order.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

import msgspec

from openpns import limits
from openpns.storage.store import Row, Store

_BLOCK: Final = 64
"""Places in a block of the order, and blocks in a block of the next level."""

_LEVELS: Final = 4
"""Source: docs/decisions/0013-gaps-are-counted.md."""


class Counts(msgspec.Struct, frozen=True, rename="camel"):
    """What a check has read, and how many things in it are wrong."""

    customers: int
    access_keys: int
    groups: int
    numbers: int
    audit_entries: int
    wrong: int


class _Customer(msgspec.Struct):
    """What a customer's row and counter say, and what was found of its keys and groups."""

    is_there: bool = False
    counted: int | None = None
    next_seq: int = 0
    keys: int = 0
    groups: int = 0
    seq_max: int = -1
    live: Counter[int] = msgspec.field(default_factory=Counter)
    """How many groups stand in each block of places."""
    gaps: dict[tuple[int, int], int] = msgspec.field(default_factory=dict)
    """How many places are empty, by level and block."""

    def gaps_agree(self) -> bool:
        """Whether the empty places that are counted are those where no group stands."""
        for block in self.live.keys() | {block for level, block in self.gaps if level == 1}:
            places = min(_BLOCK, self.next_seq - block * _BLOCK)
            if places - self.live[block] != self.gaps.get((1, block), 0):
                return False
        if sum(n for (level, _), n in self.gaps.items() if level == 1) != (
            self.next_seq - self.groups
        ):
            return False  # a block of nothing but empty places is not counted
        above: Counter[tuple[int, int]] = Counter()
        for (level, block), deleted in self.gaps.items():
            if level < _LEVELS:
                above[level + 1, block // _BLOCK] += deleted
        return above == {key: n for key, n in self.gaps.items() if key[0] > 1}


class _Check:
    """Takes rows in any order.

    Args:
        tell: Told each thing that is wrong.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._customers: defaultdict[str, _Customer] = defaultdict(_Customer)
        self._take: dict[str, Callable[..., None]] = {
            "customer": self._take_customer,
            "key": self._take_key,
            "group": self._take_group,
            "gap": self._take_gap,
            "stray": self._take_stray,
            "audit": self._take_audit,
        }
        self._numbers = self._audit_entries = self._wrong = 0

    def take(self, row: Row) -> None:
        """Check one row of the statement."""
        kind, customer_id, *columns = row
        self._take[kind](customer_id, *columns)

    def end(self) -> Counts:
        """Check what only the whole tells, and return what was read."""
        for customer_id, customer in self._customers.items():
            if not customer.is_there:
                self._say(f"customer {customer_id}: is not there, but has keys or groups")
            elif customer.counted is None:
                self._say(f"customer {customer_id}: has no counter")
            elif customer.counted != customer.groups:
                self._say(
                    f"customer {customer_id}: its total says {customer.counted} groups, there are "
                    f"{customer.groups}"
                )
            elif customer.seq_max >= customer.next_seq:
                self._say(f"customer {customer_id}: the next place in its order is taken already")
            elif not customer.gaps_agree():
                self._say(f"customer {customer_id}: the empty places in its order are miscounted")
        found = self._customers.values()
        return Counts(
            customers=sum(customer.is_there for customer in found),
            access_keys=sum(customer.keys for customer in found),
            groups=sum(customer.groups for customer in found),
            numbers=self._numbers,
            audit_entries=self._audit_entries,
            wrong=self._wrong,
        )

    def _take_customer(
        self, customer_id: str, _: None, counted: int | None, next_seq: int | None, *__: None
    ) -> None:
        customer = self._customers[customer_id]
        customer.is_there, customer.counted, customer.next_seq = True, counted, next_seq or 0

    def _take_key(self, customer_id: str, access_key: str, secret_bytes: int, *_: None) -> None:
        self._customers[customer_id].keys += 1
        if secret_bytes == 0:
            self._say(f"access key {access_key}: its secret is empty")

    def _take_group(
        self,
        customer_id: str,
        group_id: str,
        phone_count: int,
        _: int,
        seq: int,
        head: str,
        rest: str | None,
        part_max: int | None,
        members: str | None,
        positions: int,
    ) -> None:
        customer = self._customers[customer_id]
        customer.groups += 1
        customer.seq_max = max(customer.seq_max, seq)
        customer.live[seq // _BLOCK] += 1
        text = members or ""
        count = _count(text)
        self._numbers += count
        where = f"customer {customer_id}, group {group_id}"
        if phone_count != count:
            self._say(f"{where}: says {phone_count} numbers, has {count}")
        if positions != count:
            self._say(f"{where}: its numbers do not stand in one order")
        if head + (rest or "") != text:
            self._say(f"{where}: what listGroup shows is not its numbers in their order")
        elif _count(head) != min(count, limits.PHONES_IN_CHUNK) or (
            (part_max or 0) > limits.PHONES_IN_CHUNK
        ):
            self._say(f"{where}: its text is not cut into parts of {limits.PHONES_IN_CHUNK}")

    def _take_gap(
        self, customer_id: str, _: None, deleted: int, level: int, block: int, *__: None
    ) -> None:
        self._customers[customer_id].gaps[level, block] = deleted

    def _take_stray(
        self, customer_id: str, what: str, count: int, _: None, seq: int, *__: None
    ) -> None:
        self._say(f"customer {customer_id}: {count} {what} belong to no group (place {seq})")

    def _take_audit(self, _: str, __: None, entries: int, *___: None) -> None:
        self._audit_entries += entries

    def _say(self, text: str) -> None:
        self._wrong += 1
        self._tell(text)


async def read_all(store: Store, tell: Callable[[str], None]) -> Counts:
    """Read every row and check that totals, groups and numbers agree with each other.

    Args:
        store: The database, its migrations current.
        tell: Told each thing that is wrong: customer, group and what, but never a number.

    Returns:
        What was read; nothing is wrong where its `wrong` is 0.

    Raises:
        ReadFailed: The database is damaged so that it cannot be read.
        ServiceUnavailable: It is away.
    """
    check = _Check(tell)
    async with aclosing(store.stream("group_verify", {}, limits.GROUPS_IN_SLICE)) as slices:
        async for rows in slices:
            for row in rows:
                check.take(row)
    return check.end()


def _count(text: str) -> int:
    return text.count(",") + 1 if text else 0
