"""The rule of queryAXB: who is called.

A question is read-only, and reads the database each time: the very next question after an unbind
gets the new answer, on every node. Time is judged here, against each binding's own end.

Source: docs/api/queryAXB.md.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from openpns import limits
from openpns.bindings.rows import digits_seat
from openpns.bindings.wire import AXB, DIGITS
from openpns.core.context import Context
from openpns.errors import BindingNotFound, ParameterError
from openpns.numbers.service import check_did_country, parse_did_digits
from openpns.routing import digits, traces
from openpns.routing.traces import Trace
from openpns.routing.wire import BIND_TYPES, CallAnswer, DigitsAnswer
from openpns.storage.store import Row

_CALLER: Final = re.compile(rf"\+?([0-9]{{1,{limits.PHONE_DIGITS_MAX}}})", re.ASCII)


class Match(msgspec.Struct, frozen=True):
    """A live binding that names the caller: a row of call_find.

    Attributes:
        found: `seat` if it names the caller as A or B, `member` if the caller is in its group.
        phone: The caller, as the binding names it.
        is_member: Whether phone_b is in the binding's group, if it has one.
    """

    found: str
    phone: str
    bind_id: str
    kind: str
    phone_a: str
    phone_b: str
    flag: int
    is_member: int

    def __repr__(self) -> str:  # without the phones
        return f"Match({self.bind_id!r})"

    @property
    def callee(self) -> str:
        """Whom the caller reaches; empty for nobody."""
        if self.found == "member" or (self.kind == AXB and self.phone == self.phone_b):
            return self.phone_a
        return self.phone_b if self.is_member else ""


class Found(msgspec.Struct, frozen=True):
    """What decides a call: whether the number takes calls and has digits, and who matches."""

    takes_calls: bool
    has_digits: bool
    matches: Sequence[Match]

    def decide(self) -> Match | None:
        """Return the one binding that names the caller; None if none does, or two callers match."""
        seats = [match for match in self.matches if match.found == "seat"]
        phones = {match.phone for match in self.matches}
        if len(phones) != 1:
            return None
        return (seats or self.matches)[0]


async def query_axb(
    context: Context, *, caller: str, did: str, extension: str | None = None
) -> CallAnswer | DigitsAnswer:
    """Return who is to be called.

    The parameters are the fields of `wire.QueryAXB`.

    Raises:
        ParameterError: caller, did or extension is malformed.
        DidWithoutCountry: did begins with no assigned country code.
        BindingNotFound: No live binding of the customer on did names the caller.
    """
    number, did, extension = parse_call(caller, did, extension)
    call_id = context.services.ids.request_id()
    if extension:
        return await _query_digits(context, number, did, extension, call_id)
    now_ms = context.clock()
    found = await find(context, number, did, now_ms)
    match = found.decide()
    if match is None and found.has_digits and not found.matches:
        return CallAnswer("", call_id, 0, "", BIND_TYPES["extension"], "", "")
    asked = _Asked(context, call_id, now_ms, number, did)
    if match is None or not match.callee:
        asked.note()
        raise BindingNotFound
    asked.note(match.bind_id, match.callee, match.flag)
    return CallAnswer(match.callee, call_id, match.flag, "", BIND_TYPES[match.kind], "", "")


async def _query_digits(
    context: Context, caller: str, did: str, extension: str, call_id: str
) -> DigitsAnswer:
    guarded = digits.guarded_caller(caller, did)
    is_slow = False
    async with digits.turn(context, did, guarded):
        now_ms = context.clock()  # after the wait: bindings and pauses may have run out
        found = await find_digits(context, caller, did, extension, now_ms)
        callee = "" if found is None or found.is_paused else found.callee
        if found is not None and not found.bind_id and not found.is_paused:
            is_slow = await digits.count_wrong(context, did, guarded, now_ms)
        elif callee and found is not None and found.has_wrong:
            # Other workers count while this one looks for the digits.
            callee = "" if await digits.is_paused(context, did, guarded, now_ms) else callee
    asked = _Asked(context, call_id, now_ms, caller, did, extension)
    if found is None or not callee:
        asked.note()
        if is_slow:
            await asyncio.sleep(digits.SLOW_S)
        raise BindingNotFound
    asked.note(found.bind_id, callee, found.flag)
    return DigitsAnswer(callee, call_id, extension, found.flag, "")


class _Asked(msgspec.Struct, frozen=True):
    """A question, of which a trace is noted once it is answered."""

    context: Context
    call_id: str
    asked_ms: int
    caller: str
    did: str
    extension: str = ""

    def note(self, bind_id: str = "", callee: str = "", flag: int = 0) -> None:
        """Note the answer; without arguments: nobody is called."""
        trace = Trace(
            self.context.customer_id,
            self.call_id,
            self.asked_ms,
            bind_id,
            self.caller,
            callee,
            self.did,
            self.extension,
            flag,
            self.context.request.request_id,
        )
        traces.note(self.context.services, trace)


class FoundDigits(msgspec.Struct, frozen=True):
    """What decides a call with digits.

    Attributes:
        bind_id: The binding that holds them; empty if none does.
        callee: Whom the caller reaches; empty for nobody.
        is_paused: Whether digits are paused for the caller on this virtual number.
        has_wrong: Whether wrong digits of the caller are counted there.
    """

    bind_id: str
    callee: str
    flag: int
    is_a: bool
    is_paused: bool
    has_wrong: bool

    def __repr__(self) -> str:  # without the phones
        return f"FoundDigits({self.bind_id!r})"


async def find_digits(
    context: Context, caller: str, did: str, extension: str, now_ms: int
) -> FoundDigits | None:
    """Return what decides a call with digits; None if the virtual number connects no calls."""
    rows = await context.store.fetch(
        "call_find_digits",
        {
            "customer_id": context.customer_id,
            "did": did,
            "seat": digits_seat(extension),
            "guarded": digits.guarded_caller(caller, did),
            "now_ms": now_ms,
        },
    )
    if not rows:
        return None
    bind_id, phone_a, phone_b, flag, country, paused_until_ms = rows[0]
    is_a = phone_a in (caller, country + national_part(caller))
    callee = (phone_b if is_a else phone_a) or ""
    has_wrong = paused_until_ms is not None
    is_paused = has_wrong and paused_until_ms > now_ms
    return FoundDigits(bind_id or "", callee, flag or 0, is_a, is_paused, has_wrong)


async def find(context: Context, caller: str, did: str, now_ms: int) -> Found:
    """Return what decides a call without digits: one snapshot."""
    rows = await context.store.fetch(
        "call_find",
        {
            "customer_id": context.customer_id,
            "did": did,
            "caller": caller,
            "national": national_part(caller),
            "now_ms": now_ms,
        },
    )
    return _read(rows)


def _read(rows: Sequence[Row]) -> Found:
    matches, digits, takes_calls = [], 0, False
    for row in rows:
        if row[0] == "number":
            takes_calls, digits = True, row[7]
        else:
            matches.append(Match(*row))
    return Found(takes_calls, digits > 0, matches)


def parse_call(caller: str, did: str, extension: str | None) -> tuple[str, str, str]:
    """Return the caller, the virtual number and the digits of a question, checked in this order.

    The caller's country code may be missing; the digits are empty if there are none.

    Raises:
        ParameterError: One is malformed.
        DidWithoutCountry: did begins with no assigned country code.
    """
    match = _CALLER.fullmatch(caller.strip())
    if match is None:
        raise ParameterError(
            f"caller must be a phone number: 1 to {limits.PHONE_DIGITS_MAX} digits, as text"
        )
    did = parse_did_digits(did, "did")
    if extension and not DIGITS.fullmatch(extension):
        raise ParameterError("extension must be three digits, as text")
    check_did_country(did, "did")
    return match[1], did, extension or ""


def national_part(caller: str) -> str:
    """Return what follows the country code if the caller came without one."""
    return caller.lstrip("0")
