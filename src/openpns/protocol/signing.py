"""The signature of a request: the text to sign, signing it, verifying it. Pure functions.

Source: docs/api/signing.md.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec


def _md5() -> Callable[[bytes], Any]:
    """Return md5, which the protocol prescribes.

    A FIPS build permits it only with an argument, which doubles the time of a call.
    """
    try:
        hashlib.md5(b"")  # noqa: S324 - the protocol's
    except ValueError:
        return partial(hashlib.md5, usedforsecurity=False)
    return hashlib.md5


_DIGESTS: Final[dict[str, Callable[[bytes], Any]]] = {"md5": _md5(), "sha256": hashlib.sha256}

HMAC_SHA256: Final = "hmac-sha256"
"""The value of the header `algorithm` for the HMAC scheme, an extension of openpns."""

HMAC_FIRST_LINE: Final = b"OPENPNS-HMAC-SHA256"
"""The first line of the text that the HMAC scheme signs."""

SCHEMES: Final = ("md5", "sha256", HMAC_SHA256)
"""Every value of the header `algorithm`; md5 is the default."""


def text_before_secret(access_key: str, action: str, biz_type: str, ts: str, body: bytes) -> bytes:
    """Return the text to sign in UTF-8, up to the value of the secret.

    `ts` and `body` are exactly as sent; an empty body has no `&body=`.
    """
    headers = (value.encode() for value in (access_key, action, biz_type, ts))
    return add_body(text_of_headers(*headers), body)


def text_of_headers(access_key: bytes, action: bytes, biz_type: bytes, ts: bytes) -> bytes:
    """Return the text to sign, up to the body."""
    return b"accessKey=%b&action=%b&bizType=%b&ts=%b" % (access_key, action, biz_type, ts)


def add_body(headers_text: bytes, body: bytes) -> bytes:
    """Return the text to sign, up to the value of the secret; see `text_of_headers`."""
    if not body:
        return headers_text + b"&accessSecret="
    return b"%b&body=%b&accessSecret=" % (headers_text, body)


def sign(
    access_key: str,
    action: str,
    biz_type: str,
    ts: str,
    body: bytes,
    access_secret: str,
    algorithm: str = "md5",
) -> str:
    """Return the signature: the digest of the text to sign, in lower-case hex.

    Raises:
        KeyError: The algorithm is unknown.
    """
    text = text_before_secret(access_key, action, biz_type, ts, body) + access_secret.encode()
    hexdigest: str = _DIGESTS[algorithm](text).hexdigest()
    return hexdigest


def matches(signature: str, before_secret: bytes, secrets: Sequence[bytes], algorithm: str) -> bool:
    """Return whether a signature was made with one of the secrets, in constant time.

    All secrets are tried, so that the time does not depend on which one matches. `before_secret` is
    the result of `add_body`; the signature is ASCII.
    """
    digest = _DIGESTS[algorithm]
    found = False
    for secret in secrets:
        found |= hmac.compare_digest(digest(before_secret + secret).hexdigest(), signature)
    return found


class HmacInput(msgspec.Struct, frozen=True):
    """What the HMAC scheme signs of a request.

    Attributes:
        host: The header Host as sent; empty if there is none.
        path: As sent, without the query.
        content_type: The header Content-Type as sent; empty if there is none.
    """

    method: bytes
    host: bytes
    path: bytes
    content_type: bytes
    access_key: bytes
    action: bytes
    biz_type: bytes
    ts: bytes
    nonce: bytes


def hmac_text(request: HmacInput, body: bytes) -> bytes:
    """Return the text that the HMAC scheme signs."""
    return b"\n".join(
        (
            HMAC_FIRST_LINE,
            request.method,
            request.host.lower(),
            request.path,
            request.content_type.lower(),
            request.access_key,
            request.action,
            request.biz_type,
            request.ts,
            request.nonce,
            hashlib.sha256(body).hexdigest().encode(),
        )
    )


def hmac_sign(text: bytes, access_secret: bytes) -> str:
    """Return the signature of the HMAC scheme, in lower-case hex."""
    return hmac.digest(access_secret, text, hashlib.sha256).hex()


def hmac_matches(signature: str, text: bytes, secrets: Sequence[bytes]) -> bool:
    """Return whether an HMAC was made with one of the secrets, in constant time; see `matches`."""
    found = False
    for secret in secrets:
        found |= hmac.compare_digest(hmac_sign(text, secret), signature)
    return found
