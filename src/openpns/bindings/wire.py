"""The binding actions on the wire: a struct for each request and each response."""

import re
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from openpns import limits
from openpns.errors import EmptyPhone, LimitOutOfRange, OffsetOutOfRange, ParameterError
from openpns.phones import parse_did_digits, parse_phone
from openpns.protocol.fields import RequestBody, WriteBody, choice, integer, text
from openpns.protocol.fields import flag as boolean

AXB: Final = "axb"
EXTENSION: Final = "extension"
AXG: Final = "axg"
KINDS: Final = (AXB, EXTENSION, AXG)
"""The kinds of a binding."""

RECORD: Final = 1
"""The bit of `flag` that records calls."""

DIGITS: Final = re.compile(r"[0-9]{3}", re.ASCII)
"""What an extension looks like."""


def check_digits(text: str, _: str) -> None:
    """Raise ParameterError if a text is not three digits."""
    if not DIGITS.fullmatch(text):
        raise ParameterError("extension must be three digits, as text")


def _check_phone_if_any(text: str, field: str) -> None:
    if text.strip():
        parse_phone(text, field)


def _check_did_if_any(text: str, field: str) -> None:
    if text.strip():
        parse_did_digits(text, field)


_PHONE_ALLOWED: Final = "a phone number with country code, as text"
_DID_ALLOWED: Final = "a virtual number with country code, as text"
_DIGITS_ALLOWED: Final = "three digits, as text"

_PhoneA: TypeAlias = Annotated[
    str, text("The phone of A, with country code.", allowed=_PHONE_ALLOWED, check=parse_phone)
]
_OwnId: TypeAlias = Annotated[
    str,
    text(
        "Your own id of the binding. While a binding with it lives, a request with the same body "
        "returns that binding and changes nothing.",
        limits.CUSTOMER_BIND_ID_CHARS_MAX,
    ),
]
_Flag: TypeAlias = Annotated[int, integer("Bits: 1 records calls. 0 if missing.", 0, RECORD)]
_ExpireSecond: TypeAlias = Annotated[
    int,
    integer("How many seconds the binding lives; 0 for ever.", 0, limits.EXPIRE_SECOND_MAX),
]
_BusinessId: TypeAlias = Annotated[
    str,
    text("Extension: choose among the virtual numbers of this business only.", 64),
]
_DryRun: TypeAlias = Annotated[
    bool,
    boolean(
        "Extension: return the virtual number that it would take, with an empty bindId, and change "
        "nothing."
    ),
]
_BindId: TypeAlias = Annotated[str, text("The binding.", limits.BIND_ID_CHARS_MAX)]
_OwnIdToFind: TypeAlias = Annotated[
    str, text("Your own id of the binding.", limits.CUSTOMER_BIND_ID_CHARS_MAX)
]


class BindAXB(WriteBody, frozen=True, kw_only=True):
    """Bind two phones: each reaches the other by calling the virtual number."""

    phone_a: _PhoneA
    phone_b: Annotated[
        str, text("The phone of B, with country code.", allowed=_PHONE_ALLOWED, check=parse_phone)
    ]
    customer_bind_id: _OwnId | None = None
    flag: _Flag | None = None
    expire_second: _ExpireSecond
    business_id: _BusinessId | None = None
    dry_run: _DryRun = False

    refused_blank = {"phone_a": EmptyPhone, "phone_b": EmptyPhone}  # noqa: RUF012


class BindAXBExtension(WriteBody, frozen=True, kw_only=True):
    """Bind a phone to digits on a virtual number: whoever dials them after it reaches A."""

    phone_a: _PhoneA
    phone_b: (
        Annotated[
            str,
            text(
                "Whom A reaches by dialling the digits; nobody if missing.",
                allowed=_PHONE_ALLOWED,
                check=_check_phone_if_any,
            ),
        ]
        | None
    ) = None
    phone_x: Annotated[
        str, text("The virtual number.", allowed=_DID_ALLOWED, check=parse_did_digits)
    ]
    extension: (
        Annotated[str, text("The digits.", allowed=_DIGITS_ALLOWED, check=check_digits)] | None
    ) = None
    capital_extension: (
        Annotated[
            str, text("Another name of `extension`.", allowed=_DIGITS_ALLOWED, check=check_digits)
        ]
        | None
    ) = msgspec.field(default=None, name="Extension")
    customer_bind_id: _OwnId | None = None
    flag: _Flag | None = None
    expire_second: _ExpireSecond
    dry_run: _DryRun = False

    refused_blank = {"phone_a": EmptyPhone}  # noqa: RUF012
    needed_unless = {"extension": ("capital_extension",)}  # noqa: RUF012


class BindAXG(WriteBody, frozen=True, kw_only=True):
    """Bind a phone and a number group: each member reaches A by calling the virtual number."""

    phone_a: _PhoneA
    phone_x: (
        Annotated[str, text("The virtual number.", allowed=_DID_ALLOWED, check=_check_did_if_any)]
        | None
    ) = None
    phone_b: (
        Annotated[
            str,
            text(
                "The member of the group whom A reaches by calling; nobody if missing.",
                allowed=_PHONE_ALLOWED,
                check=_check_phone_if_any,
            ),
        ]
        | None
    ) = None
    group_id: Annotated[str, text("The group.")]
    customer_bind_id: _OwnId | None = None
    flag: _Flag | None = None
    expire_second: _ExpireSecond
    business_id: _BusinessId | None = None
    dry_run: _DryRun = False

    refused_blank = {"phone_a": EmptyPhone}  # noqa: RUF012


