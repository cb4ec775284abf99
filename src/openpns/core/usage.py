"""How many call records and deliveries each customer has, counted in each transaction.

The count of a customer is the sum over the worker ids: each worker adds to rows of its own, so that
writes to several workers do not wait for each other. Rows of several customers are changed in the
order of the customers, so that no two transactions wait for each other.

Source: docs/decisions/0062-quotas-of-records.md.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from openpns import limits
from openpns.core.context import Context, Services
from openpns.errors import InternalError, QuotaExceeded
from openpns.storage.store import Statement, StatementBatch, Transaction, as_struct

CALL_RECORDS: Final = "callRecords"
DELIVERIES: Final = "deliveries"

RESERVED: Final = 4
"""One part in so many of the quota of deliveries is for the records of calls only."""

OPERATOR: Final = -1
"""Stands for the worker id in what commands count."""


class Usage(msgspec.Struct, frozen=True):
    """A row of usage_find; a quota of None is that of the server's settings."""

    call_records: int
    deliveries: int
    call_record_quota: int | None
    delivery_quota: int | None

    def call_records_max(self, services: Services) -> int | None:
        """Return how many call records the customer may have; None for any number."""
        return _in_force(self.call_record_quota, services.call_records_per_customer_max)

    def deliveries_max(self, services: Services) -> int | None:
        """Return how many deliveries the customer may have; None for any number."""
        return _in_force(self.delivery_quota, services.deliveries_per_customer_max)

    def check_room_for_record(self, services: Services, *, with_delivery: bool) -> None:
        """Raise QuotaExceeded if no other call record, with its delivery, may be stored."""
        most = self.call_records_max(services)
        if most is not None and self.call_records >= most:
            raise QuotaExceeded("getLimits shows your quota of call records")
        most = self.deliveries_max(services)
        if with_delivery and most is not None and self.deliveries >= most:
            raise QuotaExceeded("getLimits shows your quota of deliveries")


class _Deliveries(msgspec.Struct, frozen=True):
    """A row of usage_find_deliveries."""

    customer_id: str
    deliveries: int
    delivery_quota: int | None

    def has_room(self, services: Services) -> bool:
        """Return whether another delivery may be stored that is not of a report."""
        most = _in_force(self.delivery_quota, services.deliveries_per_customer_max)
        return most is None or self.deliveries < most - most // RESERVED


async def get(context: Context) -> Usage:
    """Return the usage of the customer.

    Raises:
        InternalError: The customer has no state.
    """
    rows = await context.store.fetch("usage_find", {"customer_id": context.customer_id})
    if not rows:
        raise InternalError
    return as_struct(Usage, rows[0])


def find_full(services: Services, customer_ids: Sequence[str]) -> Transaction[set[str]]:
    """Return which of some customers have no room for the event of a call without a binding.

    Anyone may make such calls: they leave a quarter of the quota to the reports of calls.
    """
    # One statement: those of a thousand customers together would take PostgreSQL seconds.
    rows = yield Statement("usage_find_deliveries", {"customer_ids": customer_ids})
    found = [as_struct(_Deliveries, row) for row in rows]
    return {one.customer_id for one in found if not one.has_room(services)}


def add(customer_id: str, name: str, count: int, worker_id: int = OPERATOR) -> Statement:
    """Return the statement that adds to a count of a customer; it returns no row."""
    params = {"customer_id": customer_id, "name": name, "worker_id": worker_id, "count": count}
    return Statement("usage_add", params)


def delete(name: str, customer_ids: Iterable[str], worker_id: int) -> StatementBatch:
    """Return the step that counts deleted rows, given the customer of each row.

    A batch, because it runs in its order; PostgreSQL runs statements that it combines in another.
    """
    counts = Counter(customer_ids)
    added = [add(one, name, -counts[one], worker_id) for one in sorted(counts)]
    return StatementBatch("usage_add", [one.params for one in added])


def _in_force(own: int | None, default: int) -> int | None:
    quota = (default or limits.QUOTA_MAX) if own is None else own
    return None if quota == limits.QUOTA_MAX else quota
