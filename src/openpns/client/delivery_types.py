"""What the methods for webhooks and deliveries accept and return."""

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

DeliveryState: TypeAlias = Literal["pending", "delivered", "failed"]
"""Whether a delivery will be tried, has arrived, or is not tried any more."""


class Webhook(msgspec.Struct, frozen=True):
    """Where your events are delivered; the operator sets it.

    Attributes:
        kinds: Which events: "callRecord", "unboundCall".
        state: "active", "disabled" by the operator, or "gone" after the receiver answered 410.
    """

    url: str
    kinds: tuple[str, ...]
    state: str

    def __repr__(self) -> str:  # without the URL, which may hold a secret
        return f"Webhook(kinds={self.kinds!r}, state={self.state!r})"


class Delivery(msgspec.Struct, frozen=True):
    """An event with the state of its delivery; its times are in UTC.

    Attributes:
        webhook_id: The header `webhook-id` of all its attempts.
        kind: "callRecord", "unboundCall" or "test".
        tries: How many attempts there were.
        next_try: When it is tried next at the earliest; None unless it is pending.
        last_try: When the last attempt was; None if there was none.
        last_status: The HTTP status of the last attempt; None if there was none, or no response.
        last_error: Why it is not delivered; empty if it is.
        created: When the event occurred.
    """

    id: str
    webhook_id: str
    kind: str
    state: str
    tries: int
    next_try: datetime | None
    last_try: datetime | None
    last_status: int | None
    last_error: str
    created: datetime


class Resent(msgspec.Struct, frozen=True):
    """How many deliveries are sent again; with `has_more`, send the request again for others."""

    count: int
    has_more: bool


class DeliveryPage(msgspec.Struct, frozen=True):
    """A page of deliveries; `next` is the `after` of the next page, None on the last one."""

    deliveries: list[Delivery]
    next: str | None
