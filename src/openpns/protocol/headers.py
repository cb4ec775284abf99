"""The public headers of a request, and where the API is served.

Source: docs/api/README.md; docs/api/signing.md.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from openpns.errors import MissingHeaders, ParameterError, TimestampExpired
from openpns.protocol import signing

BIZ_TYPE: Final = "5"
"""The value of the header bizType that means privacy number service."""

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
_REQUIRED: Final = (b"accesskey", b"action", b"biztype", b"ts", b"sign")
_TS_DIGITS_MAX: Final = 19


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
    """The text to sign before the body."""


def read_headers(found: Mapping[bytes, bytes], repeated: Sequence[bytes] = ()) -> PublicHeaders:
    """Return the public headers.

    Args:
        found: All headers that were sent, names in lower case.
        repeated: The names of those that were sent more than once.

    Raises:
        MissingHeaders: One or several are missing, empty or not ASCII.
        ParameterError: One was sent twice, or the algorithm is unknown.
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
    if repeated:
        _refuse_repeated(repeated)
    if not (ts.isdigit() and len(ts) <= _TS_DIGITS_MAX):
        raise TimestampExpired("ts must be the time now in ms since 1970 UTC, in digits")
    algorithm = found.get(b"algorithm") or b"md5"
    if algorithm not in _ALGORITHMS:
        raise ParameterError("algorithm must be md5 or sha256")
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
    )


_ALGORITHMS: Final = {name.encode(): name for name in signing.ALGORITHMS}


def _missing(found: Mapping[bytes, bytes]) -> MissingHeaders:
    values = {name: found.get(name, b"") for name in _REQUIRED}
    missing = [_SPELLED[name] for name, value in values.items() if not (value and value.isascii())]
    return MissingHeaders(", ".join(missing))


def _refuse_repeated(names: Sequence[bytes]) -> None:
    for name in names:
        if name in _SPELLED:
            raise ParameterError(f"the header {_SPELLED[name]} must be sent once")


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


def host_in_url(host: str) -> str:
    """Return a host as a URL has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
