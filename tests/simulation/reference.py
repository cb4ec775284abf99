"""What openpns must answer, one call after the other: a model in memory, to compare with.

The one thing that a caller cannot know is the outcome of a write whose commit was lost. It leaves
two states that its customer's data can have; both are kept, and each later answer takes away those
that it does not fit.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from tests.simulation.reference_calls import Answer, Call, failed
from tests.simulation.reference_groups import Refused, read
from tests.simulation.reference_once import State, outcomes
from tests.simulation.stores import Fault

BODY_BYTES_MAX: Final = 16_000

FLAWS_BEFORE_THE_KEY: Final = {
    "another path": (404, 1002),
    "another method": (405, 1002),
    "a body too large": (413, 1002),
    "no sign": (200, 1001),
    "accessKey twice": (200, 1002),
    "ts in words": (200, 1004),
    "an unknown algorithm": (200, 1002),
}
"""What can be wrong with a call before its key is looked at, in the order of the checks."""

FLAWS: Final = (
    *FLAWS_BEFORE_THE_KEY,
    *("an unknown key", "another signature", "another bizType", "an unknown action"),
)
"""Everything that can be wrong with a call, but for its time, its secret and its body."""


@dataclass
class Key:
    """An access key."""

    customer: str
    secrets: list[str]
    """Every secret that it was given, the newest last."""
    previous_until_ms: int = 0
    expires_ms: int | None = None
    is_disabled: bool = False
    demands_sha256: bool = False

    def is_active(self, now_ms: int) -> bool:
        is_expired = self.expires_ms is not None and now_ms >= self.expires_ms
        return not (self.is_disabled or is_expired)

    def accepts(self, call: Call, now_ms: int) -> bool:
        """Whether it takes signatures made with this secret and algorithm."""
        known = 2 if now_ms < self.previous_until_ms else 1
        is_refused = self.demands_sha256 and call.algorithm != "sha256"
        return call.secret in self.secrets[-known:] and not is_refused


@dataclass
class Reference:
    """All that is known of the customers, and what each call must be answered."""

    keys: dict[str, Key] = field(default_factory=dict)
    disabled_customers: set[str] = field(default_factory=set)
    possible: dict[str, list[State]] = field(default_factory=dict)
    """The states that each customer's data can have: one, but for commits that were lost."""

    def accept(
        self, call: Call, now_ms: int, met: Fault | None, group_id: str, answer: Answer
    ) -> None:
        """Make sure that an answer is right, and go on from there.

        Args:
            call: What was sent.
            now_ms: What the clock of the worker said that answered.
            met: The fault that the call met in the storage.
            group_id: The id of the group that was made, if one was.
            answer: What was answered.
        """
        try:
            customer = self._check(call, now_ms, met)
            change = read(call.action, call.body, group_id)
        except Refused as refused:
            refusal = failed(refused.code, refused.status)
            assert answer == refusal, f"answered {_short(answer)}, not {_short(refusal)}"
            # A call that is refused here has not come as far as the groups.
            assert met is None or met.method == "get_cached", f"{met.method} was reached"
            return
        right = [
            outcome
            for state in self.possible[customer]
            for outcome in outcomes(call, change, customer, state, now_ms, met)
        ]
        left = [state for expected, state in right if expected == answer]
        expected = " nor ".join(_short(expected) for expected, _ in right)
        assert left, f"answered {_short(answer)}, not {expected}"
        self.possible[customer] = _each_once(left)

    def clean(self, now_ms: int) -> None:
        """Forget what was noted of writes and is over, by the clock of the worker that cleans."""
        for customer, states in self.possible.items():
            self.possible[customer] = _each_once([state.cleaned(now_ms) for state in states])

    def _check(self, call: Call, now_ms: int, met: Fault | None) -> str:
        """Go through the checks of every call, in their order; return the customer."""
        for flaw, (status, code) in FLAWS_BEFORE_THE_KEY.items():
            if flaw in call.flaws:
                raise Refused(code, status)
        if met is not None and met.method == "get_cached":
            raise Refused(met.code)
        key = self.keys[call.key]
        if "an unknown key" in call.flaws or not key.is_active(now_ms):
            raise Refused(1005)
        if abs(now_ms - call.ts_ms) > 60_000:
            raise Refused(1004)
        if "another signature" in call.flaws or not key.accepts(call, now_ms):
            raise Refused(1003)
        if "another bizType" in call.flaws:
            raise Refused(1002)
        if key.customer in self.disabled_customers:
            raise Refused(1005)
        if "an unknown action" in call.flaws:
            raise Refused(1002)
        return key.customer


def _each_once(states: list[State]) -> list[State]:
    return [state for place, state in enumerate(states) if state not in states[:place]]


def _short(answer: Answer) -> str:
    """Return an answer with the middle of long runs of numbers left out."""
    return re.sub(r"(\d+,\d+),[\d,]+(,\d+,\d+)", r"\1…\2", str(answer))
