"""Who took part in a call, if its question is known and if it is not."""

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.call_records.actions import LOST, Calls
from tests.conftest import FakeClock

from openpns import limits
from openpns.errors import BindingNotFound, ParameterUnfit
from openpns.ids import SNOWFLAKE_EPOCH_MS

OLD = "1"
"""The callId of a question of long ago."""


async def test_caller_who_dials_no_digits_has_a_record(
    mine: Bindings, calls: Calls, query: direct.Query, webhook: None
) -> None:
    await query("UPDATE webhook SET kinds = 'unboundCall'")
    await mine.bind_digits("123", A, X, phone_b=B)
    call_id = await calls.ask(C)
    with pytest.raises(ParameterUnfit, match="nobody was to be called"):
        await calls.report(call_id)
    await calls.report(call_id, answer_at=0, hangup_cause="ORIGINATOR_CANCEL")
    found = await calls.get(call_id)
    assert (found.bind_id, found.caller, found.callee, found.did) == ("", C, "", X)
    assert await query("SELECT count(*) FROM delivery") == [(0,)]  # it was not refused


async def test_lost_question_is_replaced_by_the_binding(mine: Bindings, calls: Calls) -> None:
    bind_id, did = await mine.bind(A, B, customer_bind_id="order 1")
    await calls.report(OLD, caller="22222222", did=did, bind_id=bind_id)
    found = await calls.get(OLD)
    assert (found.caller, found.callee, found.customer_bind_id) == (B, A, "order 1")


async def test_lost_question_of_digits_and_groups(mine: Bindings, calls: Calls) -> None:
    digits = await mine.bind_digits("123", A, X, phone_b=B)
    group, _ = await mine.bind_group(await mine.group(C, D), A, phone_x=Y, phone_b=C)
    found = []
    for call_id, caller, did, bind_id in (
        ("1", A, X, digits),
        ("2", "85255555555", X, digits),
        ("3", "33333333", Y, group),
        ("4", A, Y, group),
    ):
        await calls.report(call_id, caller=caller, did=did, bind_id=bind_id)
        record = await calls.get(call_id)
        found.append(
            (record.caller, record.callee, record.extension_caller, record.extension_callee)
        )
    assert found == [
        (A, B, "123", ""),
        ("85255555555", A, "", "123"),
        (C, A, "", ""),
        (A, C, "", ""),
    ]
    with pytest.raises(ParameterUnfit, match="A or a member of its group"):
        await calls.report("5", caller="85255555555", did=Y, bind_id=group)
    await mine.unbind(group)
    await calls.report("5", caller="55555555", did=Y, bind_id=group)
    assert (await calls.get("5")).caller == "85255555555"


async def test_lost_question_names_nobody_who_may_not_have_been_called(
    mine: Bindings, calls: Calls, clock: FakeClock
) -> None:
    bind_id, did = await mine.bind(A, B)
    before = str(clock.now_ms - SNOWFLAKE_EPOCH_MS << 22)
    clock.now_ms += 60_000
    await mine.update(bind_id, phone_b=C)
    clock.now_ms += 60_000
    after = str(clock.now_ms - SNOWFLAKE_EPOCH_MS << 22)
    await mine.update(bind_id, phone_b=C, expire_second=3600)
    of_call = {"did": did, "bind_id": bind_id, "start_at": clock.now_ms // 1000}
    of_call |= {"answer_at": of_call["start_at"], "hangup_at": of_call["start_at"] + 9}
    calls = calls.with_services(clock=lambda: clock.now_ms + limits.DAY_MS)
    for call_id, caller, callee in ((before, A, ""), (after, A, C), (before[:-1] + "1", B, A)):
        await calls.report(call_id, caller=caller, **of_call)
        found = await calls.get(call_id)
        assert (found.bind_id, found.caller, found.callee) == (bind_id, caller, callee)
    with pytest.raises(ParameterUnfit, match="the binding names: A or B"):
        await calls.report(after[:-1] + "1", caller=B, **of_call)
    await mine.unbind(bind_id)
    await calls.report(before[:-1] + "2", caller=A, **of_call)
    assert (await calls.get(before[:-1] + "2")).callee == ""


async def test_lost_question_needs_what_fits(
    mine: Bindings, theirs: Bindings, calls: Calls
) -> None:
    bind_id, _ = await mine.bind(A, B)
    with pytest.raises(ParameterUnfit, match=r"these fields are required: did, bindId$"):
        await calls.report(OLD, caller=A)
    with pytest.raises(BindingNotFound, match="bindId must be yours"):
        await calls.report(OLD, **LOST, bind_id="f" * 32)
    with pytest.raises(BindingNotFound, match="bindId must be yours"):
        await Calls(theirs.context).report(OLD, **LOST, bind_id=bind_id)
    with pytest.raises(ParameterUnfit, match="did must be the virtual number of the binding"):
        await calls.report(OLD, caller=A, did=Y, bind_id=bind_id)
    with pytest.raises(ParameterUnfit, match="the binding names: A or B"):
        await calls.report(OLD, caller=C, did=X, bind_id=bind_id)
    lonely = await mine.bind_digits("123", A, X)
    with pytest.raises(ParameterUnfit, match="nobody was to be called"):
        await calls.report(OLD, caller=A, did=X, bind_id=lonely)


@pytest.mark.parametrize("field", ["caller", "did", "bind_id"])
async def test_report_must_agree_with_its_question(
    mine: Bindings, calls: Calls, field: str
) -> None:
    bind_id, did = await mine.bind(A, B)
    good = {"caller": "11111111", "did": did, "bind_id": bind_id}
    bad = {"caller": B, "did": Y, "bind_id": "f" * 32}
    call_id = await calls.ask()
    with pytest.raises(ParameterUnfit, match="must be that of the question"):
        await calls.report(call_id, **good | {field: bad[field]})
    await calls.report(call_id, **good)


async def test_question_of_another_customer_is_unknown(
    mine: Bindings, theirs: Bindings, calls: Calls, clock: FakeClock
) -> None:
    await mine.bind(A, B)
    call_id = await calls.ask()
    clock.now_ms += 60_000
    with pytest.raises(ParameterUnfit, match="required: caller, did, bindId"):
        await Calls(theirs.context).report(call_id)
    await calls.report(call_id)
    with pytest.raises(ParameterUnfit, match="required: caller, did, bindId"):
        await Calls(theirs.context).report(call_id)
