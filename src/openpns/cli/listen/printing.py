"""A delivery as a line of text or JSON, for a terminal; phones masked unless they are asked for."""

import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from openpns.cli.listen.answers import Received, Refused, Shown
from openpns.cli.output import GAP, to_json
from openpns.kit.plain_text import brief, plain
from openpns.phones import mask_phone
from openpns.webhooks import CallRecord, Event, UnboundCall, UnknownEvent

_TEXT_CHARS_MAX: Final = 200
_NUMBERS: Final = frozenset({"caller", "callee", "did"})
_AS_SENT: Final = frozenset(
    {
        *("id", "businessId", "customerBindId", "bindId", "callId", "callStatus", "duration"),
        *("startAt", "answerAt", "hangupAt", "hangupCode", "hangup", "extensionCaller"),
        *("extensionCallee", "extension", "code", "requestId", "action", "occurrenceTime"),
    }
)
"""The fields of known events that hold no phone, although they may have many digits."""
_DIGITS: Final = re.compile(r"[0-9]{5,}", re.ASCII)
"""What may be a phone, in any other field."""


def line_of(shown: Shown, *, as_json: bool, show_numbers: bool) -> str:
    """Return the line of a delivery."""
    if isinstance(shown, Refused):
        return plain(f"openpns: refused with {shown.status}: {shown.why}")
    if as_json:
        return to_json(_as_dict(shown, show_numbers=show_numbers))
    at = datetime.fromtimestamp(shown.at_ms / 1000, UTC).strftime("%H:%M:%SZ")
    event = shown.event
    parts = (at, event.kind, event.message_id, *_facts(event, show_numbers=show_numbers))
    cells = [brief(part, _TEXT_CHARS_MAX) for part in parts]
    return GAP.join([*cells, f"attempt {shown.attempt}", str(shown.status)])


def _as_dict(shown: Received, *, show_numbers: bool) -> dict[str, Any]:
    body = msgspec.json.decode(shown.body)
    if not show_numbers:
        body = _masked(body, is_known=not isinstance(shown.event, UnknownEvent))
    return {
        "atMs": shown.at_ms,
        "webhookId": shown.event.message_id,
        "kind": shown.event.kind,
        "attempt": shown.attempt,
        "status": shown.status,
        "body": body,
    }


def _facts(event: Event, *, show_numbers: bool) -> list[str]:
    def number(phone: str | None) -> str:
        return phone or "-" if show_numbers else mask_phone(phone or "") or "-"

    def text(value: str) -> str:
        return value if show_numbers else _hide_digits(value)

    if isinstance(event, CallRecord):
        way = " -> ".join(number(phone) for phone in (event.caller, event.did, event.callee))
        cause = f"{text(event.hangup_cause or '')} {event.hangup_code}".strip()
        answered = "not answered" if event.answer is None else f"{event.duration_s} s"
        return [way, answered, cause]
    if isinstance(event, UnboundCall):
        digits = f" and {event.extension}" if event.extension else ""
        return [f"{number(event.caller)} -> {number(event.did)}{digits}", "no binding"]
    return []


def _masked(value: Any, *, is_known: bool, field: str = "") -> Any:
    """Return a value without phones."""
    if isinstance(value, dict):
        # A name may be anything, too.
        return {
            _hide_digits(name): _masked(one, is_known=is_known, field=name)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_masked(one, is_known=is_known, field=field) for one in value]
    return _masked_leaf(value, field, is_known=is_known)


def _masked_leaf(value: Any, field: str, *, is_known: bool) -> Any:
    if (is_known and field in _AS_SENT) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if field in _NUMBERS:
            return mask_phone(value)
        return _hide_digits(value.partition("?")[0] if field == "recordFile" else value)
    hidden = _hide_digits(str(value))
    return value if hidden == str(value) else hidden


def _hide_digits(text: str) -> str:
    return _DIGITS.sub(lambda found: mask_phone(found[0]), text)
