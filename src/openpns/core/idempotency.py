"""Carrying out a write at most once, however often its request is sent.

A request sent again byte for byte, by a network or by somebody who recorded it, has the same
signature. So a write notes its signature with its answer, in its own transaction; the same
request sent again finds the note and is answered with it. A note is kept until the request's ts is
too old for any server to accept it. createGroup may bring a client token besides, which is noted in
the same way for a day, so that a caller can send the same wish again with a new ts.

Source: docs/api/README.md, "A write is carried out at most once".
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET

from openpns import limits
from openpns.clock import Clock
from openpns.core.context import Caller, Services
from openpns.errors import (
    WIRE_ERRORS,
    ClientTokenReused,
    GroupFull,
    GroupNotFound,
    InternalError,
    OutcomeUnknown,
    ReadFailed,
    ServiceUnavailable,
    TimestampExpired,
)
from openpns.storage.store import Statement, Transaction

_SIGNATURE: Final = "sign:"
_CLIENT: Final = "client:"
_ANSWERED_BEFORE: Final = (
    "the write came before, and its answer cannot be read now; look before sending it again"
)
_CLEAN_AT_ONCE: Final = 1000

ResultT = TypeVar("ResultT")


class DuplicateRequest(Exception):
    """The write was carried out before; its note stands under this key."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


class _Outcome(msgspec.Struct, frozen=True):
    """What a write is answered with: 0 and the result as JSON, or an error's code and words."""

    code: int
    answer: str


class Once(msgspec.Struct, frozen=True):
    """What makes one write recognisable.

    Args:
        caller: Who asks, with the signature of the request; a write without one is not noted.
        now_ms: The time when the write was asked for.
        clock: The wall clock, asked once more when the write's turn has come.
        client_token: The caller's own name for the write; an empty one is none.
        wish: What is asked for, where there is a client token.
    """

    caller: Caller
    now_ms: int
    clock: Clock
    client_token: str | None = None
    wish: msgspec.Struct | None = None

    def note(self, result: Any) -> Transaction[None]:
        """Note that the write is done, with its answer; right after its first lock.

        Args:
            result: What the write returns; anything that msgspec can write as JSON.

        Raises:
            TimestampExpired: The write's turn came so late that an earlier note of the same
                request may have been forgotten.
        """
        outcome = _Outcome(0, msgspec.json.encode(result).decode())
        if self.caller.signature:
            yield from self.note_signature(outcome)
        if self.client_token:
            until_ms = self.now_ms + limits.CLIENT_TOKEN_MS
            key = _CLIENT + self.client_token
            yield from self._add(key, outcome, until_ms, _fingerprint(self.wish))

    def amend(self, result: Any) -> Transaction[None]:
        """Write the answer into a note that was made before it was known.

        Args:
            result: What the write returns.
        """
        if self.caller.signature:
            note = {
                "customer_id": self.caller.customer_id,
                "idempotency_key": _SIGNATURE + self.caller.signature,
                "answer": msgspec.json.encode(result).decode(),
            }
            yield Statement("idempotency_record_amend", note)

    def note_signature(self, outcome: _Outcome) -> Transaction[None]:
        """Note what the request is answered with, under its signature.

        Args:
            outcome: The answer.

        Raises:
            TimestampExpired: See `note`.
        """
        until_ms = self.caller.ts_ms + limits.SIGNATURE_RECORD_MS
        yield from self._add(_SIGNATURE + self.caller.signature, outcome, until_ms)
        # Read now, when no note was found: had this process been stopped for minutes since it
        # checked the ts, a copy of the request may have been carried out and forgotten meanwhile.
        if self.clock() > self.caller.ts_ms + limits.TS_SKEW_MS_MAX + limits.WRITE_LATE_MS_MAX:
            raise TimestampExpired("the write's turn came too late; nothing was written")

    def _add(
        self, key: str, outcome: _Outcome, until_ms: int, fingerprint: str = ""
    ) -> Transaction[None]:
        note = {
            "customer_id": self.caller.customer_id,
            "idempotency_key": key,
            "fingerprint": fingerprint,
            "code": outcome.code,
            "answer": outcome.answer,
            "expires_ms": until_ms,
            "now_ms": self.now_ms,
        }
        if not (yield Statement("idempotency_record_add", note)):
            raise DuplicateRequest(key)


