"""The signature of a request: the text to sign, signing it, verifying it. Pure functions.

Source: docs/api/signing.md.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

# The protocol prescribes md5; `usedforsecurity=False` permits it in a FIPS build.
_DIGESTS: Final[dict[str, Callable[[bytes], Any]]] = {
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "sha256": hashlib.sha256,
}

ALGORITHMS: Final = frozenset(_DIGESTS)
"""Values of the header `algorithm`; md5 is the default."""


def text_before_secret(access_key: str, action: str, biz_type: str, ts: str, body: bytes) -> bytes:
    """Return the text to sign in UTF-8, up to the value of the secret.

    `ts` and `body` are exactly as sent; an empty body has no `&body=`.
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

    Raises:
        KeyError: The algorithm is unknown.
    """
    digest = _begin(algorithm, text_before_secret(access_key, action, biz_type, ts, body))
    return _finish(digest, access_secret.encode())


def matches(signature: str, before_secret: bytes, secrets: Sequence[bytes], algorithm: str) -> bool:
    """Return whether a signature was made with one of the secrets, in constant time.

    All secrets are tried, so that the time does not depend on which one matches. `before_secret` is
    the result of `text_before_secret`.
    """
    digest = _begin(algorithm, before_secret)
    found = False
    for secret in secrets:
        found |= hmac.compare_digest(_finish(digest, secret), signature)
    return found


def _begin(algorithm: str, before_secret: bytes) -> Any:
    return _DIGESTS[algorithm](before_secret)


def _finish(begun: Any, secret: bytes) -> str:
    """Add a secret to a copy of the digest: a long body is hashed once for all secrets."""
    digest = begun.copy()
    digest.update(secret)
    hexdigest: str = digest.hexdigest()
    return hexdigest
