"""The requests for virtual numbers."""

from typing import Any

import msgspec

from openpns import limits
from openpns.client.arguments import optional_text, text
from openpns.client.binding_types import NumberPage, NumberState, VirtualNumber
from openpns.client.requests import Request


def list_numbers(
    limit: int = limits.NUMBERS_IN_PAGE_MAX,
    after: str = "",
    *,
    did: str | None = None,
    state: NumberState | None = None,
) -> Request[NumberPage]:
    """Return a page of your virtual numbers, by number. An extension of openpns.

    Args:
        after: The `next` of the page before; empty for the first page.
        did: Only this virtual number.
        state: Only those that are "active", "draining" or "disabled".

    Raises:
        LimitOutOfRange: limit is not from 0 to 1000; 0 returns 1000.
        ParameterError: did is not a virtual number, or the server does not know the action.
    """
    body = {
        "limit": limit,
        "after": text("after", after),
        "did": optional_text("did", did),
        "state": optional_text("state", state),
    }
    sent = {field: value for field, value in body.items() if value is not None}
    return Request("listNumbers", sent, _read_page, is_read=True, is_extension=True)


class _WireNumber(msgspec.Struct, rename="camel"):
    did: str
    business_id: str
    state: str
    country: str
    bindings: int
    room: int


class _WirePage(msgspec.Struct):
    numbers: list[_WireNumber]
    next: str | None


def _read_page(envelope: dict[str, Any]) -> NumberPage:
    page = msgspec.convert(envelope.get("data"), _WirePage)
    numbers = [VirtualNumber(*msgspec.structs.astuple(number)) for number in page.numbers]
    return NumberPage(numbers, page.next)
