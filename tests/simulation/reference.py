"""What openpns must answer, one call after the other: a model in memory, to compare with.

The one thing that a caller cannot know is the outcome of a write whose commit was lost. It leaves
two states that its customer's groups can have; both are kept, and each later answer takes away
those that it does not fit. A state has notes of the writes that were carried out or refused, too:
the same bytes sent again are answered from them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.simulation.reference_groups import Change, Groups, Refused, read
from tests.simulation.stores import Fault

BODY_BYTES_MAX: Final = 16_000

TEXTS: Final = {
    0: "success",
    1001: "Missing common parameters",
    1002: "Parameter error",
    1003: "Invalid signature",
    1004: "Timestamp has expired",
    1005: "Insufficient permissions",
    10009: "Failed to retrieve data",
    10011: "Incorrect list page capacity",
    10012: "Incorrect list page starting point",
    19001: "Number group does not exist",
    19002: "Number group is full",
    19004: "Service unavailable",
    19006: "Outcome unknown",
}
"""How `msg` begins. 19003 and 19005 are not here: none of these calls may be answered so."""

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

    def accepts(self, call: "Call", now_ms: int) -> bool:
        """Whether it takes signatures made with this secret and algorithm."""
        known = 2 if now_ms < self.previous_until_ms else 1
        is_refused = self.demands_sha256 and call.algorithm != "sha256"
        return call.secret in self.secrets[-known:] and not is_refused


@dataclass(frozen=True)
class Call:
    """A call as it was meant, and what went wrong with it on its way."""

    action: str
    body: Any
    """As JSON; or bytes that are none."""
    key: str
    secret: str
    ts_ms: int
    algorithm: str | None
    """None sends no such header."""
    flaws: frozenset[str] = frozenset()


class Answer(NamedTuple):
    """An answer, but for its requestId, and for what `msg` says behind the code's own text."""

    status: int
    code: int
    text: str
    headers: dict[str, str]
    """Those besides Content-Type and X-Request-Id, which every answer has."""
    returned: Any
    """What the envelope holds besides code, msg and requestId."""


class Note(NamedTuple):
    """What a write was answered with."""

    call: str
    ts_ms: int
    code: int
    group_id: str
    """Of the group that it made; empty where it made none."""

    @property
    def answer(self) -> Answer:
        if self.code:
            return failed(self.code)
        return succeeded({"groupId": self.group_id} if self.group_id else {})


class State(NamedTuple):
    """What is there of a customer: its groups, and the writes that are not carried out again."""

    groups: Groups = ()
    notes: tuple[Note, ...] = ()

    def after(self, call: Call, code: int, groups: Groups, group_id: str = "") -> "State":
        """Return the state that a call leaves; a write leaves its note, too."""
        if call.action == "listGroup":
            return self
        return State(groups, (*self.notes, Note(repr(call), call.ts_ms, code, group_id)))


BROKEN_OFF: Final = Answer(200, -1, "broken off in its middle", {}, None)


@dataclass
class Reference:
    """All that is known of the customers, and what each call must be answered."""

    keys: dict[str, Key] = field(default_factory=dict)
    disabled_customers: set[str] = field(default_factory=set)
    possible: dict[str, list[State]] = field(default_factory=dict)
    """The states that each customer can have: one, but for commits that were lost."""

    def forget(self, now_ms: int) -> None:
        """Forget the writes whose ts no clock would take that is at most 60 s behind this one.

        Args:
            now_ms: What the clock says of the worker that forgets.
        """
        for states in self.possible.values():
            states[:] = [
                State(groups, tuple(note for note in notes if now_ms < note.ts_ms + 120_000))
                for groups, notes in states
            ]

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
            expected = failed(refused.code, refused.status)
            assert answer == expected, f"answered {_short(answer)}, not {_short(expected)}"
            # A call that is refused here has not come as far as the groups.
            assert met is None or met.method == "look_up", f"{met.method} was reached"
            return
        outcomes = [
            outcome
            for state in self.possible[customer]
            for outcome in _outcomes(call, change, customer, state, met)
        ]
        left = [state for expected, state in outcomes if expected == answer]
        right = " nor ".join(_short(expected) for expected, _ in outcomes)
        assert left, f"answered {_short(answer)}, not {right}"
        self.possible[customer] = list(dict.fromkeys(left))

    def _check(self, call: Call, now_ms: int, met: Fault | None) -> str:
        """Go through the checks of every call, in their order; return the customer."""
        for flaw, (status, code) in FLAWS_BEFORE_THE_KEY.items():
            if flaw in call.flaws:
                raise Refused(code, status)
        if met is not None and met.method == "look_up":
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


def succeeded(returned: Any) -> Answer:
    """Return the answer of a call that was carried out."""
    return Answer(200, 0, TEXTS[0], {}, returned)


def failed(code: int, status: int = 200) -> Answer:
    """Return the answer of a call that was not."""
    headers = {}
    if code in (19004, 19006):
        status = 503
    if code == 19004:
        headers = {"retry-after": "1"}
    if status == 405:
        headers = {"allow": "POST"}
    return Answer(status, code, TEXTS[code], headers, {})


def _short(answer: Answer) -> str:
    """Return an answer with the middle of long runs of numbers left out."""
    return re.sub(r"(\d+,\d+),[\d,]+(,\d+,\d+)", r"\1…\2", str(answer))


def _outcomes(
    call: Call, change: Change, customer: str, state: State, met: Fault | None
) -> Iterator[tuple[Answer, State]]:
    """Yield each answer that is right in a state, with the state that it leaves."""
    noted = [note.answer for note in state.notes if note.call == repr(call)]
    if noted:
        yield noted[0] if met is None else failed(met.code), state
        return
    try:
        returned, groups = change(customer, state.groups)
    except Refused as refused:
        noting = state.after(call, refused.code, state.groups)
        if met is None:
            yield failed(refused.code), noting
        else:
            # Where the note's own commit is lost, it is still sure that nothing was changed.
            yield failed(19004), noting if met.when == "after commit" else state
        return
    after = state.after(call, 0, groups, returned.get("groupId", ""))
    if met is None:
        yield succeeded(returned), after
    elif met.method == "stream":
        yield BROKEN_OFF, state
    else:
        yield failed(met.code), state
        if met.code == 19006:
            yield failed(met.code), after
