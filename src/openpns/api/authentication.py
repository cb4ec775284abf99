"""The public headers, and checking that a call comes from who it says.

Source: docs/api/signing.md; the order of checks is docs/api/README.md's.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from openpns import limits
from openpns.accounts.access_keys import KnownKey
from openpns.accounts.secret_box import DECOY_OWNER, SecretBox
from openpns.core.context import Caller
from openpns.errors import (
    InvalidSignature,
    MissingHeaders,
    ParameterError,
    PermissionDenied,
    TimestampExpired,
)
from openpns.protocol import signing

BIZ_TYPE: Final = "5"
"""The value of the header bizType that means privacy number service."""

_REQUIRED: Final = ("accesskey", "action", "biztype", "ts", "sign")
_SPELLED: Final = {
    "accesskey": "accessKey",
    "action": "action",
    "biztype": "bizType",
    "ts": "ts",
    "sign": "sign",
    "algorithm": "algorithm",
}
_TS_DIGITS_MAX: Final = 19


class PublicHeaders(msgspec.Struct, frozen=True):
    """The headers that every call carries."""

    access_key: str
    action: str
    biz_type: str
    ts: str
    sign: str
    algorithm: str
    content_type: str | None

    @property
    def ts_ms(self) -> int:
        """The time the caller sent, in ms."""
        return int(self.ts)


def read_headers(headers: Iterable[tuple[str, str]]) -> PublicHeaders:
    """Find the public headers.

    Args:
        headers: Every header as sent, names in lower case.

    Raises:
        MissingHeaders: One or several are missing or empty.
        ParameterError: One was sent twice, or the algorithm is unknown.
        TimestampExpired: ts is no number.
    """
    sent = [*headers]
    found = dict(sent)
    missing = [_SPELLED[name] for name in _REQUIRED if not found.get(name)]
    if missing:
        raise MissingHeaders(", ".join(missing))
    if len(found) < len(sent):
        _check_once([name for name, _ in sent])
    ts = found["ts"]
    if not (ts.isascii() and ts.isdigit() and len(ts) <= _TS_DIGITS_MAX):
        raise TimestampExpired("ts must be the time now in ms since 1970 UTC, in digits")
    algorithm = found.get("algorithm") or "md5"
    if algorithm not in signing.ALGORITHMS:
        raise ParameterError("algorithm must be md5 or sha256")
    return PublicHeaders(
        found["accesskey"], found["action"], found["biztype"], ts, found["sign"], algorithm,
        found.get("content-type"),
    )  # fmt: skip


def _check_once(names: Sequence[str]) -> None:
    for place, name in enumerate(names):
        if name in _SPELLED and name in names[:place]:
            raise ParameterError(f"the header {_SPELLED[name]} must be sent once")


class Authenticator:
    """Check a call's key, time and signature.

    Args:
        secret_box: Opens the keys' secrets.
        cached_secrets_max: How many opened secrets are kept, so as not to open them for every call.
    """

    def __init__(self, secret_box: SecretBox, cached_secrets_max: int = 0) -> None:
        self._secret_box = secret_box
        self._secrets: dict[tuple[bytes, str], bytes] = {}
        self._cached_secrets_max = cached_secrets_max

    def check(
        self,
        headers: PublicHeaders,
        body: bytes,
        key: KnownKey | None,
        now_ms: int,
        request_id: str = "",
    ) -> Caller:
        """Return who calls.

        All three checks are made before any of them is answered: an unknown key, a late call
        and a wrong signature cost the same.

        Args:
            headers: The public headers.
            body: The body exactly as sent.
            key: What the storage knows of the access key; None for an unknown one.
            now_ms: The time now.
            request_id: The call's id, for the caller that is returned.

        Raises:
            PermissionDenied: The key is unknown, disabled or expired, or its customer is
                disabled.
            TimestampExpired: ts is too far from now.
            InvalidSignature: The signature is not the call's, or was made with md5 for a key
                that demands sha256.
            ParameterError: bizType is another one.
        """
        # An unknown key is checked against a decoy, so that it takes as long as a known one.
        known = key or KnownKey(
            "", "", self._secret_box.decoy, None, None, None, 0, 0, None, 0, False, None, None, None
        )
        owner = known.access_key if key else DECOY_OWNER
        secrets = [self._open(sealed, owner) for sealed in known.secret_ciphertexts(now_ms)]
        before_secret = signing.text_before_secret(
            headers.access_key, headers.action, headers.biz_type, headers.ts, body
        )
        is_signed = signing.matches(headers.sign, before_secret, secrets, headers.algorithm)
        skew_ms = abs(now_ms - headers.ts_ms)
        if not known.may_sign(now_ms):
            raise PermissionDenied("the accessKey is unknown, disabled or expired")
        if skew_ms > limits.TS_SKEW_MS_MAX:
            raise TimestampExpired(
                f"ts may differ from the server's clock by {limits.TS_SKEW_MS_MAX} ms; it must be "
                "the time now in ms since 1970 UTC"
            )
        if not is_signed:
            raise InvalidSignature
        if known.sha256_only_since_ms is not None and headers.algorithm != "sha256":
            # Only who can sign is told so: to a stranger, all keys look alike.
            raise InvalidSignature(
                "this accessKey demands sha256; sign with it, and send the header algorithm: sha256"
            )
        if headers.biz_type != BIZ_TYPE:
            raise ParameterError(f"bizType must be {BIZ_TYPE}")
        if known.customer_disabled_ms is not None:
            raise PermissionDenied("the accessKey's customer is disabled")
        return Caller(
            known.access_key, known.customer_id, known.version, known.has_gaps,
            known.rate_per_s, known.rate_burst, headers.sign, headers.ts_ms,
            known.read_only_ms is not None,
            request_id,
        )  # fmt: skip

    def _open(self, sealed: bytes, owner: str) -> bytes:
        kept = self._secrets.get((sealed, owner))
        if kept is not None:
            return kept
        secret = self._secret_box.open(sealed, owner)
        if len(self._secrets) >= self._cached_secrets_max:
            self._secrets.clear()
        if self._cached_secrets_max:
            self._secrets[sealed, owner] = secret
        return secret
