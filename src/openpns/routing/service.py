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
from openpns.bindings.wire import AXB, DIGITS, EXTENSION
from openpns.core.context import Context
from openpns.errors import ParameterError
from openpns.numbers.service import check_did_country
from openpns.phones import parse_did_digits
from openpns.routing import digits, outcomes, traces
from openpns.routing.answers import Audios, answer, answer_digits, refusal
from openpns.routing.traces import Trace
from openpns.routing.wire import BIND_TYPES, NO_BIND_TYPE, CallAnswer, DigitsAnswer
from openpns.storage.store import Row

_CALLER: Final = re.compile(rf"\+?([0-9]{{1,{limits.PHONE_DIGITS_MAX}}})", re.ASCII)


class Match(msgspec.Struct, frozen=True):
    """A live binding that names the caller: a row of call_find.

    Attributes:
        found: `seat` if it names the caller as A or B, `member` if the caller is in its group.
        phone: The caller, as the binding names it.
        is_member: Whether phone_b is in the binding's group, if it has one.
        is_own_a: Whether phone_a is a virtual number of the customer, as it may have become since.
    """

    found: str
    phone: str
    bind_id: str
    kind: str
    phone_a: str
    phone_b: str
    flag: int
    is_member: int
    is_own_a: int
    is_own_b: int

    def __repr__(self) -> str:  # without the phones
        return f"Match({self.bind_id!r})"

    @property
    def calls_a(self) -> bool:
        """Whether the caller is B or a member of the group."""
        return self.found == "member" or (self.kind == AXB and self.phone == self.phone_b)

    @property
    def calls_own(self) -> bool:
        """Whether the callee would be a virtual number of the customer."""
        return bool(self.is_own_a if self.calls_a else self.is_own_b)

    @property
    def callee(self) -> str:
        """Whom the caller reaches; empty for nobody."""
        if self.calls_own:
            return ""
        if self.calls_a:
            return self.phone_a
        return self.phone_b if self.is_member else ""

    @property
    def outcome(self) -> str:
        """What becomes of the call: the kind of the binding, or why it reaches nobody."""
        if self.callee:
            return self.kind
        if self.calls_own:
            return outcomes.OWN_NUMBER
        return outcomes.NOT_MEMBER if self.phone_b else outcomes.NO_PHONE_B


class Found(msgspec.Struct, frozen=True):
    """What decides a call: whether the number takes calls and has digits, and who matches.

    Attributes:
        is_known: Whether the virtual number is the customer's.
    """

    is_known: bool
    takes_calls: bool
    has_digits: bool
    matches: Sequence[Match]
    audios: Audios

    def decide(self) -> tuple[str, Match | None]:
        """Return what becomes of the call, one of `outcomes.OUTCOMES`, and by which binding.

        That is the one that names the caller; None if none does, or two callers match.
        """
        if not self.takes_calls:
            return outcomes.NO_CALLS, None
        if not self.matches:
            return outcomes.DIGITS if self.has_digits else outcomes.NOT_BOUND, None
        if len({match.phone for match in self.matches}) != 1:
            return outcomes.AMBIGUOUS, None
        seats = [match for match in self.matches if match.found == "seat"]
        match = (seats or self.matches)[0]
        return match.outcome, match


async def query_axb(
    context: Context, *, caller: str, did: str, extension: str | None = None
) -> CallAnswer | DigitsAnswer:
    """Return who is to be called.

    The parameters are the fields of `wire.QueryAXB`.

    Raises:
        ParameterError: caller, did or extension is malformed.
        DidWithoutCountry: did begins with no assigned country code.
        BindingNotFound: No live binding of the customer on did names the caller; with `data` if
            there is an audio for failed calls.
    """
    number, did, extension = parse_call(caller, did, extension)
    call_id = context.services.ids.request_id()
    if extension:
        return await _query_digits(context, number, did, extension, call_id)
    now_ms = context.clock()
    found = await find(context, number, did, now_ms)
    (outcome, match), audios = found.decide(), found.audios
    context.services.count(outcome, 1)
    asked = _Asked(context, call_id, now_ms, number, did)
    if outcome == outcomes.DIGITS:
        asked.note(is_failure=False)  # for the record of a caller who dials no digits
        return answer("", call_id, 0, BIND_TYPES["extension"], audios)
    callee = "" if match is None else match.callee
    if match is None or not callee:
        asked.note(is_known=found.is_known)
        raise refusal(audios, answer("", call_id, 0, NO_BIND_TYPE, audios))
    asked.note(match.bind_id, callee, match.flag)
    return answer(callee, call_id, match.flag, BIND_TYPES[match.kind], audios)


