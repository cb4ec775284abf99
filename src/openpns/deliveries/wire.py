"""The webhook and delivery actions on the wire: a struct for each request and each response."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from openpns import limits
from openpns.errors import LimitOutOfRange
from openpns.protocol.fields import RequestBody, WriteBody, choice, integer, text

CALL_RECORD: Final = "callRecord"
UNBOUND_CALL: Final = "unboundCall"
TEST: Final = "test"
KINDS: Final = (CALL_RECORD, UNBOUND_CALL)
"""The kinds of events that a webhook may want; a test is sent to every active webhook."""

ACTIVE: Final = "active"
DISABLED: Final = "disabled"
GONE: Final = "gone"
NONE: Final = "none"
"""The state of a customer without a webhook."""

PENDING: Final = "pending"
DELIVERED: Final = "delivered"
FAILED: Final = "failed"
STATES: Final = (PENDING, DELIVERED, FAILED)
"""The states of a delivery."""

WEBHOOK_ID_PREFIX: Final = "msg_"
"""What stands before the id of a delivery in the header `webhook-id`."""


class GetWebhook(RequestBody, frozen=True):
    """Return where the events of the customer are delivered."""


class ListDeliveries(RequestBody, frozen=True):
    """Return a page of the customer's deliveries, newest first."""

    limit: Annotated[
        int,
        integer(
            "How many deliveries to return; 0 returns as many as a page may hold, 1000.",
            0,
            limits.DELIVERIES_IN_PAGE_MAX,
            LimitOutOfRange,
        ),
    ]
    after: (
        Annotated[
            str,
            text(
                "The `next` of the page before; the page starts after it. Empty or missing starts "
                "at the newest.",
                limits.DELIVERY_ID_CHARS_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    state: Annotated[str, choice("Only deliveries in this state.", *STATES)] | UnsetType = UNSET


class ResendDelivery(WriteBody, frozen=True):
    """Send a delivery again, or all failed ones since a time: exactly one of both fields."""

    delivery_id: (
        Annotated[
            str,
            text("The delivery, whatever its state.", limits.DELIVERY_ID_CHARS_MAX),
        ]
        | None
    ) = msgspec.field(name="id", default=None)
    since: (
        Annotated[
            int,
            integer(
                "All failed deliveries of events since then, in s since 1970 UTC.",
                0,
                limits.TIME_S_MAX,
            ),
        ]
        | None
    ) = None


class WebhookInfo(msgspec.Struct):
    """The `data` of getWebhook."""

    url: Annotated[str, text("Where events are delivered; empty if there is no webhook.")]
    kinds: Annotated[
        list[str], text("The kinds of events that are delivered: `callRecord`, `unboundCall`.")
    ]
    state: Annotated[
        str,
        text(
            "`active`; `disabled` by the operator; `gone` after the receiver answered 410; `none` "
            "if there is no webhook."
        ),
    ]


class DeliveryInfo(msgspec.Struct, rename="camel"):
    """A delivery in listDeliveries' response."""

    id: Annotated[str, text("The delivery's id.")]
    webhook_id: Annotated[str, text("The header `webhook-id` of all its attempts.")]
    kind: Annotated[str, text("`callRecord`, `unboundCall` or `test`.")]
    state: Annotated[
        str,
        text("`pending` (will be tried), `delivered`, or `failed` (will not be tried again)."),
    ]
    tries: Annotated[int, text("How many attempts there were.")]
    next_at: Annotated[
        int,
        text("When it is tried next at the earliest, in s since 1970 UTC; 0 unless it is pending."),
    ]
    last_status: Annotated[
        int, text("The HTTP status of the last attempt; 0 if there was none, or no response.")
    ]
    last_error: Annotated[
        str, text("Why it is not delivered, as far as attempts show; empty if delivered.")
    ]
    created_at: Annotated[int, text("When the event occurred, in s since 1970 UTC.")]
    last_at: Annotated[
        int, text("When the last attempt was, in s since 1970 UTC; 0 if there was none.")
    ]


class DeliveryPage(msgspec.Struct):
    """The `data` of listDeliveries."""

    deliveries: Annotated[list[DeliveryInfo], text("The deliveries of this page, newest first.")]
    next: Annotated[
        str | None,
        text("The value of `after` for the next page; null on the last page."),
    ]


class Resent(msgspec.Struct, rename="camel"):
    """The `data` of resendDelivery."""

    count: Annotated[int, text("How many deliveries will be sent because of this request.")]
    has_more: (
        Annotated[
            bool,
            text("True if more failed deliveries may match: send it again; missing otherwise."),
        ]
        | UnsetType
    ) = UNSET
