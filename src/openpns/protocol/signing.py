"""The signature of a call: the text to sign, signing it, checking it. Pure functions.

Source: docs/api/signing.md.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

# The digest is the protocol's choice, not ours; `usedforsecurity` lets a FIPS build compute it.
_DIGESTS: Final[dict[str, Callable[[bytes], Any]]] = {
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "sha256": hashlib.sha256,
}

ALGORITHMS: Final = frozenset(_DIGESTS)
"""The values that the header `algorithm` may have; md5 where it is not sent."""


def text_before_secret(access_key: str, action: str, biz_type: str, ts: str, body: bytes) -> bytes:
    """Return the text to sign up to and without the secret's value, in UTF-8.

    Args:
        access_key: The header accessKey.
        action: The header action.
        biz_type: The header bizType.
        ts: The header ts, as sent.
        body: The body exactly as sent; its part is left out where it is empty.
    """
    head = f"accessKey={access_key}&action={action}&bizType={biz_type}&ts={ts}"
    if not body:
        return f"{head}&accessSecret=".encode()
    return b"%s&body=%s&accessSecret=" % (head.encode(), body)


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

    Args:
        access_key: The header accessKey.
        action: The header action.
        biz_type: The header bizType.
        ts: The header ts, as sent.
        body: The body exactly as sent.
        access_secret: The secret that belongs to the access key.
        algorithm: "md5" or "sha256".

    Raises:
        KeyError: The algorithm is another one.
    """
    digest = _begin(algorithm, text_before_secret(access_key, action, biz_type, ts, body))
    return _finish(digest, access_secret.encode())


def matches(signature: str, before_secret: bytes, secrets: Sequence[bytes], algorithm: str) -> bool:
    """Tell whether a signature was made with one of these secrets, in constant time.

    Every secret is tried, whichever matches, so that the time does not tell which did.

    Args:
        signature: The header sign, as sent; ASCII.
        before_secret: What `text_before_secret` returns.
        secrets: The secrets that the key accepts now.
        algorithm: "md5" or "sha256".
    """
    digest = _begin(algorithm, before_secret)
    found = False
    for secret in secrets:
        found |= hmac.compare_digest(_finish(digest, secret), signature)
    return found


def _begin(algorithm: str, before_secret: bytes) -> Any:
    return _DIGESTS[algorithm](before_secret)


def _finish(begun: Any, secret: bytes) -> str:
    """Close a copy of a digest with a secret: a long body is hashed once for all secrets."""
    digest = begun.copy()
    digest.update(secret)
    hexdigest: str = digest.hexdigest()
    return hexdigest
