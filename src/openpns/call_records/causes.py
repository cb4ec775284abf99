"""Why a call ended: what the names of causes say about the number, the words and who ended it.

The names are those that switches use for Q.850 causes, and some for what Q.850 has no cause for. A
name that is not here is stored as it is.
"""

from typing import Final

import msgspec

from openpns.call_records.wire import ANSWERED, CALLEE, CALLER, UNANSWERED

NORMAL: Final = "normal end"
BY_PLATFORM: Final = "ended by the platform"
NOT_ANSWERED: Final = "not answered"

RESULTS: Final = ("answered", "busy", "cancelled", "failed", "no answer", "rejected")
"""What may become of a call, for the metric."""


class Cause(msgspec.Struct, frozen=True):
    """What the name of a cause says.

    Attributes:
        code: The switch's number.
        hangup: Who ends such a call.
        words: Of a call that was not answered.
        result: Of the same, one of `RESULTS`.
        is_platform: Whether the platform ended the call.
    """

    code: int
    hangup: int
    words: str
    result: str
    is_platform: bool = False


UNKNOWN_CAUSE: Final = Cause(0, CALLER, NOT_ANSWERED, "no answer")

CAUSES: Final[dict[str, Cause]] = {
    "UNALLOCATED_NUMBER": Cause(1, CALLEE, "the number does not exist", "failed"),
    "NO_ROUTE_DESTINATION": Cause(3, CALLEE, "the number cannot be reached", "failed"),
    "NORMAL_CLEARING": Cause(16, CALLER, NOT_ANSWERED, "no answer"),
    "USER_BUSY": Cause(17, CALLEE, "busy", "busy"),
    "NO_USER_RESPONSE": Cause(18, CALLEE, "no response", "no answer"),
    "NO_ANSWER": Cause(19, CALLEE, NOT_ANSWERED, "no answer"),
    "SUBSCRIBER_ABSENT": Cause(20, CALLEE, "the phone is off", "no answer"),
    "CALL_REJECTED": Cause(21, CALLEE, "rejected", "rejected"),
    "DESTINATION_OUT_OF_ORDER": Cause(27, CALLEE, "the number cannot be reached", "failed"),
    "INVALID_NUMBER_FORMAT": Cause(28, CALLEE, "the number cannot be reached", "failed"),
    "NORMAL_TEMPORARY_FAILURE": Cause(41, CALLEE, BY_PLATFORM, "failed", is_platform=True),
    "SWITCH_CONGESTION": Cause(42, CALLEE, BY_PLATFORM, "failed", is_platform=True),
    "RECOVERY_ON_TIMER_EXPIRE": Cause(102, CALLEE, BY_PLATFORM, "failed", is_platform=True),
    "ORIGINATOR_CANCEL": Cause(487, CALLER, "cancelled by the caller", "cancelled"),
    "MANAGER_REQUEST": Cause(503, CALLEE, BY_PLATFORM, "failed", is_platform=True),
    "ALLOTTED_TIMEOUT": Cause(602, CALLEE, BY_PLATFORM, "failed", is_platform=True),
    "MEDIA_TIMEOUT": Cause(604, CALLEE, BY_PLATFORM, "failed", is_platform=True),
}
"""What is known of each name."""


def find_cause(name: str) -> Cause:
    """Return what a cause says; UNKNOWN_CAUSE for a name that is not known."""
    return CAUSES.get(name, UNKNOWN_CAUSE)


def status_of(cause: Cause, *, is_answered: bool) -> tuple[int, str]:
    """Return `callStatus` and `callStatusMsg` of a call."""
    if not is_answered:
        return UNANSWERED, cause.words
    return ANSWERED, BY_PLATFORM if cause.is_platform else NORMAL


def result_of(cause: Cause, *, is_answered: bool) -> str:
    """Return what became of a call, one of `RESULTS`."""
    return "answered" if is_answered else cause.result
