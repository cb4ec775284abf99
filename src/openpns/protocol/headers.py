"""The public headers of a request, and where the API is served.

Source: docs/api/README.md; docs/api/signing.md.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from openpns.errors import MissingHeaders, ParameterError, TimestampExpired
from openpns.protocol import signing

BIZ_TYPE: Final = "5"
"""The value of the header bizType that means privacy number service."""

PATH: Final = "/api/pns/"
PATHS: Final = frozenset({"/api/pns/", "/api/pns", "/v1/api/pns/", "/v1/api/pns"})
"""Every path of the API; PATH is the usual one."""

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
    """The headers that every request carries."""

    access_key: str
    action: str
    biz_type: str
    ts: str
    sign: str
    algorithm: str
    content_type: str | None

    @property
    def ts_ms(self) -> int:
        """The time of the request, in ms since 1970 UTC."""
        return int(self.ts)


def read_headers(headers: Iterable[tuple[str, str]]) -> PublicHeaders:
    """Return the public headers; `headers` are all that were sent, names in lower case.

    Raises:
        MissingHeaders: One or several are missing or empty.
        ParameterError: One was sent twice, or the algorithm is unknown.
        TimestampExpired: ts is not a number.
    """
    sent = [*headers]
    found = dict(sent)
    missing = [_SPELLED[name] for name in _REQUIRED if not found.get(name)]
    if missing:
        raise MissingHeaders(", ".join(missing))
    if len(found) < len(sent):
        _refuse_repeated([name for name, _ in sent])
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


def _refuse_repeated(names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        if name in _SPELLED and name in names[:index]:
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
