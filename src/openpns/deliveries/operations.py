"""The operator's commands on deliveries: test a webhook, and send deliveries again.

Source: docs/operating/webhooks.md.
"""

from datetime import datetime, tzinfo
from functools import partial
from typing import Final

import msgspec

from openpns.accounts import customers
from openpns.clock import Clock
from openpns.core import usage
from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.deliveries import endpoints
from openpns.deliveries.listing import as_info
from openpns.deliveries.resending import Failed, Range, resend_one
from openpns.deliveries.wire import ACTIVE, TEST, DeliveryInfo
from openpns.errors import ConfigError, NotFound
from openpns.ids import IdSource
from openpns.storage.store import Statement, Store, Transaction

_RESEND: Final = "webhooks.resend"


class _TestData(msgspec.Struct, frozen=True, rename="camel"):
    action: str
    occurrence_time: str


class _TestBody(msgspec.Struct, frozen=True, rename="camel"):
    code: int
    msg: str
    request_id: str
    data: _TestData


class StoredDelivery(msgspec.Struct, frozen=True):
    """A delivery with what only the operator sees.

    Attributes:
        round_tries: Attempts since it was queued, or sent again the last time.
        is_leased: Whether a worker has taken it; it may have ended since.
        body: The event in JSON, as it is sent.
    """

    info: DeliveryInfo
    round_tries: int
    is_leased: bool
    body: str

    def __repr__(self) -> str:  # without the phones
        return f"StoredDelivery({self.info.id!r})"


async def add_test(
    store: Store, clock: Clock, ids: IdSource, customer_id: str, zone: tzinfo
) -> str:
    """Queue a test event for the webhook of a customer; return the id of its delivery.

    Args:
        ids: Of a leased worker id: no other event may have the id.
        zone: That of the time in the body.

    Raises:
        ConfigError: The customer does not exist, or has no active webhook.
    """
    webhook = await endpoints.get(store, customer_id)
    now_ms, delivery_id = clock(), ids.request_id()
    at = datetime.fromtimestamp(now_ms // 1000, zone).strftime("%Y-%m-%d %H:%M:%S")
    body = msgspec.json.encode(_TestBody(0, TEST, delivery_id, _TestData(TEST, at)))

    def steps() -> Transaction[OperatorEffect[str]]:
        row = {"customer_id": customer_id, "delivery_id": delivery_id, "now_ms": now_ms}
        if not (yield Statement("delivery_add_test", row | {"body": body.decode()})):
            state = "not active" if webhook.state == ACTIVE else webhook.state
            raise ConfigError(
                f"customer {customer_id}: its webhook is {state}, so that nothing is sent; to "
                "change that: openpns webhooks enable"
            )
        yield usage.add(customer_id, usage.DELIVERIES, 1)
        return OperatorEffect(delivery_id, customer_id, details={"id": delivery_id})

    return await commit_as_operator(store, "webhooks.test", steps)


async def end_test(store: Store, clock: Clock, customer_id: str, delivery_id: str) -> bool:
    """Let no further attempt be made with a test; return whether there would have been one.

    False if it has ended, or if an attempt is in flight.
    """
    params = {"customer_id": customer_id, "delivery_id": delivery_id, "now_ms": clock()}

    def steps() -> Transaction[bool]:
        return bool((yield Statement("delivery_end_test", params)))

    return await store.write(steps)


async def get_delivery(store: Store, customer_id: str, delivery_id: str) -> DeliveryInfo:
    """Return a delivery of a customer.

    Raises:
        NotFound: There is none with this id.
    """
    return (await get_with_event(store, customer_id, delivery_id)).info


async def get_with_event(store: Store, customer_id: str, delivery_id: str) -> StoredDelivery:
    """Return a delivery of a customer with what only the operator sees.

    Raises:
        NotFound: There is none with this id.
    """
    params = {"customer_id": customer_id, "delivery_id": delivery_id}
    rows = await store.fetch("delivery_find", params)
    if not rows:
        raise NotFound(f"customer {customer_id} has no such delivery")
    *columns, round_tries, is_leased, body = rows[0]
    return StoredDelivery(as_info(*columns), round_tries, bool(is_leased), body)


async def resend(store: Store, clock: Clock, customer_id: str, delivery_id: str) -> int:
    """Let a delivery be tried now; return 1, or 0 if an attempt is in flight.

    Raises:
        EntryNotFound: The customer does not exist.
        NotFound: It has no delivery with this id.
    """

    def steps() -> Transaction[OperatorEffect[int]]:
        yield from customers.must_exist(customer_id)
        try:
            count = yield from resend_one(customer_id, delivery_id, clock())
        except NotFound:  # its text is for the API
            raise NotFound(f"customer {customer_id} has no such delivery") from None
        details = {"id": delivery_id, "count": count}
        return OperatorEffect(count, customer_id, details=details, is_change=count > 0)

    return await commit_as_operator(store, _RESEND, steps)


async def resend_since(store: Store, clock: Clock, customer_id: str, since_ms: int) -> int:
    """Let all failed deliveries of events since a time be tried now; return how many.

    They are changed in several transactions; a run that was interrupted can be repeated.

    Raises:
        EntryNotFound: The customer does not exist.
    """
    await customers.get(store, customer_id)
    failed = Failed(customer_id, since_ms)
    total = 0
    batch = await failed.next_range(store, failed.begin())
    while batch is not None:
        total += await commit_as_operator(
            store, _RESEND, partial(_resend_batch, clock, failed, batch)
        )
        batch = await failed.next_range(store, batch.last) if batch.has_more else None
    return total


def _resend_batch(clock: Clock, failed: Failed, batch: Range) -> Transaction[OperatorEffect[int]]:
    count = yield from failed.resend(batch, clock())
    details = {"since": failed.since_ms // 1000, "count": count}
    return OperatorEffect(count, failed.customer_id, details=details, is_change=count > 0)
