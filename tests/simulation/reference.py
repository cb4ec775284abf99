"""What openpns must respond, one request after the other: a model in memory.

A client cannot know the outcome of a write whose commit was lost. Its customer's data can then have
two states. The model keeps both, and each later response removes the states that it does not fit.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from tests.simulation.reference_groups import Refused, read
from tests.simulation.reference_idempotency import State, outcomes
from tests.simulation.reference_requests import Answer, Request, failed
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
"""What can be wrong with a request before its key is looked up, in the order of the checks."""

FLAWS: Final = (
    *FLAWS_BEFORE_THE_KEY,
    *("an unknown key", "another signature", "another bizType", "an unknown action"),
)
"""Everything that can be wrong with a request, except its time, its secret and its body."""


@dataclass
class Key:
    """An access key."""

    customer: str
    secrets: list[str]
    """Every secret that it has had, the newest last."""
    previous_until_ms: int = 0
    expires_ms: int | None = None
    is_disabled: bool = False
    sha256_only: bool = False
    unique_ts: bool = False

    def is_active(self, now_ms: int) -> bool:
        is_expired = self.expires_ms is not None and now_ms >= self.expires_ms
        return not (self.is_disabled or is_expired)

    def accepts(self, request: Request, now_ms: int) -> bool:
        """Whether it accepts signatures made with this secret and algorithm."""
        known = 2 if now_ms < self.previous_until_ms else 1
        is_refused = self.sha256_only and request.algorithm != "sha256"
        return request.secret in self.secrets[-known:] and not is_refused


@dataclass
class Reference:
    """All that is known of the customers, and what each request must get."""

    keys: dict[str, Key] = field(default_factory=dict)
    disabled_customers: set[str] = field(default_factory=set)
    possible: dict[str, list[State]] = field(default_factory=dict)
    """The states that each customer's data can have: more than one after lost commits."""

    def accept(
        self, request: Request, now_ms: int, met: Fault | None, group_id: str, answer: Answer
    ) -> None:
        """Check that a response is right, and remember the states that it leaves.

        Args:
            now_ms: The clock of the worker that responded.
            met: The fault of the storage that the request met.
            group_id: The id of the group that was created, if one was.
        """
        try:
            key = self._check(request, now_ms, met)
            change = read(request.action, request.body, group_id)
        except Refused as refused:
            refusal = failed(refused.code, refused.status)
            assert answer == refusal, f"got {_short(answer)}, expected {_short(refusal)}"
            # A request that is refused here does not read or write groups.
            assert met is None or met.method == "get_cached", f"{met.method} was reached"
            return
        right = [
            outcome
            for state in self.possible[key.customer]
            for outcome in outcomes(
                request, change, key.customer, state, now_ms, met, unique_ts=key.unique_ts
            )
        ]
        left = [state for expected, state in right if expected == answer]
        expected = " or ".join(dict.fromkeys(_short(expected) for expected, _ in right))
        assert left, f"got {_short(answer)}, expected {expected}"
        self.possible[key.customer] = _each_once(left)

    def clean(self, now_ms: int) -> None:
        """Remove expired records, by the clock of the worker that cleans."""
        for customer, states in self.possible.items():
            self.possible[customer] = _each_once([state.cleaned(now_ms) for state in states])

    def _check(self, request: Request, now_ms: int, met: Fault | None) -> Key:
        """Apply the checks of every request, in their order; return the access key."""
        for flaw, (status, code) in FLAWS_BEFORE_THE_KEY.items():
            if flaw in request.flaws:
                raise Refused(code, status)
        if met is not None and met.method == "get_cached":
            raise Refused(met.code)
        key = self.keys[request.key]
        if "an unknown key" in request.flaws or not key.is_active(now_ms):
            raise Refused(1005)
        if abs(now_ms - request.ts_ms) > 60_000:
            raise Refused(1004)
        if "another signature" in request.flaws or not key.accepts(request, now_ms):
            raise Refused(1003)
        if "another bizType" in request.flaws:
            raise Refused(1002)
        if key.customer in self.disabled_customers:
            raise Refused(1005)
        if "an unknown action" in request.flaws:
            raise Refused(1002)
        return key


def _each_once(states: list[State]) -> list[State]:
    return [state for place, state in enumerate(states) if state not in states[:place]]


def _short(answer: Answer) -> str:
    """Return a response as text, without the middle of long lists of phones."""
    return re.sub(r"(\d+,\d+),[\d,]+(,\d+,\d+)", r"\1…\2", str(answer))
