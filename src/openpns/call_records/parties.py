"""Who took part in a call: from its question, or from the binding that the report names."""

from collections.abc import Sequence
from typing import Final

import msgspec

from openpns.call_records.reports import Report, is_same_phone, spellings
from openpns.core.context import Context
from openpns.errors import BindingNotFound, ParameterUnfit
from openpns.ids import SNOWFLAKE_EPOCH_MS
from openpns.phones import find_country_code
from openpns.storage.store import as_struct

_EXTENSION: Final = "extension"
_AXG: Final = "axg"

_CLOCKS_DIFFER_MS: Final = 10_000
"""How much the clocks of nodes may differ."""


class Question(msgspec.Struct, frozen=True):
    """What a switch asked and was answered: a row of call_question_find.

    Attributes:
        bind_id: Empty if nobody was to be called, as `callee`.
        caller: As it was asked: the country code may be missing.
        business_id: That of the virtual number; None if the customer has not got it any more.
    """

    bind_id: str
    caller: str
    callee: str
    did: str
    extension: str
    business_id: str | None

    def __repr__(self) -> str:  # without the phones
        return f"Question({self.bind_id!r})"


class Connection(msgspec.Struct, frozen=True):
    """A binding, live or ended: a row of call_binding_find.

    Attributes:
        is_ended: Its group may have changed since, or be gone.
        is_member: Whether the caller, as given, is in its group.
        is_member_abroad: Whether the caller with a country code in front is.
        phone_b_ms: When B was changed last; 0 for never.
    """

    kind: str
    did: str
    phone_a: str
    phone_b: str
    extension: str
    business_id: str
    customer_bind_id: str
    is_ended: int
    is_member: int
    is_member_abroad: int
    phone_b_ms: int

    def __repr__(self) -> str:  # without the phones
        return f"Connection({self.kind!r})"

    def had_phone_b(self, report: Report) -> bool:
        """Return whether B was the same when the call began, as far as clocks agree.

        The callId has the time of the question, by a clock of ours.
        """
        asked_ms = (int(report.call_id) >> 22) + SNOWFLAKE_EPOCH_MS
        began_ms = min(asked_ms, report.start_s * 1000)
        return not self.phone_b_ms or self.phone_b_ms < began_ms - _CLOCKS_DIFFER_MS

    def names(self, caller: str) -> list[str]:
        """Return the phones of a caller that the binding names, of its two spellings."""
        given, abroad = spellings(caller, self.did)
        own = (self.phone_a,) if self.kind == _EXTENSION else (self.phone_a, self.phone_b)
        found = [phone for phone in dict.fromkeys((given, abroad)) if phone in own]
        if found or self.kind != _AXG:
            return found
        return [
            phone
            for phone, is_member in ((given, self.is_member), (abroad, self.is_member_abroad))
            if is_member
        ]


class Parties(msgspec.Struct, frozen=True):
    """The columns of a record that say who took part; an empty callee is nobody."""

    business_id: str
    customer_bind_id: str
    bind_id: str
    did: str
    caller: str
    callee: str
    extension_caller: str
    extension_callee: str

    def __repr__(self) -> str:  # without the phones
        return f"Parties({self.bind_id!r})"


async def find_parties(context: Context, report: Report, question: Question | None) -> Parties:
    """Return who took part.

    Raises:
        ParameterUnfit: The report and the question differ; the question is not known and a field
            that is needed then is missing, or does not fit the binding; or the call was answered
            although nobody was to be called.
        BindingNotFound: The customer has no such binding.
    """
    if question is None:
        return await _of_binding(context, report)
    _check_agreement(report, question)
    found = await _of_question(context, question)
    _check_answer(report, found.callee)
    return found


async def _of_question(context: Context, question: Question) -> Parties:
    caller, digits = question.caller, question.extension
    own = None
    if question.bind_id:
        own = await _find(context, question.bind_id, caller, question.did)
    if own is None:  # the binding ended more than a week ago, or there was none
        business = question.business_id or ""
        facts = (question.bind_id, question.did, caller, question.callee)
        return Parties(business, "", *facts, "", digits)
    caller = _one_of(own.names(caller)) or caller
    is_a = caller == own.phone_a
    return Parties(
        own.business_id or question.business_id or "",  # a binding that ended long ago has none
        own.customer_bind_id,
        question.bind_id,
        question.did,
        caller,
        question.callee,
        digits if is_a else "",
        "" if is_a else digits,
    )


async def _of_binding(context: Context, report: Report) -> Parties:
    missing = [
        name
        for name, value in (
            ("caller", report.caller),
            ("did", report.did),
            ("bindId", report.bind_id),
        )
        if not value
    ]
    if missing:
        raise ParameterUnfit(
            "the question of this callId is not known, or not any more, so these fields are "
            f"required: {', '.join(missing)}"
        )
    own = await _find(context, report.bind_id, report.caller, report.did)
    if own is None:
        raise BindingNotFound("bindId must be yours, live or ended in the last 7 days")
    if own.did != report.did:
        raise ParameterUnfit("did must be the virtual number of the binding")
    is_b_known = own.had_phone_b(report)
    caller = _caller_of(own, report.caller, is_b_known=is_b_known)
    is_a = caller == own.phone_a
    callee = own.phone_a
    if is_a:  # else the record could name somebody who was not called
        callee = own.phone_b if is_b_known else ""
    if not is_a or is_b_known:
        _check_answer(report, callee)
    digits = own.extension
    return Parties(
        own.business_id,
        own.customer_bind_id,
        report.bind_id,
        own.did,
        caller,
        callee,
        digits if is_a else "",
        "" if is_a else digits,
    )


def _check_answer(report: Report, callee: str) -> None:
    if report.answer_s and not callee:
        raise ParameterUnfit("answerAt must be 0 or missing: nobody was to be called")


def _caller_of(own: Connection, caller: str, *, is_b_known: bool) -> str:
    """Return the caller as the binding names it; anyone may dial the digits of an extension.

    Raises:
        ParameterUnfit: The binding does not name it.
    """
    named = own.names(caller)
    if len(named) == 1:
        return named[0]
    if not named and own.kind == _EXTENSION:
        return caller
    is_unsure = own.is_ended if own.kind == _AXG else not is_b_known
    if not named and is_unsure:  # who was in its group, or who was B, is not known any more
        country = find_country_code(own.did)
        return caller if caller.startswith(country) else spellings(caller, own.did)[1]
    who = "A or a member of its group" if own.kind == _AXG else "A or B"
    raise ParameterUnfit(f"caller must be a phone that the binding names: {who}")


def _one_of(phones: Sequence[str]) -> str:
    return phones[0] if len(phones) == 1 else ""


def _check_agreement(report: Report, question: Question) -> None:
    """Compare the fields that the question has already, as far as they were sent.

    Raises:
        ParameterUnfit: One differs; the text names it.
    """
    checks = (
        (
            "caller",
            not report.caller or is_same_phone(report.caller, question.caller, question.did),
        ),
        ("did", report.did in ("", question.did)),
        ("bindId", report.bind_id in ("", question.bind_id)),
    )
    for name, agrees in checks:
        if not agrees:
            raise ParameterUnfit(f"{name} must be that of the question of this callId, or missing")


async def _find(context: Context, bind_id: str, caller: str, did: str) -> Connection | None:
    given, abroad = spellings(caller, did)
    rows = await context.store.fetch(
        "call_binding_find",
        {
            "customer_id": context.customer_id,
            "bind_id": bind_id,
            "caller": given,
            "caller_abroad": abroad,
        },
    )
    return as_struct(Connection, rows[0]) if rows else None
