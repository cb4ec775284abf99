"""Which writes were carried out before, and what is right after: docs/api as plain Python.

A write is known again by its bytes, a createGroup by its client token too. What was noted is part
of the state that a customer's data can have: a commit that was lost leaves both or neither.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tests.simulation.reference_calls import BROKEN_OFF, Answer, Call, failed, succeeded
from tests.simulation.reference_groups import Change, Groups, Refused, read_wish
from tests.simulation.stores import Fault

NOTED_MS: Final = 120_000
"""For how long after its ts a write is known again."""

TOKEN_MS: Final = 24 * 3_600_000
"""For how long a client token stands for the group that was made under it."""


class Note(NamedTuple):
    """What a write was answered."""

    key: tuple[str, ...]
    until_ms: int
    answer: Answer
    wish: Any = None
    """What was asked for, where the key is a client token."""


class State(NamedTuple):
    """All that can be known of a customer's data."""

    groups: Groups = ()
    notes: tuple[Note, ...] = ()

    def find(self, key: tuple[str, ...], now_ms: int) -> Note | None:
        """Return a note that still counts."""
        return next((n for n in self.notes if n.key == key and now_ms < n.until_ms), None)

    def with_notes(self, *new: Note) -> "State":
        """Return the state with these notes, in the place of others of the same keys."""
        keys = {note.key for note in new}
        return self._replace(notes=(*(n for n in self.notes if n.key not in keys), *new))

    def cleaned(self, now_ms: int) -> "State":
        """Return the state without the notes whose time is over."""
        return self._replace(notes=tuple(n for n in self.notes if now_ms < n.until_ms))


Outcome = tuple[Answer, State]
"""An answer that is right, and the state that it leaves."""


def outcomes(
    call: Call, change: Change, customer: str, state: State, now_ms: int, met: Fault | None
) -> Iterator[Outcome]:
    """Yield each answer that is right in a state, with the state that it leaves.

    Args:
        call: What was sent.
        change: What it does, where it is carried out.
        customer: Whose call it is.
        state: What is there.
        now_ms: What the clock of the worker said that answered.
        met: The fault that the call met in the storage.
    """
    if call.action == "listGroup":
        yield _listed(change, customer, state, met)
        return
    signed, wish = _signed(call), read_wish(call.action, call.body)
    before = state.find(signed, now_ms)
    if before is not None:
        if met is None or met.is_before:
            yield (_refused_by(met) if met else before.answer), state
        return
    named = ("token", call.body["clientToken"]) if wish else ()
    first = state.find(named, now_ms)
    after, answer, lost = state, failed(19007), 19004
    if first is not None and first.wish == wish:
        answer = first.answer
    elif first is None:
        try:
            returned, groups = change(customer, state.groups)
        except Refused as refused:
            answer = failed(refused.code)
        else:
            after, answer, lost = state._replace(groups=groups), succeeded(returned), 19006
            if wish:
                after = after.with_notes(Note(named, now_ms + TOKEN_MS, answer, wish))
    after = after.with_notes(Note(signed, call.ts_ms + NOTED_MS, answer))
    yield from _committed(answer, state, after, met, lost)


def _committed(
    answer: Answer, before: State, after: State, met: Fault | None, lost: int
) -> Iterator[Outcome]:
    """Yield what can come of a commit; `lost` is the code where its outcome is unknown.

    Where the groups stay as they are, only the note is committed: that it may be there or not is
    nothing that the caller has to know.
    """
    if met is None:
        yield answer, after
    elif met.code == 19006:
        yield failed(lost), before
        yield failed(lost), after
    else:
        yield _refused_by(met), before


def _refused_by(met: Fault) -> Answer:
    """Return what a write is answered with that a fault kept from being carried out or found.

    A write reads only where it came before; what cannot be read then may have been carried out.
    """
    return failed(19006 if met.method == "fetch" else met.code)


def _listed(change: Change, customer: str, state: State, met: Fault | None) -> Outcome:
    if met is None:
        return succeeded(change(customer, state.groups)[0]), state
    return (BROKEN_OFF if met.method == "stream" else failed(met.code)), state


def _signed(call: Call) -> tuple[str, ...]:
    """Return all that makes the signature of a call what it is."""
    algorithm = call.algorithm or "md5"
    return (
        "sign", call.key, call.secret, call.action, str(call.ts_ms), algorithm,
        json.dumps(call.body),
    )  # fmt: skip
