"""Signatures of Standard Webhooks 1.0: HMAC-SHA256 over the id, the time and the raw body."""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from standardwebhooks import Webhook

from openpns.clock import now_ms
from openpns.errors import ConfigError
from openpns.webhooks.errors import WebhookMalformed
from openpns.webhooks.headers import ID, SIGNATURE, TIMESTAMP, SignedHeaders

SECRETS_MAX: Final = 10
_SECRET: Final = re.compile(r"whsec_([A-Za-z0-9+/]+={0,2})", re.ASCII)
_SECRET_BYTES: Final = range(24, 65)
"""As Standard Webhooks has it; those of openpns have 32."""
_SEPARATOR: Final = re.compile(r"[\s,]+")
_ALLOWED: Final = (
    "allowed is whsec_ and the base64 of 24 to 64 bytes; several, such as during a rotation, with "
    "commas or spaces between them"
)


class Secrets:
    """The secrets of a webhook; a signature with any of them matches.

    Args:
        secrets: One text or several; each may hold several secrets, with commas or white space
            between them.

    Raises:
        ConfigError: One is malformed, or there is none, or there are more than 10.
    """

    def __init__(self, secrets: str | Iterable[str]) -> None:
        self._keys, problem = _parse(secrets)
        if problem:
            del secrets  # error trackers store the variables of a traceback
            raise ConfigError(problem)

    def __repr__(self) -> str:  # without the secrets
        return f"Secrets({len(self._keys)})"

    def match(self, headers: SignedHeaders, body: bytes) -> bool:
        """Return whether a signature is right, in constant time.

        Raises:
            WebhookMalformed: The body is not UTF-8, as JSON is.
        """
        expected = self.sign(headers.message_id, headers.timestamp_s, body)
        is_right = False
        for ours in expected:
            for theirs in headers.signatures:
                is_right |= hmac.compare_digest(ours.encode(), theirs.encode())
        return is_right

    def sign(self, message_id: str, timestamp_s: int, body: bytes) -> list[str]:
        """Return the signature with each secret.

        The library's `verify` is not used: it has a fixed tolerance and the system's clock, and
        raises other errors for headers that are malformed.
        """
        try:
            text = body.decode()  # the library encodes it again, to the same bytes
        except UnicodeDecodeError:
            text = None
        if text is None:
            raise WebhookMalformed("the body is not UTF-8; allowed is JSON in UTF-8")
        at = datetime.fromtimestamp(timestamp_s, UTC)
        return [key.sign(message_id, at, text) for key in self._keys]


def is_secret(text: str) -> bool:
    """Return whether a text is one secret."""
    return len(_key(text)) in _SECRET_BYTES


def signed_headers(
    body: bytes,
    secrets: str | Iterable[str],
    *,
    message_id: str = "msg_1",
    timestamp_s: int | None = None,
) -> dict[str, str]:
    """Return the headers of a signed event, to test a receiver with.

    Args:
        timestamp_s: When it is sent, in s since 1970 UTC; now if None.
    """
    at_s = now_ms() // 1000 if timestamp_s is None else timestamp_s
    signatures = Secrets(secrets).sign(message_id, at_s, body)
    return {
        "content-type": "application/json",
        ID: message_id,
        TIMESTAMP: str(at_s),
        SIGNATURE: " ".join(signatures),
    }


def _parse(secrets: str | Iterable[str]) -> tuple[list[Webhook], str | None]:
    """Return the library's object for each secret, and what is wrong with the secrets."""
    texts: list[Any] | None = None
    if isinstance(secrets, str):
        texts = [secrets]
    elif isinstance(secrets, Iterable) and not isinstance(secrets, bytes):
        texts = list(secrets)
    if texts is None or not all(isinstance(text, str) for text in texts):
        return [], f"webhook secret: is not a text; {_ALLOWED}"
    found = [secret for text in texts for secret in _SEPARATOR.split(text) if secret]
    if not 1 <= len(found) <= SECRETS_MAX:
        return [], f"webhook secret: there are {len(found)}; allowed are 1 to {SECRETS_MAX}"
    return _decode(found)


def _decode(secrets: Sequence[str]) -> tuple[list[Webhook], str | None]:
    keys = []
    for position, secret in enumerate(secrets, start=1):
        if not is_secret(secret):
            return [], f"webhook secret: number {position} of {len(secrets)} is not one; {_ALLOWED}"
        keys.append(Webhook(_key(secret)))
    return keys, None


def _key(secret: str) -> bytes:
    """Return the bytes of a secret; nothing if it is malformed."""
    match = _SECRET.fullmatch(secret)
    if match is None:
        return b""
    text = match[1].rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""