async def write_once(
    services: Services,
    once: Once,
    steps: Callable[[], Transaction[ResultT]],
    result: type[ResultT],
    *,
    batch_key: str | None = None,
) -> ResultT:
    """Carry out a write, or return what it was answered with before.

    Args:
        services: What to work with.
        once: What makes the write recognisable.
        steps: The write; it calls `once.note`.
        result: What it returns.
        batch_key: See `Store.write`.

    Raises:
        WireError: As the write does; where it was refused before, as it was then.
        ClientTokenReused: Another wish came under this client token.
        TimestampExpired: See `Once.note`.
    """
    try:
        return await services.store.write(steps, batch_key=batch_key)
    except DuplicateRequest as again:
        key, outcome = again.key, None
    except (GroupNotFound, GroupFull) as error:
        key, outcome = "", _Outcome(error.code, error.detail)
    if outcome is None:
        outcome = await _find(services, once, key)
    if not key.startswith(_SIGNATURE):
        # Nothing was written, but later it might be: when there is room in the group, or the
        # client token has run out. The note keeps this very request from being carried out then.
        outcome = await _note_apart(services, once, outcome)
    if outcome.code:
        raise WIRE_ERRORS.get(outcome.code, InternalError)(outcome.answer)
    return msgspec.json.decode(outcome.answer, type=result)


async def clean(services: Services) -> None:
    """Forget the notes whose time is over.

    Args:
        services: What to work with.
    """

    def steps() -> Transaction[int]:
        params = {"now_ms": services.clock(), "at_most": _CLEAN_AT_ONCE}
        return len((yield Statement("idempotency_record_clean", params)))

    while await services.store.write(steps) == _CLEAN_AT_ONCE:
        pass


async def _note_apart(services: Services, once: Once, outcome: _Outcome) -> _Outcome:
    """Note an answer in a transaction of its own; return an earlier note where there is one."""
    if not once.caller.signature:
        return outcome
    try:
        await services.store.write(lambda: once.note_signature(outcome))
    except DuplicateRequest as again:
        key = again.key
    except OutcomeUnknown as lost:
        # Whether the note is there is unknown, but not whether the change is.
        raise ServiceUnavailable("the storage was lost; nothing was written") from lost
    else:
        return outcome
    return await _find(services, once, key)


async def _find(services: Services, once: Once, key: str) -> _Outcome:
    note = {"customer_id": once.caller.customer_id, "idempotency_key": key}
    try:
        found = await services.store.fetch("idempotency_record_find", note)
    except (ServiceUnavailable, ReadFailed) as error:
        # To say that nothing was written would be wrong: the first time, something may have been.
        raise OutcomeUnknown(_ANSWERED_BEFORE) from error
    if not found:  # it ran out this very moment
        raise OutcomeUnknown(_ANSWERED_BEFORE)
    fingerprint, code, answer = found[0]
    if fingerprint and fingerprint != _fingerprint(once.wish):
        return _Outcome(
            ClientTokenReused.code,
            "another createGroup was sent under this clientToken in the last 24 hours; use a new "
            "one for each group",
        )
    return _Outcome(code, answer)


def _fingerprint(wish: msgspec.Struct | None) -> str:
    """Return a digest of what is asked for; a field that later versions add does not change it."""
    fields = {} if wish is None else msgspec.structs.asdict(wish)
    sent = {name: value for name, value in fields.items() if value not in (None, UNSET)}
    return hashlib.sha256(msgspec.json.encode(sent, order="sorted")).hexdigest()
