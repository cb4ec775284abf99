"""What the methods for bindings and virtual numbers accept and return."""

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["axb", "extension", "axg"]
"""What is bound: two phones, a phone and digits, or a phone and a group."""

NumberState: TypeAlias = Literal["active", "draining", "disabled"]
"""What a virtual number takes: bindings and calls, calls only, or neither."""


class Binding(msgspec.Struct, frozen=True):
    """A live binding.

    Attributes:
        phone_b: None if there is no second phone.
        is_recorded: Whether its calls are recorded.
        expires: When it ends, in UTC; None for never.
        extension: Its digits; None if it has none.
    """

    bind_id: str
    did: str
    phone_a: str
    phone_b: str | None
    extension: str | None
    is_recorded: bool
    expires: datetime | None
    customer_bind_id: str | None
    business_id: str
    customer_id: str

    def __repr__(self) -> str:  # without the phones
        return f"{type(self).__name__}(bind_id={self.bind_id!r})"


class BindingDetails(Binding, frozen=True):
    """A live binding with its kind, its group (None for none) and its times in UTC."""

    kind: str
    group_id: str | None
    created: datetime
    last_call: datetime | None
    """When it was last asked for; None for never."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bind_id={self.bind_id!r}, kind={self.kind!r})"


class BindingPage(msgspec.Struct, frozen=True):
    """A page of live bindings; `total` counts all that match, not only those of the page.

    A search counts up to 10 000; `total_is_bounded` says that there are more.
    """

    bindings: list[Binding]
    total: int
    total_is_bounded: bool = False


class BindingCursorPage(BindingPage, frozen=True, kw_only=True):
    """A page of bindings; `next` is the `after` of the next page, None on the last one."""

    next: str | None


class BindingFilters(msgspec.Struct, frozen=True):
    """Which bindings to find; None matches any."""

    phone: str | None = None
    did: str | None = None
    group_id: str | None = None
    kind: Kind | None = None
    customer_bind_id: str | None = None

    def __repr__(self) -> str:
        return "BindingFilters(…)"

    def body(self) -> dict[str, str]:
        """Return the fields to send."""
        fields = {
            "phone": self.phone,
            "did": self.did,
            "groupId": self.group_id,
            "kind": self.kind,
            "customerBindId": self.customer_bind_id,
        }
        return {field: value for field, value in fields.items() if value is not None}


class CallDecision(msgspec.Struct, frozen=True):
    """Who is to be called.

    Attributes:
        callee: None if digits are needed first: ask again with them.
        call_id: The id of the question, for the call's record.
        is_recorded: Whether to record the call.
        kind: None in an answer to digits, which does not say it.
        audio_when_call_fails: The URL of a WAV file to play; None for the engine's own tone, as for
            the others.
    """

    callee: str | None
    call_id: str
    is_recorded: bool
    kind: Kind | None
    audio_when_call_fails: str | None
    audio_for_wrong_digits: str | None
    audio_that_asks_for_digits: str | None

    def __repr__(self) -> str:  # without the phone
        return f"CallDecision(call_id={self.call_id!r})"


class CallExplanation(msgspec.Struct, frozen=True):
    """Why a call reaches whom it reaches; `callee` and `bind_id` are None for none."""

    callee: str | None
    bind_id: str | None
    reason: str
    details: str

    def __repr__(self) -> str:  # without the phone
        return f"CallExplanation(reason={self.reason!r})"


class NumberPage(msgspec.Struct, frozen=True):
    """A page of virtual numbers; `next` is the `after` of the next page, None on the last one."""

    numbers: "list[VirtualNumber]"
    next: str | None


class VirtualNumber(msgspec.Struct, frozen=True):
    """A virtual number; `room` is how many more bindings it takes."""

    did: str
    business_id: str
    state: str
    country: str
    bindings: int
    room: int
