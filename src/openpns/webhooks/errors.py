"""Why a delivery is not accepted. No text contains a secret, a phone or a part of the body."""

from typing import ClassVar

from openpns.errors import OpenPNSError


class WebhookError(OpenPNSError):
    """The root of what `openpns.webhooks` raises for a delivery.

    The text may be sent as the response.
    """

    http_status: ClassVar[int] = 400
    """The status to answer with; each of them makes the sender try again later."""


class WebhookMalformed(WebhookError):
    """A header is missing, repeated or malformed, or the body is not an event."""


class WebhookTooLarge(WebhookMalformed):
    """The body is larger than the receiver reads."""

    http_status = 413


class WebhookExpired(WebhookError):
    """The timestamp is too old or too new: a recorded delivery, or a wrong clock."""

    http_status = 401


class WebhookSignatureMismatch(WebhookError):
    """No signature matches: another secret, or a body that was changed on the way."""

    http_status = 401


class WebhookInProgress(WebhookError):
    """The same event is being handled at this moment; whether it succeeds is not known yet."""

    http_status = 503
