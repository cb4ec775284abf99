"""Sending deliveries again: the steps that the action and the operator's command share."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from openpns.errors import NotFound
from openpns.ids import SNOWFLAKE_EPOCH_MS
from openpns.storage.store import Statement, Store, Transaction

BATCH: Final = 500
"""How many deliveries one transaction changes: a million must not hold the writer for long."""

_SKEW_MS: Final = 3_600_000
"""No id has a time that is so much before that of its event."""

_ID_DIGITS: Final = 19
"""Of every id from 2018 to 2079."""


class Failed(msgspec.Struct, frozen=True):
    """The failed deliveries of a customer whose events occurred since a time."""

    customer_id: str
    since_ms: int

    def begin(self) -> str:
        """Return a text that sorts before the ids of all of them."""
        first = max(0, self.since_ms - _SKEW_MS - SNOWFLAKE_EPOCH_MS) << 22
        return str(first) if len(str(first)) == _ID_DIGITS else ""

    async def next_ids(self, store: Store, after: str) -> Sequence[str]:
        """Return the ids of the next ones after an id, at most one more than a batch has."""
        params = msgspec.structs.asdict(self) | {"after": after, "at_most": BATCH + 1}
        return [row[0] for row in await store.fetch("delivery_failed_list", params)]

    def resend(self, after: str, upto: str, now_ms: int) -> Transaction[int]:
        """Let those after an id, up to another one, be tried now: steps; return how many."""
        params: dict[str, Any] = msgspec.structs.asdict(self)
        params |= {"after": after, "upto": upto, "now_ms": now_ms}
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
