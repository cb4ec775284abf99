"""Read a response, without I/O: return the result of the request, or raise the error.

An error is raised where no variable and no other error holds the response: error trackers store
tracebacks with all variables.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from openpns.client.requests import Request, ResultT
from openpns.errors import (
    WIRE_ERRORS,
    AnswerUnreadable,
    BindingNotFound,
    UnknownCode,
    WireError,
)
from openpns.kit.plain_text import brief

_REDIRECTS: Final = range(300, 400)
_TEXT_CHARS_MAX: Final = 1000
"""Of a server's text in an error."""


class Response(msgspec.Struct, frozen=True):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    content: bytes | bytearray

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.content)} bytes)"


def read_result(request: Request[ResultT], response: Response) -> ResultT:
    """Return the result of a request.

    Raises:
        WireError: The envelope's code is not 0.
        AnswerUnreadable: The response is not an envelope, or not one of this action.
    """
    date = _date(response.headers.get("date"))
    facts: dict[str, Any] = {
        "http_status": response.status,
        "server_time": date,
        "retry_after_s": _retry_after_s(response.headers.get("retry-after"), date),
        "request_id": _text(response.headers.get("x-request-id")) or None,
    }
    envelope = _envelope(response.content)
    if envelope is not None and envelope["code"] != 0:
        raise _error(envelope, request.action, facts)
    is_envelope = envelope is not None
    if envelope is not None:
        try:
            return request.read(envelope)
        except msgspec.ValidationError:
            envelope = None
    # Raised outside the except clause, so that it holds neither the response nor the other error.
    why = _why_unreadable(response, is_envelope=is_envelope)
    raise AnswerUnreadable(request.action, why, **facts)


def _envelope(content: bytes | bytearray) -> dict[str, Any] | None:
    """Return the envelope, whose code is an integer; None if the content is not one."""
    try:
        envelope = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return envelope if type(envelope.get("code")) is int else None


def _error(envelope: dict[str, Any], action: str, facts: dict[str, Any]) -> WireError:
    """Return the error of an envelope whose code is not 0, with the facts of its response.

    Its texts can go to a terminal or a log: they are plain and not long.
    """
    code, msg = envelope["code"], _text(envelope.get("msg"))
    kind = WIRE_ERRORS.get(code, UnknownCode)
    if kind.http_status != facts["http_status"]:
        below = {error.http_status: error for error in kind.__subclasses__()}
        kind = below.get(facts["http_status"], kind)
    error = kind(msg.removeprefix(kind.text).removeprefix(": "))
    error.code, error.msg, error.answer, error.action = code, msg or error.msg, envelope, action
    for name, fact in facts.items():
        setattr(error, name, fact)
    error.request_id = _text(envelope.get("requestId")) or error.request_id
    if isinstance(error, BindingNotFound):
        _add_call(error, envelope.get("data"))
    return error


def _add_call(error: BindingNotFound, data: Any) -> None:
    """Give the error of a question the call's id and audios, if the server has sent them."""
    if isinstance(data, dict):
        error.call_id = _short(data.get("callId"))
        error.audio_when_call_fails = _short(data.get("audioWhenCallFail"))
        error.audio_for_wrong_digits = _short(data.get("audioWhenDtmfErr"))
        error.audio_that_asks_for_digits = _short(data.get("audioWhenDtmfNeed"))


def _short(value: Any) -> str | None:
    """Return a value of a server if it is a text of one line that is not long; else None."""
    is_text = isinstance(value, str) and value.isprintable() and len(value) <= _TEXT_CHARS_MAX
    return value or None if is_text else None


def _text(value: Any) -> str:
    """Return a value of a server as plain text of bounded length; empty for None."""
    return "" if value is None else brief(str(value), _TEXT_CHARS_MAX)


def _why_unreadable(response: Response, *, is_envelope: bool) -> str:
    if is_envelope:
        return (
            f"the response does not fit the request (HTTP {response.status}, "
            f"{len(response.content)} bytes); a server that is not openpns may not know extensions"
        )
    if response.status in _REDIRECTS:
        target = _redirect_target(response.headers.get("location", ""))
        return (
            f"the server redirects to {target} (HTTP {response.status}), which is not followed; "
            "set base_url to the new location"
        )
    return (
        f"the response is not one of this API (HTTP {response.status}, "
        f"{len(response.content)} bytes); check base_url and the proxies in between"
    )


def _redirect_target(location: str) -> str:
    """Return scheme, host and port of a redirect: its path may hold anything."""
    try:
        parts = urlsplit(location)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "something that is not a URL"
    if not host:
        return "another path"
    return _text(f"{parts.scheme or 'the same scheme'}://{host}")


def _retry_after_s(value: str | None, date: datetime | None) -> float | None:
    """Return the seconds of Retry-After, which may be a date by the server's clock."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    until = _date(value)
    if until is None or date is None:
        return None
    return max(0.0, (until - date).total_seconds())


def _date(value: str | None) -> datetime | None:
    """Return an HTTP date; None if it is missing or not a date."""
    try:
        found = parsedate_to_datetime(value or "")
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
