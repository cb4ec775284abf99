"""A delivery as a line of text or JSON, for a terminal; phones masked unless they are asked for."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from openpns.cli.listen.answers import Received, Refused, Shown
from openpns.cli.masking import hide_digits, masked
from openpns.cli.output import GAP, to_json
from openpns.kit.plain_text import brief, plain
from openpns.phones import mask_phone
from openpns.webhooks import CallRecord, Event, UnboundCall, UnknownEvent

_TEXT_CHARS_MAX: Final = 200


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
        body = masked(body, is_known=not isinstance(shown.event, UnknownEvent))
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
        return value if show_numbers else hide_digits(value)

    if isinstance(event, CallRecord):
        way = " -> ".join(number(phone) for phone in (event.caller, event.did, event.callee))
        cause = f"{text(event.hangup_cause or '')} {event.hangup_code}".strip()
        answered = "not answered" if event.answer is None else f"{event.duration_s} s"
        return [way, answered, cause]
    if isinstance(event, UnboundCall):
        digits = f" and {event.extension}" if event.extension else ""
        return [f"{number(event.caller)} -> {number(event.did)}{digits}", "no binding"]
    return []
