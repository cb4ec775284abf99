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

from openpns import limits
from openpns.domain.calls import Caller, Services
from openpns.errors import (
    WIRE_ERRORS,
    ClientTokenReused,
    GroupFull,
    GroupNotFound,
    InternalError,
    OutcomeUnknown,
    ServiceUnavailable,
    WireError,
)
from openpns.storage.store import Statement, Steps

_SIGNATURE: Final = "sign:"
_CLIENT: Final = "client:"
_CLEAN_AT_ONCE: Final = 1000

ResultT = TypeVar("ResultT")


class _SentBeforeError(Exception):
    """The write was carried out before; its note stands under this key."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


class Once(msgspec.Struct, frozen=True):
    """What makes one write recognisable.

    Args:
        caller: Who asks, with the signature of the request; a write without one is not noted.
        now_ms: The time now.
        client_token: The caller's own name for the write.
        wish: What is asked for, where there is a client token.
    """

    caller: Caller
    now_ms: int
    client_token: str | None = None
    wish: msgspec.Struct | None = None

    def note(self, result: Any) -> Steps[None]:
        """Note that the write is done, with its answer; right after its first lock.

        Args:
            result: What the write returns; anything that msgspec can write as JSON.
        """
        answer = msgspec.json.encode(result).decode()
        if self.client_token:
            until_ms = self.now_ms + limits.CLIENT_TOKEN_MS
            fingerprint = _fingerprint(self.wish)
            yield from self._add(_CLIENT + self.client_token, 0, answer, until_ms, fingerprint)
        if self.caller.signature:
            yield from self.note_signature(0, answer)

    def amend(self, result: Any) -> Steps[None]:
        """Write the answer into a note that was made before it was known.

        Args:
            result: What the write returns.
        """
        if self.caller.signature:
            note = {
                "customer_id": self.caller.customer_id,
                "record_key": _SIGNATURE + self.caller.signature,
                "answer": msgspec.json.encode(result).decode(),
            }
            yield Statement("write_record_amend", note)

    def note_signature(self, code: int, answer: str) -> Steps[None]:
        """Note what the request was answered with.

        Args:
            code: 0, or the code of an error.
            answer: The result as JSON, or the error's own words.
        """
        until_ms = self.caller.ts_ms + limits.WRITE_RECORD_MS
        yield from self._add(_SIGNATURE + self.caller.signature, code, answer, until_ms)

    def _add(
        self, key: str, code: int, answer: str, until_ms: int, fingerprint: str = ""
    ) -> Steps[None]:
        note = {
            "customer_id": self.caller.customer_id,
            "record_key": key,
            "fingerprint": fingerprint,
            "code": code,
            "answer": answer,
            "expires_ms": until_ms,
            "now_ms": self.now_ms,
        }
        if not (yield Statement("write_record_add", note)):
            raise _SentBeforeError(key)


async def write_once(
    services: Services,
    once: Once,
    steps: Callable[[], Steps[ResultT]],
    result: type[ResultT],
    *,
    beside: str | None = None,
) -> ResultT:
    """Carry out a write, or return what it was answered with before.

    Args:
        services: What to work with.
        once: What makes the write recognisable.
        steps: The write; it calls `once.note`.
        result: What it returns.
        beside: See `Store.write`.

    Raises:
        WireError: As the write does; where it was refused before, as it was then.
        ClientTokenReused: Another wish came under this client token.
    """
    try:
        return await services.store.write(steps, beside=beside)
    except _SentBeforeError as again:
        key = again.key
    except (GroupNotFound, GroupFull) as error:
        # Nothing was written, and what is there now may allow it later: the note keeps somebody
        # who sends the refused request again from having it carried out then.
        refused = await _note_refusal(services, once, error)
        if refused is None:
            raise
        key = refused
    return await _answer_again(services, once, key, result)


async def clean(services: Services) -> None:
    """Forget the notes whose time is over.

    Args:
        services: What to work with.
    """

    def steps() -> Steps[int]:
        params = {"now_ms": services.clock(), "at_most": _CLEAN_AT_ONCE}
        return len((yield Statement("write_record_clean", params)))

    while await services.store.write(steps) == _CLEAN_AT_ONCE:
        pass


async def _note_refusal(services: Services, once: Once, error: WireError) -> str | None:
    """Note an error as the answer; return the key of an earlier note where there is one."""
    if not once.caller.signature:
        return None
    try:
        await services.store.write(lambda: once.note_signature(error.code, error.detail))
    except _SentBeforeError as again:
        return again.key
    except OutcomeUnknown as lost:
        # Whether the note is there is unknown, but not whether the change is.
        raise ServiceUnavailable("the storage was lost; nothing was written") from lost
    return None


async def _answer_again(services: Services, once: Once, key: str, result: type[ResultT]) -> ResultT:
    found = await services.store.fetch(
        "write_record_find", {"customer_id": once.caller.customer_id, "record_key": key}
    )
    if not found:  # it ran out this very moment
        raise ServiceUnavailable("the write was carried out before; nothing was written now")
    fingerprint, code, answer = found[0]
    if code:
        raise WIRE_ERRORS.get(code, InternalError)(answer)
    if fingerprint and fingerprint != _fingerprint(once.wish):
        raise ClientTokenReused(
            "another createGroup was sent under this clientToken in the last 24 hours; use a new "
            "one for each group"
        )
    return msgspec.json.decode(answer, type=result)


def _fingerprint(wish: msgspec.Struct | None) -> str:
    return hashlib.sha256(msgspec.json.encode(wish)).hexdigest()
