"""The virtual number actions on the wire: a struct for each request and each response."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from openpns import limits
from openpns.errors import LimitOutOfRange
from openpns.protocol.fields import RequestBody, choice, integer, text

ACTIVE: Final = "active"
DRAINING: Final = "draining"
DISABLED: Final = "disabled"
STATES: Final = (ACTIVE, DRAINING, DISABLED)
"""The states of a virtual number: new bindings and calls; calls only; neither."""


class ListNumbers(RequestBody, frozen=True):
    """Return a page of the customer's virtual numbers, by number."""

    limit: Annotated[
        int,
        integer(
            "How many virtual numbers to return; 0 returns as many as a page may hold, 1000.",
            0,
            limits.NUMBERS_IN_PAGE_MAX,
            LimitOutOfRange,
        ),
    ]
    after: (
        Annotated[
            str,
            text(
                "The `next` of the page before; the page starts after it. Empty or missing starts "
                "at the first.",
                limits.PHONE_DIGITS_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    did: (
        Annotated[
            str,
            text("Only this virtual number.", allowed="one virtual number with country code"),
        ]
        | UnsetType
    ) = UNSET
    state: Annotated[str, choice("Only virtual numbers in this state.", *STATES)] | UnsetType = (
        UNSET
    )


class Number(msgspec.Struct, rename="camel"):
    """A virtual number in listNumbers' response."""

    did: Annotated[str, text("The virtual number, in digits with country code.")]
    business_id: Annotated[str, text("The business of the customer that it belongs to.")]
    state: Annotated[
        str,
        text("`active`, `draining` (no new bindings, calls go on) or `disabled` (no calls)."),
    ]
    country: Annotated[str, text("Its country calling code.")]
    bindings: Annotated[
        int,
        text(
            "How many bindings stand on it; those that ran out count until the server ends them, "
            "mostly within a minute."
        ),
    ]
    room: Annotated[int, text("How many more it takes; 0 unless it is active.")]


class NumberPage(msgspec.Struct):
    """The `data` of listNumbers."""

    numbers: Annotated[list[Number], text("The virtual numbers of this page, by number.")]
    next: Annotated[
        str | None,
        text("The value of `after` for the next page; null on the last page."),
    ]
