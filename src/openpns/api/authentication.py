"""Check the access key, the time and the signature of a request.

Source: docs/api/signing.md; the order of checks is that of docs/api/README.md.
"""

from typing import Final

from openpns import limits
from openpns.accounts.access_keys import Revisions, SigningKey
from openpns.accounts.secret_box import DECOY_OWNER, SecretBox
from openpns.core.principal import Principal
from openpns.errors import (
    InvalidSignature,
    ParameterError,
    PermissionDenied,
    TimestampExpired,
)
from openpns.protocol import signing
from openpns.protocol.headers import BIZ_TYPE, PublicHeaders

CACHED_KEY_BYTES: Final = 16 * 1024
"""Bytes of `cache_bytes_max` for each access key whose row and secret are cached."""

_NOBODY: Final = Principal(DECOY_OWNER, "")
_DISABLED_MS: Final = 0


class Authenticator:
    """Check a request's key, time and signature; cache up to so many decrypted secrets."""

    def __init__(self, secret_box: SecretBox, cached_secrets_max: int = 0) -> None:
        self._secret_box = secret_box
        self._secrets: dict[tuple[bytes, str], bytes] = {}
        self._cached_secrets_max = cached_secrets_max

    def check(
        self, headers: PublicHeaders, body: bytes, key: SigningKey | None, now_ms: int
    ) -> SigningKey:
        """Return the key that signed a request.

        All three checks are made before any of them is answered: an unknown key, a late request
        and a wrong signature cost the same.

        `body` is exactly as sent; `key` is None for an unknown access key.

        Raises:
            PermissionDenied: The key is unknown, disabled or expired, or its customer is
                disabled.
            TimestampExpired: ts is too far from now.
            InvalidSignature: The signature is not that of the request, or was made with md5 for a
                key that demands sha256.
            ParameterError: bizType is wrong.
        """
        # An unknown key is checked against a decoy, so that it takes as long as a known one.
        known = key or SigningKey(
            _NOBODY, Revisions(0), self._secret_box.decoy, disabled_ms=_DISABLED_MS
        )
        owner = known.principal.access_key
        text = signing.text_before_secret(
            headers.access_key, headers.action, headers.biz_type, headers.ts, body
        )
        secrets = [
            self._decrypt(ciphertext, owner) for ciphertext in known.accepted_ciphertexts(now_ms)
        ]
        is_signed = signing.matches(headers.sign, text, secrets, headers.algorithm)
        if not known.is_active(now_ms):
            raise PermissionDenied("the accessKey is unknown, disabled or expired")
        if abs(now_ms - headers.ts_ms) > limits.TS_SKEW_MS_MAX:
            raise TimestampExpired(
                f"ts may differ from the server's clock by {limits.TS_SKEW_MS_MAX} ms; it must be "
                "the time now in ms since 1970 UTC"
            )
        if not is_signed:
            raise InvalidSignature
        if known.sha256_only_since_ms is not None and headers.algorithm != "sha256":
            # Only a principal that can sign gets this text: to a stranger, all keys look alike.
            raise InvalidSignature(
                "this accessKey demands sha256; sign with it, and send the header algorithm: sha256"
            )
        if headers.biz_type != BIZ_TYPE:
            raise ParameterError(f"bizType must be {BIZ_TYPE}")
        if known.customer_disabled_ms is not None:
            raise PermissionDenied("the accessKey's customer is disabled")
        return known

    def _decrypt(self, ciphertext: bytes, owner: str) -> bytes:
        cached = self._secrets.get((ciphertext, owner))
        if cached is not None:
            return cached
        secret = self._secret_box.decrypt(ciphertext, owner)
        if len(self._secrets) >= self._cached_secrets_max:
            self._secrets.clear()
        if self._cached_secrets_max:
            self._secrets[ciphertext, owner] = secret
        return secret
