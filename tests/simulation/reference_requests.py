"""Requests and responses as the model sees them."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

TEXTS: Final = {
    0: "success",
    1001: "Missing common parameters",
    1002: "Parameter error",
    1003: "Invalid signature",
    1004: "Timestamp has expired",
    1005: "Insufficient permissions",
    10009: "Failed to retrieve data",
    10011: "Incorrect list page capacity",
    10012: "Incorrect list page starting point",
    19001: "Number group does not exist",
    19002: "Number group is full",
    19004: "Service unavailable",
    19006: "Outcome unknown",
    19007: "Client token reused",
}
"""How `msg` begins. 19003 and 19005 are missing: no request here may get them."""


@dataclass(frozen=True)
class Request:
    """A request as it was meant, and what is wrong with it."""

    action: str
    body: Any
    """As JSON; or bytes that are not JSON."""
    key: str
    secret: str
    ts_ms: int
    algorithm: str | None
    """None sends no such header."""
    flaws: frozenset[str] = frozenset()


class Answer(NamedTuple):
    """A response without its requestId, and without what follows the code's own text in `msg`."""

    status: int
    code: int
    text: str
    headers: dict[str, str]
    """Without Content-Type and X-Request-Id, which every response has."""
    returned: Any
    """What the envelope holds besides code, msg and requestId."""


TRUNCATED: Final = Answer(200, -1, "truncated", {}, None)


def succeeded(returned: Any) -> Answer:
    """Return the response to a request that was carried out."""
    return Answer(200, 0, TEXTS[0], {}, returned)


def failed(code: int, status: int = 200) -> Answer:
    """Return the response to a request that was not carried out, or not certainly."""
    headers = {}
    if code in (19004, 19006):
        status = 503
    if code == 19004:
        headers = {"retry-after": "1"}
    if status == 405:
        headers = {"allow": "POST"}
    return Answer(status, code, TEXTS[code], headers, {})
