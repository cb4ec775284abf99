"""The rule of resendDelivery.

Source: docs/api/resendDelivery.md.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import UNSET

from openpns.core import audit, idempotency
from openpns.core.commit import Effect, commit
from openpns.core.context import Context
from openpns.deliveries.resending import Failed, Range, resend_one
from openpns.deliveries.wire import Resent
from openpns.errors import (
    InternalError,
    OutcomeUnknown,
    ParameterError,
    ReadFailed,
    ServiceUnavailable,
)
from openpns.storage.store import Transaction

_ACTION = "resendDelivery"

RESENT_MAX = 10_000
"""A request resends so many deliveries, or up to two batches more: its response must come soon."""


async def resend_delivery(
    context: Context, *, delivery_id: str | None = None, since: int | None = None
) -> Resent:
    """Let a delivery, or failed ones of events since a time in s, be tried now.

    Raises:
        ParameterError: Not exactly one of both is given.
        NotFound: The customer has no such delivery.
        OutcomeUnknown: The storage was lost when some of them were resent.
    """
    payload = {"id": delivery_id, "since": since}
    if delivery_id is not None and since is None:
        steps = partial(_resend_one, context, delivery_id)
        return await commit(context, _ACTION, steps, scope=None, payload=payload, result=Resent)
    if delivery_id is None and since is not None:
        return await _resend_since(context, Failed(context.customer_id, since * 1000), payload)
    raise ParameterError("one of id and since must be sent, not both")


def _resend_one(context: Context, delivery_id: str) -> Transaction[Effect[Resent]]:
    count = yield from resend_one(context.customer_id, delivery_id, context.clock())
    return Effect(Resent(count), delivery_id, {"count": count}, is_change=count > 0)


async def _resend_since(context: Context, failed: Failed, payload: Mapping[str, Any]) -> Resent:
    """Resend in batches, each in a transaction with its audit entry; the last one is the commit.

    A copy of a request that was carried out runs the commit only, which finds its response.
    """
    store, customer_id = context.store, context.customer_id
    is_copy = await idempotency.is_recorded(context, _ACTION, payload)
    done = 0
    try:
        batch = None if is_copy else await failed.next_range(store, failed.begin())
        while batch is not None and batch.has_more and done < RESENT_MAX:
            steps = partial(_resend_batch, context, failed, batch)
            done += await store.write(steps, customer_id=customer_id)
            batch = await failed.next_range(store, batch.last)
        last = partial(_resend_last, context, failed, batch, done)
        return await commit(context, _ACTION, last, scope=None, payload=payload, result=Resent)
    except (ServiceUnavailable, ReadFailed, InternalError) as error:
        if not done:
            raise
        # Their texts say that nothing was written.
        raise OutcomeUnknown(
            f"{done} deliveries will be sent; send it again for the rest"
        ) from error


def _resend_batch(context: Context, failed: Failed, batch: Range) -> Transaction[int]:
    now_ms = context.clock()
    count = yield from failed.resend(batch, now_ms)
    yield audit.entry(context, now_ms, _ACTION, "", _details(failed, count))
    return count


def _resend_last(
    context: Context, failed: Failed, batch: Range | None, done: int
) -> Transaction[Effect[Resent]]:
    if batch is None:
        return Effect(Resent(done), "", None, is_change=False)
    count = yield from failed.resend(batch, context.clock())
    resent = Resent(done + count, batch.has_more or UNSET)
    return Effect(resent, "", _details(failed, count), is_change=count > 0)


def _details(failed: Failed, count: int) -> dict[str, int]:
    return {"since": failed.since_ms // 1000, "count": count}
