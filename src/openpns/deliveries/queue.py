"""The queue of deliveries: rows that workers of all nodes lease, and results that they store.

A worker leases a delivery by moving the time at which it is due ahead, and by its own name in the
row. If the worker ends, the delivery is due again when the lease ends. A result is stored only
while the lease is still the worker's. The times are those of the worker's clock; the margin of a
lease is longer than clocks of nodes differ.

Source: docs/decisions/0050-delivery-queue.md.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from openpns.core import audit
from openpns.storage.store import Statement, StatementBatch, Store, Transaction, as_struct

LEASE_MARGIN_MS: Final = 10_000
"""How much longer a lease is than an attempt may take."""

BACKLOG_MAX: Final = 10_000
"""So many of the oldest pending deliveries are counted."""


class DueCustomer(msgspec.Struct, frozen=True):
    """A customer with pending deliveries, and the webhook, whose fields are None without one.

    Attributes:
        failing_ms: Since when attempts fail; 0 if the last one succeeded.
        is_due: Whether the webhook is active and a delivery is due.
    """

    customer_id: str
    url: str | None
    secret_ciphertext: bytes | None
    previous_ciphertext: bytes | None
    previous_until_ms: int
    changed_ms: int | None
    failing_ms: int | None
    is_due: int

    def __repr__(self) -> str:  # without the URL, which may hold a secret
        return f"DueCustomer({self.customer_id!r})"


class Claimed(msgspec.Struct, frozen=True):
    """A delivery that is leased to this worker."""

    delivery_id: str
    kind: str
    body: str
    round_tries: int

    def __repr__(self) -> str:  # without the body: it has phones
        return f"Claimed({self.delivery_id!r})"


class Result(msgspec.Struct, frozen=True):
    """What is stored after an attempt.

    Attributes:
        state: `delivered`, `failed`, or `pending` if there is another attempt at next_ms.
        error: Why it failed, without anything of the receiver's; empty if it did not.
        changed_ms: Which change of the webhook the attempt was made with.
        failing_ms: What the webhook's `failing_ms` becomes; None if that stays.
        is_gone: Whether the receiver has answered that it is gone.
    """

    customer_id: str
    delivery_id: str
    state: str
    next_ms: int
    at_ms: int
    status: int
    error: str
    changed_ms: int
    failing_ms: int | None = None
    is_gone: bool = False


class Backlog(msgspec.Struct, frozen=True):
    """How many of the BACKLOG_MAX oldest pending deliveries are of active webhooks; the oldest."""

    count: int
    oldest_ms: int | None


class Queue:
    """The queue, as one worker uses it.

    Args:
        owner: The worker's name in leases; no other worker of any node may have it.
    """

    def __init__(self, store: Store, owner: str) -> None:
        self._store = store
        self._owner = owner

    async def find_customers(self, after: str, now_ms: int, at_most: int) -> list[DueCustomer]:
        """Return the next customers after a given one, in order, that have pending deliveries."""
        params = {"after": after, "now_ms": now_ms, "at_most": at_most}
        rows = await self._store.fetch("delivery_due_customers", params)
        return [as_struct(DueCustomer, row) for row in rows]

    async def claim(
        self, wanted: Mapping[str, int], now_ms: int, lease_ms: int
    ) -> dict[str, list[Claimed]]:
        """Lease due deliveries of some customers, at most so many of each, until `lease_ms`."""

        def steps() -> Transaction[dict[str, list[Claimed]]]:
            claimed = {}
            for customer_id, at_most in sorted(wanted.items()):
                params = {
                    "customer_id": customer_id,
                    "owner": self._owner,
                    "now_ms": now_ms,
                    "lease_ms": lease_ms,
                    "at_most": at_most,
                }
                rows = yield Statement("delivery_claim", params)
                found = [as_struct(Claimed, row) for row in rows]
                claimed[customer_id] = sorted(found, key=lambda one: int(one.delivery_id))
            return claimed

        return await self._store.write(steps)

    async def finish(self, results: Sequence[Result]) -> list[str]:
        """Store results; return the customers whose webhooks have stopped because they are gone.

        A result of a lease that has ended, and that another worker took over, is not stored.
        """
        # In order, so that two workers do not wait for each other.
        results = sorted(results, key=lambda one: (one.customer_id, one.delivery_id))
        rows = [_row(one, self._owner) for one in results]
        changes = {one.customer_id: one for one in results if one.failing_ms is not None}
        gone = {one.customer_id: one for one in results if one.is_gone}

        def steps() -> Transaction[list[str]]:
            yield StatementBatch("delivery_finish", rows)
            if changes:
                failing = [_webhook_row(one, failing_ms=one.failing_ms) for one in changes.values()]
                yield StatementBatch("webhook_failing", failing)
            stopped = []
            for customer_id, one in gone.items():
                params = _webhook_row(one, now_ms=max(one.at_ms, one.changed_ms + 1))
                if (yield Statement("webhook_gone", params)):
                    details = {"by": "delivery worker", "status": one.status}
                    yield audit.own_entry(customer_id, "webhooks.gone", details)
                    stopped.append(customer_id)
            return stopped

        return await self._store.write(steps)

    async def release(self, deliveries: Sequence[tuple[str, str]], now_ms: int) -> None:
        """Give leases back; each delivery, of a customer and with an id, is due at `now_ms`."""
        rows = [
            {"customer_id": customer_id, "delivery_id": delivery_id, "owner": self._owner}
            | {"now_ms": now_ms}
            for customer_id, delivery_id in sorted(deliveries)
        ]

        def steps() -> Transaction[None]:
            yield StatementBatch("delivery_release", rows)

        await self._store.write(steps)

    async def backlog(self) -> Backlog:
        """Return how many deliveries are pending."""
        rows = await self._store.fetch("delivery_backlog", {"at_most": BACKLOG_MAX})
        return as_struct(Backlog, rows[0])


def _row(result: Result, owner: str) -> dict[str, object]:
    return {
        "customer_id": result.customer_id,
        "delivery_id": result.delivery_id,
        "owner": owner,
        "state": result.state,
        "next_ms": result.next_ms,
        "last_ms": result.at_ms,
        "last_status": result.status,
        "last_error": result.error,
    }


def _webhook_row(result: Result, **values: object) -> dict[str, object]:
    return {"customer_id": result.customer_id, "changed_ms": result.changed_ms, **values}
