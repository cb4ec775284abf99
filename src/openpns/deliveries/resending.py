"""Sending deliveries again: the steps that the action and the operator's command share."""

from typing import Any, Final

import msgspec

from openpns import limits
from openpns.deliveries.wire import TEST
from openpns.errors import NotFound
from openpns.ids import SNOWFLAKE_EPOCH_MS
from openpns.storage.store import Statement, Store, Transaction

BATCH: Final = 200
"""How many deliveries one transaction changes: a million must not hold the writer for long."""

SCAN: Final = 1000
"""How many failed deliveries one statement looks at."""

_SKEW_MS: Final = limits.DAY_MS
"""No event has an id with a time that is so much before its own."""

_ID_DIGITS: Final = 19
"""Of the ids from 2018 to 2079: as texts they have the order of their times."""

_AFTER_ALL: Final = "~"


class Range(msgspec.Struct, frozen=True):
    """The ids of the first and the last delivery of a batch, and whether there may be others."""

    first: str
    last: str
    has_more: bool


class Failed(msgspec.Struct, frozen=True):
    """The failed deliveries of a customer whose events occurred since a time.

    Without tests, which nobody expects later.
    """

    customer_id: str
    since_ms: int

    def begin(self) -> str:
        """Return a text that sorts before the ids of all of them, and perhaps of others."""
        first = str(max(0, self.since_ms - _SKEW_MS - SNOWFLAKE_EPOCH_MS) << 22)
        if len(first) == _ID_DIGITS:
            return first
        return "" if len(first) < _ID_DIGITS else _AFTER_ALL

    async def next_range(self, store: Store, after: str) -> Range | None:
        """Return the next batch of them after an id, or `begin`; None if there is none.

        Not more than SCAN failed deliveries are between its first and its last one.
        """
        while True:
            params = {"customer_id": self.customer_id, "after": after, "at_most": SCAN}
            rows = await store.fetch("delivery_failed_list", params)
            ids = [row[0] for row in rows if row[1] >= self.since_ms and row[2] != TEST]
            if ids:
                has_more = len(rows) == SCAN or len(ids) > BATCH
                return Range(ids[0], ids[:BATCH][-1], has_more)
            if len(rows) < SCAN:
                return None
            after = rows[-1][0]

    def resend(self, batch: Range, now_ms: int) -> Transaction[int]:
        """Let those of a batch be tried now: steps; return how many."""
        params: dict[str, Any] = msgspec.structs.asdict(self)
        params |= {"first": batch.first, "last": batch.last, "now_ms": now_ms}
        return len((yield Statement("delivery_resend_failed", params)))


def resend_one(customer_id: str, delivery_id: str, now_ms: int) -> Transaction[int]:
    """Let a delivery be tried now: steps; return 1, or 0 if an attempt is in flight.

    Raises:
        NotFound: The customer has no such delivery.
    """
    one = {"customer_id": customer_id, "delivery_id": delivery_id}
    if (yield Statement("delivery_resend", one | {"now_ms": now_ms})):
        return 1
    if not (yield Statement("delivery_find", one)):
        raise NotFound("id must be that of a delivery; listDeliveries shows yours")
    return 0
