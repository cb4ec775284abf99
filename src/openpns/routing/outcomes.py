"""What became of questions, as it is counted for the metrics; mostly the reasons of explainCall.

Source: docs/operating/serving.md, "Metrics".
"""

from typing import Final

NO_CALLS: Final = "noCalls"
"""The virtual number is not the customer's or disabled, or calls are held."""
DIGITS: Final = "digits"
NOT_BOUND: Final = "notBound"
AMBIGUOUS: Final = "ambiguous"
NOT_MEMBER: Final = "notMember"
NO_PHONE_B: Final = "noPhoneB"
OWN_NUMBER: Final = "ownNumber"
WRONG_DIGITS: Final = "wrongDigits"
PAUSED: Final = "paused"
TOO_MANY: Final = "tooMany"
"""Too many questions with digits of one caller on one virtual number wait."""

OUTCOMES: Final = (
    *("axb", "axg", "extension"),
    *(DIGITS, NOT_BOUND, AMBIGUOUS, NOT_MEMBER, NO_PHONE_B, OWN_NUMBER),
    *(WRONG_DIGITS, PAUSED, TOO_MANY, NO_CALLS),
)

TRACES_DROPPED: Final = "tracesDropped"
"""Traces that were deleted or lost before their time, to bound them."""
GUARDS_DROPPED: Final = "wrongDigitsDropped"
"""Counts of wrong digits that were deleted before their time, to bound them."""
CALLS_OMITTED: Final = "unboundCallsOmitted"
"""Calls without a binding that a bound has kept from a webhook."""
