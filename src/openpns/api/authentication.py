"""Check the access key, the time and the signature of a request.

Source: docs/api/signing.md; the order of checks is that of docs/api/README.md.
"""

from typing import Final

import msgspec

from openpns import limits
from openpns.accounts import access_keys
from openpns.accounts.access_keys import Revisions, SigningKey
from openpns.accounts.secret_box import DECOY_OWNER, SecretBox
from openpns.core.actions import Action
from openpns.core.principal import Principal
from openpns.errors import (
    InvalidSignature,
    ParameterError,
    PermissionDenied,
    TimestampExpired,
)
from openpns.protocol import signing
from openpns.protocol.headers import BIZ_TYPE, PublicHeaders
from openpns.storage.store import NamedRow
from openpns.transport.messages import Request
from openpns.transport.proxies import TrustedProxies

CACHED_KEY_BYTES: Final = 16 * 1024
"""Bytes of `cache_bytes_max` for each access key whose row and secret are cached."""

_BIZ_TYPE: Final = BIZ_TYPE.encode()
_NOBODY: Final = Principal(DECOY_OWNER, "")
_DISABLED_MS: Final = 0


class _OpenKey(msgspec.Struct, frozen=True):
    """A signing key with its decrypted secrets."""

    row: NamedRow | None
    key: SigningKey
    secrets: tuple[bytes, ...]
    """The current secret and, after a rotation, the one before."""

    def __repr__(self) -> str:  # without the secrets
        return f"_OpenKey({self.key.principal.access_key!r})"


class Authenticator:
    """Check a request's key, time and signature; cache up to so many keys with their secrets."""

    def __init__(
        self, secret_box: SecretBox, proxies: TrustedProxies, cached_keys_max: int = 0
    ) -> None:
        self._secret_box = secret_box
        self._proxies = proxies
        self._open_keys: dict[str, _OpenKey] = {}
        self._cached_keys_max = cached_keys_max

    def check(
        self, headers: PublicHeaders, request: Request, row: NamedRow | None, now_ms: int
    ) -> SigningKey:
        """Return the key that signed a request.

        All three checks are made before any of them is answered: an unknown key, a late request
        and a wrong signature cost the same.

        `row` is that of the access key, None for an unknown one.

        Raises:
            PermissionDenied: The key is unknown, disabled or expired, its customer is disabled, or
                the key may not be used from the request's address.
            TimestampExpired: ts is too far from now.
            InvalidSignature: The signature is not that of the request, or was made in a way that
                the key does not accept.
            ParameterError: bizType is wrong.
        """
        opened = self._open(row)
        key, secrets = opened.key, opened.secrets
        if key.previous_until_ms is None or now_ms >= key.previous_until_ms:
            secrets = secrets[:1]
        if headers.nonce:
            text = signing.hmac_text(self._hmac_input(request), request.body)
            is_signed = signing.hmac_matches(headers.sign, text, secrets)
        else:
            text = signing.add_body(headers.signed_text, request.body)
            is_signed = signing.matches(headers.sign, text, secrets, headers.algorithm)
        check_head(headers, key, now_ms)
        if not is_signed:
            raise InvalidSignature
        # Only a principal that can sign gets these texts: to a stranger, all keys look alike.
        if key.hmac_only_since_ms is not None and not headers.nonce:
            raise InvalidSignature(
                "this accessKey demands hmac-sha256; sign with it, and send the headers "
                "algorithm: hmac-sha256 and nonce"
            )
        if key.sha256_only_since_ms is not None and headers.algorithm == "md5":
            raise InvalidSignature(
                "this accessKey demands sha256; sign with it, and send the header algorithm: sha256"
            )
        if headers.biz_type != _BIZ_TYPE:
            raise ParameterError(f"bizType must be {BIZ_TYPE}")
        if key.customer_disabled_ms is not None:
            raise PermissionDenied("the accessKey's customer is disabled")
        if (
            key.allowed_addresses is not None
            and self._proxies.client_address(request) not in key.allowed_addresses
        ):
            raise PermissionDenied("the accessKey may not be used from this address")
        return key

    def _hmac_input(self, request: Request) -> signing.HmacInput:
        found = request.headers
        return signing.HmacInput(
            request.method,
            self._proxies.host(request),
            request.raw_path,
            found.get(b"content-type", b""),
            found[b"accesskey"],
            found[b"action"],
            found[b"biztype"],
            found[b"ts"],
            found[b"nonce"],
        )

    def _open(self, row: NamedRow | None) -> _OpenKey:
        """Return the key of a row with its secrets, cached until the row changes."""
        # An unknown key is checked against a decoy, so that it takes as long as a known one.
        owner = DECOY_OWNER if row is None else row["access_key"]
        cached = self._open_keys.get(owner)
        if cached is not None and (cached.row is row or cached.row == row):
            return cached
        if row is None:
            key = SigningKey(
                _NOBODY, Revisions(0, 0), self._secret_box.decoy, disabled_ms=_DISABLED_MS
            )
        else:
            key = access_keys.read_row(row)
        ciphertexts = (key.secret_ciphertext, key.previous_ciphertext)
        secrets = [self._secret_box.decrypt(one, owner) for one in ciphertexts if one is not None]
        opened = _OpenKey(row, key, tuple(secrets))
        if self._cached_keys_max:
            if len(self._open_keys) >= self._cached_keys_max:
                self._open_keys.clear()
            self._open_keys[owner] = opened
        return opened


def check_head(headers: PublicHeaders, key: SigningKey | None, now_ms: int) -> None:
    """Check what is known of a request before its body: its key and its time.

    Raises:
        PermissionDenied: The key is unknown, disabled or expired.
        TimestampExpired: ts is too far from now.
    """
    if key is None or not key.is_active(now_ms):
        raise PermissionDenied("the accessKey is unknown, disabled or expired")
    if abs(now_ms - headers.ts_ms) > limits.TS_SKEW_MS_MAX:
        raise TimestampExpired(
            f"ts may differ from the server's clock by {limits.TS_SKEW_MS_MAX} ms; it must be the "
            "time now in ms since 1970 UTC"
        )


def check_permission(principal: Principal, name: str, action: Action) -> None:
    """Check that a restricted key may use an action.

    Raises:
        PermissionDenied: It may not; the text says why.
    """
    if principal.is_read_only and action.is_write:
        raise PermissionDenied("the accessKey may only read")
    allowed = principal.allowed_actions
    if allowed is not None and name not in allowed:
        raise PermissionDenied(f"the accessKey may only use {', '.join(sorted(allowed))}")
