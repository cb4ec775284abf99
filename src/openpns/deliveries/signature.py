"""Signatures of deliveries: Standard Webhooks 1.0, over the bytes that are sent."""

import base64
import os
from collections.abc import Sequence
from typing import Final

from openpns.webhooks.signature import Secrets

_SECRET_BYTES: Final = 32
_PREFIX: Final = "whsec_"


def new_secret() -> str:
    """Return a new secret of a webhook: `whsec_` and 32 random bytes in base64."""
    return _PREFIX + base64.b64encode(os.urandom(_SECRET_BYTES)).decode()


def secret_owner(customer_id: str) -> str:
    """Return the owner of the secrets of a customer's webhook; see `SecretBox`."""
    return f"webhook:{customer_id}"


def sign(secrets: Sequence[str], webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of the header `webhook-signature`: a signature with each secret.

    Args:
        secrets: Those in force, as `new_secret` returns them.
        timestamp_s: The value of `webhook-timestamp`, in Unix seconds.
        body: UTF-8, exactly as it is sent.
    """
    return " ".join(Secrets(secrets).sign(webhook_id, timestamp_s, body))
