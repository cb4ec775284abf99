"""Calls without a binding, as the customer's webhook gets them: the body has the vendor's form."""

from datetime import datetime, tzinfo
from typing import Final

import msgspec

from openpns.core.outbox import Event
from openpns.errors import BindingNotFound

KIND: Final = "unboundCall"
"""The kind of these events."""

_ACTION: Final = "queryAXB"
_encode: Final = msgspec.json.Encoder().encode


class _Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    caller: str
    did: str
    extension: str = ""


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    action: str
    request_params: _Asked
    occurrence_time: str


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    code: int
    msg: str
    request_id: str
    data: _Data


def event(
    event_id: str,
    request_id: str,
    asked_ms: int,
    *,
    caller: str,
    did: str,
    extension: str,
    zone: tzinfo,
) -> Event:
    """Return the event of a question that was answered 10013.

    Args:
        request_id: That of the question.
        asked_ms: When it was asked; shown to the second, in a time zone.
        extension: The digits; empty if there were none.
    """
    at = datetime.fromtimestamp(asked_ms // 1000, zone)
    data = _Data(_ACTION, _Asked(caller, did, extension), at.strftime("%Y-%m-%d %H:%M:%S"))
    body = _Body(BindingNotFound.code, BindingNotFound.text, request_id, data)
    return Event(event_id, KIND, _encode(body))