async def _query_digits(
    context: Context, caller: str, did: str, extension: str, call_id: str
) -> DigitsAnswer:
    guarded = digits.guarded_caller(caller, did)
    is_slow = False
    async with digits.turn(context, did, guarded):
        now_ms = context.clock()  # after the wait: bindings and pauses may have run out
        found = await find_digits(context, caller, did, extension, now_ms)
        outcome = found.outcome
        if outcome == outcomes.WRONG_DIGITS:
            is_slow = await digits.count_wrong(context, did, guarded, now_ms)
        # Other workers count while this one looks for the digits.
        elif found.has_wrong and await digits.is_paused(context, did, guarded, now_ms):
            outcome = outcomes.PAUSED
    context.services.count(outcome, 1)
    asked = _Asked(context, call_id, now_ms, caller, did, extension)
    if outcome != EXTENSION:
        asked.note(is_known=found.is_known)
        if is_slow:
            await asyncio.sleep(digits.SLOW_S)
        raise refusal(found.audios, answer_digits("", call_id, extension, 0, found.audios))
    asked.note(found.bind_id, found.callee, found.flag)
    return answer_digits(found.callee, call_id, extension, found.flag, found.audios)


class _Asked(msgspec.Struct, frozen=True):
    """A question, of which a trace is noted once it is answered."""

    context: Context
    call_id: str
    asked_ms: int
    caller: str
    did: str
    extension: str = ""

    def note(
        self,
        bind_id: str = "",
        callee: str = "",
        flag: int = 0,
        *,
        is_known: bool = True,
        is_failure: bool = True,
    ) -> None:
        """Note the answer; without a binding: nobody is called."""
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
        traces.note(self.context.services, trace, is_known=is_known, is_failure=is_failure)


class FoundDigits(msgspec.Struct, frozen=True):
    """What decides a call with digits.

    Attributes:
        is_known: Whether the virtual number is the customer's.
        takes_calls: Whether it connects calls, too.
        bind_id: The binding that holds the digits; empty if none does.
        phone: Whom the binding names for the caller; empty for nobody.
        is_own: Whether that is a virtual number of the customer.
        is_paused: Whether digits are paused for the caller on this virtual number.
        has_wrong: Whether wrong digits of the caller are counted there.
    """

    is_known: bool = False
    takes_calls: bool = False
    bind_id: str = ""
    phone: str = ""
    is_own: bool = False
    flag: int = 0
    is_a: bool = False
    is_paused: bool = False
    has_wrong: bool = False
    audios: Audios = Audios()

    def __repr__(self) -> str:  # without the phones
        return f"FoundDigits({self.bind_id!r})"

    @property
    def outcome(self) -> str:
        """What becomes of the call: one of `outcomes.OUTCOMES`."""
        if not self.takes_calls:
            return outcomes.NO_CALLS
        if self.is_paused:
            return outcomes.PAUSED
        if not self.bind_id:
            return outcomes.WRONG_DIGITS
        if not self.phone:
            return outcomes.NO_PHONE_B
        return outcomes.OWN_NUMBER if self.is_own else EXTENSION

    @property
    def callee(self) -> str:
        """Whom the caller reaches; empty for nobody."""
        return self.phone if self.outcome == EXTENSION else ""


async def find_digits(
    context: Context, caller: str, did: str, extension: str, now_ms: int
) -> FoundDigits:
    """Return what decides a call with digits: one snapshot."""
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
        return FoundDigits()
    takes_calls, bind_id, phone_a, phone_b, flag, country, paused_until_ms, *rest = rows[0]
    call_fail, is_own_a, is_own_b = rest
    is_a = phone_a in (caller, country + national_part(caller))
    return FoundDigits(
        True,
        bool(takes_calls),
        bind_id or "",
        (phone_b if is_a else phone_a) or "",
        bool(is_own_b if is_a else is_own_a),
        flag or 0,
        is_a,
        paused_until_ms is not None and paused_until_ms > now_ms,
        paused_until_ms is not None,
        Audios(call_fail),
    )


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
    matches, digits, takes_calls, audios = [], 0, 0, Audios()
    is_known = False
    for row in rows:
        if row[0] == "number":
            is_known = True
            audios, takes_calls, digits = Audios(*row[1:4]), row[6], row[7]
        else:
            matches.append(Match(*row))
    return Found(is_known, takes_calls > 0, digits > 0, matches, audios)


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
