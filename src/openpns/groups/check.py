"""What `openpns verify` checks of number groups.

Memory holds one slice of groups, and a few integers for each customer and block of seqs.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import aclosing

import msgspec

from openpns.core.verify import Report
from openpns.groups import pages
from openpns.groups.order import BLOCK_SIZE, LEVELS
from openpns.groups.phone_chunks import PHONES_IN_CHUNK
from openpns.groups.quotas import PHONE_BYTES
from openpns.storage.store import Store


async def check_groups(store: Store, report: Report) -> Mapping[str, int]:
    """Check that counts, order, phone text and members of all groups agree with each other."""
    check = _Check(report)
    async with aclosing(store.stream("group_check", {}, pages.GROUPS_IN_SLICE)) as slices:
        async for rows in slices:
            for kind, *columns in rows:
                check.take[kind](*columns)
    return check.end()


class _Customer(msgspec.Struct):
    """The state of a customer, and what its groups add up to."""

    counted: int | None = None
    counted_phones: int | None = None
    counted_bytes: int | None = None
    next_seq: int = 0
    groups: int = 0
    phones: int = 0
    num_bytes: int = 0
    seq_max: int = -1
    live: Counter[int] = msgspec.field(default_factory=Counter)
    """Groups in each block of seqs."""
    gaps: dict[tuple[int, int], int] = msgspec.field(default_factory=dict)
    """Gaps, by level and block."""

    def gaps_agree(self) -> bool:
        """Return whether the counted gaps are the seqs without a group."""
        for block in self.live.keys() | {block for level, block in self.gaps if level == 1}:
            places = min(BLOCK_SIZE, self.next_seq - block * BLOCK_SIZE)
            if places - self.live[block] != self.gaps.get((1, block), 0):
                return False
        if sum(n for (level, _), n in self.gaps.items() if level == 1) != (
            self.next_seq - self.groups
        ):
            return False  # a block of gaps only is not counted
        above: Counter[tuple[int, int]] = Counter()
        for (level, block), deleted in self.gaps.items():
            if level < LEVELS:
                above[level + 1, block // BLOCK_SIZE] += deleted
        return above == {key: n for key, n in self.gaps.items() if key[0] > 1}


class _Check:
    """Takes the rows of group_check in any order."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._customers: defaultdict[str, _Customer] = defaultdict(_Customer)
        self.take: dict[str, Callable[..., None]] = {
            "state": self._take_state,
            "group": self._take_group,
            "gap": self._take_gap,
            "stray": self._take_stray,
        }

    def end(self) -> Mapping[str, int]:
        """Check what needs all rows; return what was counted."""
        for customer_id, customer in self._customers.items():
            if customer.counted is None:
                self._report(f"customer {customer_id}: has groups but no state")
            elif customer.counted != customer.groups:
                self._report(
                    f"customer {customer_id}: its total says {customer.counted} groups, there are "
                    f"{customer.groups}"
                )
            elif customer.counted_phones not in (None, customer.phones):
                self._report(
                    f"customer {customer_id}: its total says {customer.counted_phones} phones, "
                    f"there are {customer.phones}"
                )
            elif customer.counted_bytes not in (None, customer.num_bytes):
                self._report(
                    f"customer {customer_id}: its total says {customer.counted_bytes} bytes, "
                    f"there are {customer.num_bytes}"
                )
            elif customer.seq_max >= customer.next_seq:
                self._report(f"customer {customer_id}: the next place in its order is taken")
            elif not customer.gaps_agree():
                self._report(
                    f"customer {customer_id}: the empty places in its order are miscounted"
                )
        customers = self._customers.values()
        return {
            "groups": sum(customer.groups for customer in customers),
            "phones": sum(customer.phones for customer in customers),
        }

    def _take_state(
        self,
        customer_id: str,
        _: None,
        counted: int,
        next_seq: int,
        counted_phones: int | None,
        *others: int | None,
    ) -> None:
        customer = self._customers[customer_id]
        customer.counted, customer.next_seq = counted, next_seq
        customer.counted_phones, customer.counted_bytes = counted_phones, others[-1]

    def _take_group(
        self,
        customer_id: str,
        group_id: str,
        phone_count: int,
        _: int,
        seq: int,
        first_chunk: str,
        rest: str | None,
        chunk_max: int | None,
        members: str | None,
        positions: int,
        text_bytes: int,
    ) -> None:
        customer = self._customers[customer_id]
        customer.groups += 1
        customer.seq_max = max(customer.seq_max, seq)
        customer.live[seq // BLOCK_SIZE] += 1
        text = members or ""
        count = _count(text)
        customer.phones += count
        customer.num_bytes += text_bytes + PHONE_BYTES * count
        where = f"customer {customer_id}, group {group_id}"
        if phone_count != count:
            self._report(f"{where}: says {phone_count} phones, has {count}")
        if positions != count:
            self._report(f"{where}: its phones are not in one order")
        if first_chunk + (rest or "") != text:
            self._report(f"{where}: what listGroup shows is not its phones in their order")
        elif _count(first_chunk) != min(count, PHONES_IN_CHUNK) or (
            (chunk_max or 0) > PHONES_IN_CHUNK
        ):
            self._report(f"{where}: its text is not cut into chunks of {PHONES_IN_CHUNK}")

    def _take_gap(
        self, customer_id: str, _: None, deleted: int, level: int, block: int, *__: None
    ) -> None:
        self._customers[customer_id].gaps[level, block] = deleted

    def _take_stray(
        self, customer_id: str, what: str, count: int, _: None, seq: int, *__: None
    ) -> None:
        self._report(f"customer {customer_id}: {count} {what} belong to no group (place {seq})")


def _count(text: str) -> int:
    return text.count(",") + 1 if text else 0
