"""Which writes are copies of an earlier one, and what they get: docs/api as plain Python.

A write is recognised by its client token and, if its key is set to unique-ts, by its bytes. Any
other write is carried out each time it arrives. The records are a part of the state of a
customer's data: a commit whose outcome is unknown leaves the change with its record, or neither.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tests.simulation.reference_groups import Change, Groups, Refused, read_payload
from tests.simulation.reference_requests import TRUNCATED, Answer, Request, failed, succeeded
from tests.simulation.stores import Fault

SIGNATURE_MS: Final = 120_000
"""How long after its ts a write of a unique-ts key is recognised."""

TOKEN_MS: Final = 24 * 3_600_000
"""How long a client token is recognised."""


class Record(NamedTuple):
    """The response to a write, and how the write is recognised."""

    key: tuple[str, ...]
    until_ms: int
    answer: Answer
    payload: Any
    """What the write asks for, as far as the key does not say it."""


class State(NamedTuple):
    """A state that a customer's data can have."""

    groups: Groups = ()
    records: tuple[Record, ...] = ()

    def find(self, key: tuple[str, ...], now_ms: int) -> Record | None:
        """Return a record that has not expired."""
        return next((r for r in self.records if r.key == key and now_ms < r.until_ms), None)

    def with_records(self, new: list[Record]) -> "State":
        """Return the state with these records; they replace others with the same keys."""
        keys = {record.key for record in new}
        return self._replace(records=(*(r for r in self.records if r.key not in keys), *new))

    def cleaned(self, now_ms: int) -> "State":
        """Return the state without its expired records."""
        return self._replace(records=tuple(r for r in self.records if now_ms < r.until_ms))


Outcome = tuple[Answer, State]
"""A response that is right, and the state that it leaves."""


def outcomes(
    request: Request,
    change: Change,
    customer: str,
    state: State,
    now_ms: int,
    met: Fault | None,
    *,
    unique_ts: bool,
) -> Iterator[Outcome]:
    """Yield each response that is right in a state, with the state that it leaves.

    Args:
        change: What the request does if it is carried out.
        now_ms: The clock of the worker that responded.
        met: The fault of the storage that the request met.
        unique_ts: Whether the request's key is set to unique-ts.
    """
    if request.action == "listGroup":
        yield _listed(change, customer, state, met)
        return
    if met is not None and met.is_before and met.method == "write":
        yield failed(met.code), state
        return
    new = _records(request, now_ms, unique_ts=unique_ts)
    first = next((r for r in new if state.find(r.key, now_ms)), None)
    if first is None:
        yield from _carried_out(change, customer, state, new, met)
    elif met is not None and met.method == "fetch":
        # The first request may have been carried out, but its record cannot be read.
        yield failed(19006), state
    else:
        missing = new[: new.index(first)]
        yield from _replayed(first, missing, state, now_ms, met)


def _carried_out(
    change: Change, customer: str, state: State, new: list[Record], met: Fault | None
) -> Iterator[Outcome]:
    try:
        returned, groups = change(customer, state.groups)
    except Refused as refused:
        answer, after, lost = failed(refused.code), state, 19004
    else:
        answer, after, lost = succeeded(returned), state._replace(groups=groups), 19006
    if new or answer.code == 0:
        recorded = after.with_records([r._replace(answer=answer) for r in new])
        yield from _committed(answer, state, recorded, met, lost)
    elif met is None:
        yield answer, state


def _replayed(
    write: Record, missing: list[Record], state: State, now_ms: int, met: Fault | None
) -> Iterator[Outcome]:
    """Yield the outcomes of a write with a record; it gets those that are missing as well."""
    found = state.find(write.key, now_ms)
    assert found is not None
    answer = found.answer if found.payload == write.payload else failed(19007)
    if missing:
        recorded = state.with_records([r._replace(answer=answer) for r in missing])
        yield from _committed(answer, state, recorded, met, 19004)
    elif met is None:
        yield answer, state


def _records(request: Request, now_ms: int, *, unique_ts: bool) -> list[Record]:
    """Return the records that a write leaves, still without its response."""
    records, unknown = [], failed(19006)
    if unique_ts:
        until_ms = request.ts_ms + SIGNATURE_MS
        records.append(Record(_signed(request), until_ms, unknown, None))
    token = request.body.get("clientToken")
    if token:
        payload = read_payload(request.action, request.body)
        records.append(
            Record(("token", request.action, token), now_ms + TOKEN_MS, unknown, payload)
        )
    return records


def _committed(
    answer: Answer, before: State, after: State, met: Fault | None, lost: int
) -> Iterator[Outcome]:
    """Yield the possible outcomes of a commit; `lost` is the code if its outcome is unknown.

    If only a record is committed, the client need not know whether it exists: the groups stay as
    they are.
    """
    if met is None:
        yield answer, after
    elif met.method != "write":
        return
    elif met.code == 19006:
        yield failed(lost), before
        yield failed(lost), after
    else:
        yield failed(met.code), before


def _listed(change: Change, customer: str, state: State, met: Fault | None) -> Outcome:
    if met is None:
        return succeeded(change(customer, state.groups)[0]), state
    return (TRUNCATED if met.method == "stream" else failed(met.code)), state


def _signed(request: Request) -> tuple[str, ...]:
    """Return everything that the signature of a request depends on."""
    algorithm = request.algorithm or "md5"
    return (
        "signature", request.key, request.secret, request.action, str(request.ts_ms), algorithm,
        json.dumps(request.body),
    )  # fmt: skip