class UnbindAXB(WriteBody, frozen=True):
    """End a binding of any kind."""

    bind_id: _BindId | None = None
    customer_bind_id: _OwnIdToFind | None = None


class UpdateBinding(WriteBody, frozen=True):
    """Change the end, the second phone or the flag of a binding."""

    bind_id: _BindId | None = None
    customer_bind_id: _OwnIdToFind | None = None
    expire_second: (
        Annotated[
            int,
            integer(
                "How many seconds the binding lives from now on; 0 for ever.",
                0,
                limits.EXPIRE_SECOND_MAX,
            ),
        ]
        | None
    ) = None
    phone_b: (
        Annotated[
            str,
            text(
                "The new second phone; empty for none, unless the kind is axb.",
                allowed=_PHONE_ALLOWED,
                check=_check_phone_if_any,
            ),
        ]
        | None
    ) = None
    flag: Annotated[int, integer("Bits: 1 records calls.", 0, RECORD)] | None = None
    dry_run: Annotated[bool, boolean("Check the change, and change nothing.")] = False


class GetBinding(RequestBody, frozen=True):
    """Return one live binding."""

    bind_id: _BindId | None = None
    customer_bind_id: _OwnIdToFind | None = None


class GetAXBList(RequestBody, frozen=True):
    """Return a page of the customer's live bindings, oldest first."""

    limit: Annotated[
        int,
        integer(
            "How many bindings to return; 0 returns as many as a page may hold, 1000.",
            0,
            limits.BINDINGS_IN_PAGE_MAX,
            LimitOutOfRange,
        ),
    ]
    offset: (
        Annotated[
            int,
            integer(
                "How many bindings to skip; 0 starts at the first.",
                0,
                limits.OFFSET_MAX,
                OffsetOutOfRange,
            ),
        ]
        | UnsetType
    ) = UNSET
    after: (
        Annotated[
            str,
            text(
                "Extension, instead of `offset`: the `next` of the page before; the page starts "
                "after it. Empty starts at the first binding.",
                limits.BIND_ID_CHARS_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    phone: (
        Annotated[
            str,
            text(
                "Extension: only bindings that name this phone, as A, as B or as a member of the "
                "group.",
                allowed="one phone number with country code",
            ),
        ]
        | UnsetType
    ) = UNSET
    did: (
        Annotated[
            str, text("Extension: only bindings on this virtual number.", allowed=_DID_ALLOWED)
        ]
        | UnsetType
    ) = UNSET
    group_id: (
        Annotated[str, text("Extension: only bindings of this group.", limits.GROUP_ID_CHARS)]
        | UnsetType
    ) = UNSET
    kind: Annotated[str, choice("Extension: only bindings of this kind.", *KINDS)] | UnsetType = (
        UNSET
    )
    customer_bind_id: (
        Annotated[
            str,
            text(
                "Extension: only the binding with your own id.", limits.CUSTOMER_BIND_ID_CHARS_MAX
            ),
        ]
        | UnsetType
    ) = UNSET

    needed_unless = {"offset": ("after",)}  # noqa: RUF012


class Bound(msgspec.Struct, rename="camel"):
    """The `data` of the actions that bind; the order of the fields is part of the API."""

    bind_id: Annotated[str, text("The new binding's id; empty in a dry run.")]
    did: Annotated[str, text("The virtual number between the two.")]


class Binding(msgspec.Struct, rename="camel"):
    """A binding in getAXBList's response; the order of the fields is part of the API."""

    customer_id: Annotated[str, text("The customer that the binding belongs to.")]
    business_id: Annotated[str, text("The business that the virtual number belongs to.")]
    bind_id: Annotated[
        str,
        text("The binding's id: 32 lower-case hex characters, or those it was imported with."),
    ]
    customer_bind_id: Annotated[str, text("Your own id; empty if there is none.")]
    phone_a: Annotated[str, text("The phone of A.")]
    phone_b: Annotated[str, text("The phone of B; empty if there is none.")]
    did: Annotated[str, text("The virtual number.")]
    flag: Annotated[int, text("Bits: 1 records calls.")]
    expire_at: Annotated[int, text("When it ends, in s since 1970 UTC; 0 for never.")]
    extension: Annotated[str, text("Its digits; empty if it has none.")]

    def __repr__(self) -> str:  # without the phones
        return f"{type(self).__name__}({self.bind_id!r})"


class BindingDetail(Binding, rename="camel"):
    """The `data` of getBinding: a binding as in getAXBList, and more."""

    kind: Annotated[str, text("`axb`, `extension` or `axg`.")]
    group_id: Annotated[str, text("Its group; empty if it has none.")]
    created_at: Annotated[int, text("When it was made, in s since 1970 UTC.")]
    last_call_at: Annotated[
        int, text("When it was last asked for, in s since 1970 UTC; 0 for never.")
    ]


class BindingPage(msgspec.Struct, rename="camel"):
    """The `data` of getAXBList; the order of the fields is part of the API."""

    bind_list: Annotated[list[Binding], text("The bindings of this page, oldest first.")]
    total: Annotated[
        int,
        text(
            "How many live bindings there are, of those that match the filters; with filters at "
            "most 10 000."
        ),
    ]
    total_is_bounded: (
        Annotated[bool, text("Extension: true if more bindings match than `total` says.")]
        | UnsetType
    ) = UNSET
    next: (
        Annotated[
            str | None,
            text(
                "Extension, only if `after` was sent: the value of `after` for the next page; null "
                "on the last page."
            ),
        ]
        | UnsetType
    ) = UNSET
