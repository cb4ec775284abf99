"""The body of an event without phones."""

import re
from typing import Any, Final

from openpns.phones import mask_phone

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


def masked(value: Any, *, is_known: bool, field: str = "") -> Any:
    """Return a value of JSON without phones, and the URL of a recording without its query.

    Args:
        is_known: Whether it is the body of a known event, so that some fields hold no phone.
    """
    if isinstance(value, dict):
        # A name may be anything, too.
        return {
            hide_digits(name): masked(one, is_known=is_known, field=name)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [masked(one, is_known=is_known, field=field) for one in value]
    return _masked_leaf(value, field, is_known=is_known)


def _masked_leaf(value: Any, field: str, *, is_known: bool) -> Any:
    if (is_known and field in _AS_SENT) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if field in _NUMBERS:
            return mask_phone(value)
        return hide_digits(value.partition("?")[0] if field == "recordFile" else value)
    hidden = hide_digits(str(value))
    return value if hidden == str(value) else hidden


def hide_digits(text: str) -> str:
    """Return a text with everything masked in it that may be a phone."""
    return _DIGITS.sub(lambda found: mask_phone(found[0]), text)
