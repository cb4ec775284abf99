"""The public headers of a request, and where the API is served.

Source: docs/api/README.md; docs/api/signing.md.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from openpns.errors import MissingHeaders, ParameterError, TimestampExpired
from openpns.protocol import signing

BIZ_TYPE: Final = "5"
"""The value of the header bizType that means privacy number service."""

NONCE: Final = re.compile(rb"[A-Za-z0-9_-]{16,64}")
"""What the header nonce of the HMAC scheme allows."""

PATH: Final = "/api/pns/"
PATHS: Final = frozenset({"/api/pns/", "/api/pns", "/v1/api/pns/", "/v1/api/pns"})
"""Every path of the API; PATH is the usual one."""

_SPELLED: Final = {
    b"accesskey": "accessKey",
    b"action": "action",
    b"biztype": "bizType",
    b"ts": "ts",
    b"sign": "sign",
    b"algorithm": "algorithm",
}
_SPELLED_HMAC: Final = {**_SPELLED, b"nonce": "nonce", b"host": "Host"}
"""Those of the HMAC scheme, which also signs Host."""
_REQUIRED: Final = (b"accesskey", b"action", b"biztype", b"ts", b"sign")
_TS_DIGITS_MAX: Final = 19
_HMAC: Final = signing.HMAC_SHA256.encode()


class PublicHeaders(msgspec.Struct, frozen=True):
    """The headers that every request carries."""

    access_key: str
    action: str
    biz_type: bytes
    ts_ms: int
    """The time of the request, in ms since 1970 UTC."""
    sign: str
    algorithm: str
    content_type: str | None
    signed_text: bytes
    """The text to sign before the body, for a digest."""
    nonce: str = ""
    """That of the HMAC scheme; empty for a digest."""


def read_headers(found: Mapping[bytes, bytes], repeated: Sequence[bytes] = ()) -> PublicHeaders:
    """Return the public headers.

    Args:
        found: All headers that were sent, names in lower case.
        repeated: The names of those that were sent more than once.

    Raises:
        MissingHeaders: One or several are missing, empty or not ASCII.
        ParameterError: One was sent twice, the algorithm is unknown, or the nonce is malformed.
        TimestampExpired: ts is not a number.
    """
    try:
        access_key, action, biz_type = found[b"accesskey"], found[b"action"], found[b"biztype"]
        ts, sign = found[b"ts"], found[b"sign"]
    except KeyError:
        raise _missing(found) from None
    signed_text = signing.text_of_headers(access_key, action, biz_type, ts)
    if not (
        access_key and action and biz_type and ts and sign
        and signed_text.isascii() and sign.isascii()
    ):  # fmt: skip
        raise _missing(found)
    algorithm = found.get(b"algorithm") or b"md5"
    is_hmac = algorithm == _HMAC
    if is_hmac and not (found.get(b"nonce") and found[b"nonce"].isascii()):
        raise MissingHeaders("nonce")
    if repeated:
        _refuse_repeated(repeated, _SPELLED_HMAC if is_hmac else _SPELLED)
    if not (ts.isdigit() and len(ts) <= _TS_DIGITS_MAX):
        raise TimestampExpired("ts must be the time now in ms since 1970 UTC, in digits")
    if algorithm not in _ALGORITHMS:
        raise ParameterError("algorithm must be md5, sha256 or hmac-sha256")
    if is_hmac and not NONCE.fullmatch(found[b"nonce"]):
        raise ParameterError("nonce must have 16 to 64 letters, digits, _ and -")
    content_type = found.get(b"content-type")
    return PublicHeaders(
        access_key.decode(),
        action.decode(),
        biz_type,
        int(ts),
        sign.decode(),
        _ALGORITHMS[algorithm],
        None if content_type is None else content_type.decode("latin-1"),
        signed_text,
        found[b"nonce"].decode() if is_hmac else "",
    )


_ALGORITHMS: Final = {name.encode(): name for name in signing.SCHEMES}


def _missing(found: Mapping[bytes, bytes]) -> MissingHeaders:
    required = (*_REQUIRED, b"nonce") if found.get(b"algorithm") == _HMAC else _REQUIRED
    values = {name: found.get(name, b"") for name in required}
    missing = [
        _SPELLED_HMAC[name] for name, value in values.items() if not (value and value.isascii())
    ]
    return MissingHeaders(", ".join(missing))


def _refuse_repeated(names: Sequence[bytes], spelled: Mapping[bytes, str]) -> None:
    for name in names:
        if name in spelled:
            raise ParameterError(f"the header {spelled[name]} must be sent once")


def signed_headers(
    access_key: str,
    action: str,
    ts_ms: int,
    body: bytes,
    access_secret: str,
    algorithm: str = "md5",
) -> dict[str, str]:
    """Return the headers of a signed request.

    Raises:
        KeyError: The algorithm is unknown.
    """
    ts = str(ts_ms)
    headers = {
        "accessKey": access_key,
        "action": action,
        "bizType": BIZ_TYPE,
        "ts": ts,
        "sign": signing.sign(access_key, action, BIZ_TYPE, ts, body, access_secret, algorithm),
        "Content-Type": "application/json",
    }
    if algorithm != "md5":
        headers["algorithm"] = algorithm
    return headers


def hmac_headers(
    access_key: str,
    action: str,
    ts_ms: int,
    nonce: str,
    body: bytes,
    access_secret: str,
    *,
    host: str,
    path: str,
) -> dict[str, str]:
    """Return the headers of a request that is signed with the HMAC scheme.

    `host` is the value of the header Host and `path` the path without the query, both as sent.
    """
    content_type, ts = "application/json", str(ts_ms)
    parts = ("POST", host, path, content_type, access_key, action, BIZ_TYPE, ts, nonce)
    text = signing.hmac_text(signing.HmacInput(*(part.encode() for part in parts)), body)
    return {
        "accessKey": access_key,
        "action": action,
        "bizType": BIZ_TYPE,
        "ts": ts,
        "nonce": nonce,
        "sign": signing.hmac_sign(text, access_secret.encode()),
        "algorithm": signing.HMAC_SHA256,
        "Content-Type": content_type,
        "Host": host,
    }


def host_in_url(host: str) -> str:
    """Return a host as a URL has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
