"""The outbox: events for a customer's webhook, stored in the transaction of their cause.

An event of a customer without a webhook, or whose webhook does not want its kind, is not stored. It
is stored as failed if the webhook is disabled, so that it can be sent later. Feature `deliveries`
delivers what is stored here.
"""

import msgspec

from openpns.ids import worker_of
from openpns.storage.store import Statement


class Event(msgspec.Struct, frozen=True):
    """Something that happened, as the receiver gets it.

    Attributes:
        event_id: Unique in the deployment, and the same in each attempt: a Snowflake, as request
            ids are.
        kind: What happened, such as `callRecord`.
        body: The JSON text that is sent.
    """

    event_id: str
    kind: str
    body: bytes

    def __repr__(self) -> str:  # without the body: it has phones
        return f"Event({self.event_id!r}, {self.kind!r})"


def add_counted(customer_id: str, event: Event, now_ms: int) -> list[Statement]:
    """Return the statements that count an event and store it; they return no rows."""
    return [count(customer_id, event), add(customer_id, event, now_ms)]


def count(customer_id: str, event: Event) -> Statement:
    """Return the statement that counts an event, before it is stored."""
    params = {
        "customer_id": customer_id,
        "delivery_id": event.event_id,
        "kind": event.kind,
        "worker_id": worker_of(event.event_id),
    }
    return Statement("delivery_count", params)


def add(customer_id: str, event: Event, now_ms: int) -> Statement:
    """Return the statement that stores an event, which is counted already; it returns no row."""
    params = {
        "customer_id": customer_id,
        "delivery_id": event.event_id,
        "kind": event.kind,
        "body": event.body.decode(),
        "now_ms": now_ms,
    }
    return Statement("delivery_add", params)
