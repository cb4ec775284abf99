"""What came back, read: the call's result, or the error that it means. No I/O.

Errors are raised where no variable and no other error holds the answer: tracebacks are kept with
the values of variables by many tools.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from openpns.client.requests import Call, ResultT
from openpns.errors import AnswerUnreadable, error_of_answer

_REDIRECTS: Final = range(300, 400)


class Response(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    content: bytes

    def __repr__(self) -> str:
        """Return a text without the body."""
        return f"Response({self.status}, {len(self.content)} bytes)"


def read_result(call: Call[ResultT], response: Response) -> ResultT:
    """Return what a call returns.

    Args:
        call: The call.
        response: What came back.

    Raises:
        WireError: The envelope's code is not 0.
        AnswerUnreadable: It is no envelope, or not that of this action.
    """
    date = _date(response.headers.get("date"))
    facts: dict[str, Any] = {
        "http_status": response.status,
        "server_time": date,
        "retry_after_s": _retry_after_s(response.headers.get("retry-after"), date),
        "request_id": response.headers.get("x-request-id"),
    }
    envelope = _envelope(response.content)
    if envelope is not None and envelope["code"] != 0:
        raise error_of_answer(envelope, action=call.action, **facts)
    is_envelope = envelope is not None
    if envelope is not None:
        try:
            return call.read(envelope)
        except msgspec.ValidationError:
            envelope = None
    # Raised out here, so that it holds neither the answer nor an error that does.
    why = _why_unreadable(response, is_envelope=is_envelope)
    raise AnswerUnreadable(call.action, why, **facts)


def _envelope(content: bytes) -> dict[str, Any] | None:
    """Return the envelope; None where it is none: its code must be an integer."""
    try:
        envelope = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return envelope if type(envelope.get("code")) is int else None


def _why_unreadable(response: Response, *, is_envelope: bool) -> str:
    if is_envelope:
        return (
            f"the answer is not what this call asks for (HTTP {response.status}, "
            f"{len(response.content)} bytes); a server that is not openpns may not know extensions"
        )
    if response.status in _REDIRECTS:
        return f"the server redirects (HTTP {response.status}); set base_url to where it leads"
    return (
        f"the answer is none of this API (HTTP {response.status}, {len(response.content)} bytes); "
        "check base_url, and what stands between"
    )


def _retry_after_s(value: str | None, date: datetime | None) -> float | None:
    """Return what Retry-After asks for: seconds, or a date by the server's own clock."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    until = _date(value)
    if until is None or date is None:
        return None
    return max(0.0, (until - date).total_seconds())


def _date(value: str | None) -> datetime | None:
    """Return an HTTP date; None where it is missing or none."""
    try:
        found = parsedate_to_datetime(value or "")
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
