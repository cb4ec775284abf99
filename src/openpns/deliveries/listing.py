"""The rules of getWebhook and listDeliveries.

Source: docs/api/getWebhook.md, docs/api/listDeliveries.md.
"""

from typing import Any, Final

from openpns import limits
from openpns.core.context import Context
from openpns.deliveries import rows
from openpns.deliveries.wire import (
    NONE,
    PENDING,
    WEBHOOK_ID_PREFIX,
    DeliveryInfo,
    DeliveryPage,
    WebhookInfo,
)
from openpns.errors import ParameterError
from openpns.storage.store import Store

_AFTER_ALL: Final = "~"
"""Sorts behind every id, which is digits."""


async def get_webhook(context: Context) -> WebhookInfo:
    """Return where the events of the customer are delivered, and which ones."""
    found = await rows.find(context.store, context.customer_id)
    if found is None:
        return WebhookInfo("", [], NONE)
    return WebhookInfo(found.url, found.kinds.split(","), found.state)


async def list_deliveries(
    context: Context, *, limit: int, after: str | None = None, state: str | None = None
) -> DeliveryPage:
    """Return a page of the customer's deliveries, newest first.

    The parameters are the fields of `wire.ListDeliveries`.

    Raises:
        ParameterError: after is not the `next` of a page.
    """
    if after and not is_delivery_id(after):
        raise ParameterError("after must be the next of the page before: digits")
    limit = limit or limits.DELIVERIES_IN_PAGE_MAX
    async with context.read_turn(limit):
        return await read_page(context.store, context.customer_id, limit, after, state)


async def read_page(
    store: Store, customer_id: str, limit: int, after: str | None, state: str | None
) -> DeliveryPage:
    """Return a page of the deliveries of a customer, newest first; `limit` is 1 or more."""
    params: dict[str, Any] = {
        "customer_id": customer_id,
        "before": after or _AFTER_ALL,
        "limit": limit + 1,  # one more shows whether there is a next page
    }
    if state is None:
        stored = await store.fetch("delivery_list", params)
    else:
        stored = await store.fetch("delivery_list_in_state", params | {"state": state})
    found = [as_info(*row) for row in stored[:limit]]
    return DeliveryPage(found, found[-1].id if len(stored) > limit else None)


def as_info(
    delivery_id: str,
    kind: str,
    state: str,
    tries: int,
    next_ms: int,
    last_status: int,
    last_error: str,
    created_ms: int,
    last_ms: int,
) -> DeliveryInfo:
    """Return a row of delivery_list as a struct."""
    return DeliveryInfo(
        delivery_id,
        WEBHOOK_ID_PREFIX + delivery_id,
        kind,
        state,
        tries,
        -(-next_ms // 1000) if state == PENDING else 0,
        last_status,
        last_error,
        created_ms // 1000,
        last_ms // 1000,
    )


def is_delivery_id(text: str) -> bool:
    """Return whether a text is digits, as every id is."""
    return text.isascii() and text.isdigit()
