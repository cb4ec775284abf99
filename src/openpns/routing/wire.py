"""The routing actions on the wire: a struct for each request and each response."""

from typing import Annotated, Final, TypeAlias

import msgspec

from openpns.protocol.fields import RequestBody, integer, text

BIND_TYPES: Final = {"axb": 1, "axg": 2, "extension": 4}
"""bindType of each kind of binding."""

NO_BIND_TYPE: Final = 0
"""bindType in the data of a failed call."""

AT_MAX: Final = 253_402_300_799
"""The last second of the year 9999."""

_Caller: TypeAlias = Annotated[
    str,
    text(
        "Who calls; the country code may be missing.",
        allowed="a phone number, as text",
    ),
]
_Did: TypeAlias = Annotated[
    str,
    text("The virtual number that is called.", allowed="a virtual number, as text"),
]


class QueryAXB(RequestBody, frozen=True):
    """Return who is to be called: the question of a switch for each call."""

    caller: _Caller
    did: _Did
    extension: (
        Annotated[
            str,
            text("The digits that the caller has dialled.", allowed="three digits, as text"),
        ]
        | None
    ) = None


class ExplainCall(RequestBody, frozen=True):
    """Return who would be called, and if nobody, the nearest reason."""

    caller: _Caller
    did: _Did
    extension: (
        Annotated[
            str,
            text("The digits that the caller dials.", allowed="three digits, as text"),
        ]
        | None
    ) = None
    at: (
        Annotated[
            int,
            integer(
                "When the call is made, in s since 1970 UTC; now if missing. Only what is stored "
                "now is known.",
                0,
                AT_MAX,
            ),
        ]
        | None
    ) = None


class CallAnswer(msgspec.Struct, rename="camel"):
    """The `data` of queryAXB without digits; the order of the fields is part of the API."""

    callee: Annotated[str, text("Whom to call; empty if digits are needed first.")]
    call_id: Annotated[str, text("The id of this question, for the call's record.")]
    flag: Annotated[int, text("Bits: 1 records the call.")]
    audio_when_call_fail: Annotated[
        str, text("A WAV file to play if the call fails; empty for the engine's own tone.")
    ]
    bind_type: Annotated[
        int, text("1 for axb, 2 for axg, 4 if digits are needed: ask again with `extension`.")
    ]
    audio_when_dtmf_err: Annotated[
        str, text("A WAV file to play for wrong digits; empty for the engine's own tone.")
    ]
    audio_when_dtmf_need: Annotated[
        str, text("A WAV file that asks for digits; empty for the engine's own tone.")
    ]

    def __repr__(self) -> str:  # without the phone
        return f"{type(self).__name__}({self.call_id!r})"


class DigitsAnswer(msgspec.Struct, rename="camel"):
    """The `data` of queryAXB with digits; the order of the fields is part of the API."""

    callee: Annotated[str, text("Whom to call.")]
    call_id: Annotated[str, text("The id of this question, for the call's record.")]
    extension: Annotated[str, text("The digits.")]
    flag: Annotated[int, text("Bits: 1 records the call.")]
    audio_when_call_fail: Annotated[
        str, text("A WAV file to play if the call fails; empty for the engine's own tone.")
    ]

    def __repr__(self) -> str:  # without the phone
        return f"{type(self).__name__}({self.call_id!r})"


class Explanation(msgspec.Struct, rename="camel"):
    """The `data` of explainCall."""

    callee: Annotated[str, text("Who would be called; empty for nobody.")]
    bind_id: Annotated[str, text("The binding that decides, or that would have; may be empty.")]
    reason: Annotated[str, text("Why, as a word: see the table.")]
    details: Annotated[str, text("The same as a sentence.")]

    def __repr__(self) -> str:  # without the phone
        return f"{type(self).__name__}({self.reason!r})"
