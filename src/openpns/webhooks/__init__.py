"""Receive webhooks: verify them, read them as typed events, and drop repeats.

    receiver = Receiver(os.environ["OPENPNS_WEBHOOK_SECRET"])
    event = receiver.verify(body, headers)  # the raw bytes; raises a WebhookError
    if isinstance(event, CallRecord):
        print(event.call_id, event.duration_s)

Needs the extra `openpns[webhooks]`. Source: docs/sdk.md, "Webhooks".
"""

try:
    import standardwebhooks as _standardwebhooks  # noqa: F401 - to say how it is installed
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"openpns.webhooks needs the package {error.name}; install it with: "
        "pip install 'openpns[webhooks]'",
        name=error.name,
    ) from None

from openpns.webhooks.errors import (
    WebhookError,
    WebhookExpired,
    WebhookInProgress,
    WebhookMalformed,
    WebhookSignatureMismatch,
    WebhookTooLarge,
)
from openpns.webhooks.events import (
    CallRecord,
    Event,
    TestEvent,
    UnboundCall,
    UnknownEvent,
    WebhookEvent,
)
from openpns.webhooks.receiver import Receiver, verify
from openpns.webhooks.repeats import Repeats, SeenIds, SeenInMemory
from openpns.webhooks.signature import signed_headers

__all__ = [
    "CallRecord",
    "Event",
    "Receiver",
    "Repeats",
    "SeenIds",
    "SeenInMemory",
    "TestEvent",
    "UnboundCall",
    "UnknownEvent",
    "WebhookError",
    "WebhookEvent",
    "WebhookExpired",
    "WebhookInProgress",
    "WebhookMalformed",
    "WebhookSignatureMismatch",
    "WebhookTooLarge",
    "signed_headers",
    "verify",
]
