"""The requests for webhooks and deliveries."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from openpns import limits
from openpns.client.arguments import aware, optional_text, text
from openpns.client.delivery_types import Delivery, DeliveryPage, DeliveryState, Resent, Webhook
from openpns.client.requests import Request
from openpns.deliveries.wire import NONE, WebhookInfo
from openpns.deliveries.wire import Resent as WireResent
from openpns.errors import ParameterError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_Time: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=limits.TIME_S_MAX)]


def get_webhook() -> Request[Webhook | None]:
    """Return where your events are delivered; None if there is no webhook. An extension of openpns.

    Raises:
        ParameterError: The server does not know the action.
    """
    return Request("getWebhook", {}, _read_webhook, is_read=True, is_extension=True)


def list_deliveries(
    limit: int = limits.DELIVERIES_IN_PAGE_MAX,
    after: str = "",
    *,
    state: DeliveryState | None = None,
) -> Request[DeliveryPage]:
    """Return a page of your deliveries, newest first. An extension of openpns.

    Args:
        after: The `next` of the page before; empty for the first page.
        state: Only those that are "pending", "delivered" or "failed".

    Raises:
        LimitOutOfRange: limit is not from 0 to 1000; 0 returns 1000.
        ParameterError: after is no such text, or the server does not know the action.
    """
    body = {"limit": limit, "after": text("after", after), "state": optional_text("state", state)}
    return Request("listDeliveries", _sent(body), _read_page, is_read=True, is_extension=True)


def resend_delivery(
    delivery_id: str | None = None,
    *,
    since: datetime | None = None,
    client_token: str | None = None,
) -> Request[Resent]:
    """Send one delivery again, or failed ones of events since a time; return how many.

    A request takes about 10 000 of them; see `Resent`. They are pending then, and sent as fast as
    the receiver takes them. An extension of openpns.

    Args:
        delivery_id: One delivery, whatever its state.
        since: An aware datetime; a part of a second is dropped.
        client_token: An idempotency key; see `groups.create`.

    Raises:
        ValueError: Not exactly one of delivery_id and since is given, or since has no time zone.
        NotFound: There is no such delivery.
    """
    if (delivery_id is None) == (since is None):
        raise ValueError("one of delivery_id and since must be given, not both")
    if client_token == "":  # would be replaced by a random one
        raise ParameterError("clientToken must not be empty")
    body = {
        "id": optional_text("id", delivery_id),
        "since": None if since is None else _seconds(aware("since", since)),
        "clientToken": optional_text("clientToken", client_token),
    }
    return Request(
        "resendDelivery", _sent(body), _read_resent, has_client_token=True, is_extension=True
    )


class WireDelivery(msgspec.Struct, rename="camel"):
    """A delivery as the server sends it; values are bounded."""

    id: str
    webhook_id: str
    kind: str
    state: str
    tries: int
    next_at: _Time
    last_status: int
    created_at: _Time
    last_error: str = ""
    last_at: _Time = 0


class _WirePage(msgspec.Struct):
    deliveries: list[WireDelivery]
    next: str | None


def _read_webhook(envelope: dict[str, Any]) -> Webhook | None:
    found = msgspec.convert(envelope.get("data"), WebhookInfo)
    return None if found.state == NONE else Webhook(found.url, tuple(found.kinds), found.state)


def _read_page(envelope: dict[str, Any]) -> DeliveryPage:
    page = msgspec.convert(envelope.get("data"), _WirePage)
    return DeliveryPage([as_delivery(found) for found in page.deliveries], page.next)


def as_delivery(found: WireDelivery) -> Delivery:
    """Return a delivery of the wire as the methods return it."""
    return Delivery(
        found.id,
        found.webhook_id,
        found.kind,
        found.state,
        found.tries,
        _as_time(found.next_at) if found.next_at else None,
        _as_time(found.last_at) if found.last_at else None,
        found.last_status or None,
        found.last_error,
        _as_time(found.created_at),
    )


def _read_resent(envelope: dict[str, Any]) -> Resent:
    found = msgspec.convert(envelope.get("data"), WireResent)
    return Resent(found.count, found.has_more is True)


def _as_time(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def _sent(body: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in body.items() if value is not None}


def _seconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1)
