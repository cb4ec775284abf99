"""The settings of what delivers to webhooks: `openpns serve` and `openpns worker`."""

from typing import Annotated, Literal

import msgspec

from openpns import limits
from openpns.process.settings import ProcessSettings, choice
from openpns.protocol.fields import integer, text


class DeliverySettings(ProcessSettings, frozen=True, kw_only=True):
    """The settings of a delivery worker."""

    webhook_http_allowed: Annotated[
        Literal["off", "on"],
        choice(
            "Whether a webhook may have an http URL: its bodies are not encrypted.", "off", "on"
        ),
    ] = "off"
    webhook_networks_allowed: (
        Annotated[
            str,
            text(
                "Addresses and networks that webhooks may be in, besides public ones; of loopback, "
                "private and other special networks none is allowed if not set.",
                allowed="addresses and networks such as 10.1.0.0/16,fd00:1::/64",
            ),
        ]
        | None
    ) = None
    webhook_schedule: Annotated[
        Literal["vendor", "vendor-2024", "exponential"],
        choice(
            "When a failed delivery is tried again: every minute for 60 minutes (`vendor`), twice "
            "after 5 minutes each (`vendor-2024`), or 13 times in about 3 days (`exponential`).",
            "vendor",
            "vendor-2024",
            "exponential",
        ),
    ] = "vendor"
    webhook_timeout_ms: Annotated[
        int,
        integer(
            "Time limit of an attempt to deliver, to the response's status, in ms.", 100, 120_000
        ),
    ] = limits.WEBHOOK_TIMEOUT_MS
    webhook_requests_max: Annotated[
        int, integer("Attempts to deliver in flight per delivery worker.", 4, 4096)
    ] = limits.WEBHOOK_REQUESTS_MAX
    webhook_requests_per_customer_max: Annotated[
        int, integer("Those of one customer; one, while its receiver fails.", 1, 1024)
    ] = limits.WEBHOOK_REQUESTS_PER_CUSTOMER_MAX


class SendingSettings(msgspec.Struct, frozen=True):
    """How attempts to deliver are made; see the settings with these names.

    Attributes:
        idle_per_receiver_max: Connections to a receiver that are kept for further attempts.
    """

    networks_allowed: str = ""
    timeout_ms: int = limits.WEBHOOK_TIMEOUT_MS
    idle_per_receiver_max: int = 16


def sending_settings(settings: DeliverySettings) -> SendingSettings:
    """Return what of the settings concerns single attempts."""
    return SendingSettings(
        settings.webhook_networks_allowed or "",
        settings.webhook_timeout_ms,
    )
