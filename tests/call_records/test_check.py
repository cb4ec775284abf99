"""What `openpns verify` finds in call records."""

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings
from tests.call_records.actions import Calls

from openpns.call_records.check import check_call_records

FAULTS = [
    ("record_id = 9007199254740992", "its id is not from 1 to 2^53 - 1"),
    ("did = '1'", "its virtual number is malformed"),
    ("caller = ''", "its caller is malformed"),
    ("callee = 'x'", "its callee is malformed"),
    ("bind_id = ''", "it has a callee, but no binding"),
    ("hangup_s = start_s - 1", "it ends before it begins"),
    ("answer_s = hangup_s + 1", "its answer is not during the call"),
    ("call_status = 2", "its status does not fit the time of its answer"),
    ("answer_s = 0", "its status does not fit the time of its answer"),
    ("callee = '', bind_id = ''", "it was answered by nobody"),
    ("hangup = 2", "who ended it is neither 0 nor 1"),
    ("extension_caller = '12'", "its digits are malformed"),
]


async def test_check_counts_sound_records(mine: Bindings, calls: Calls) -> None:
    assert await check_call_records(calls.context.store, pytest.fail) == {"callRecords": 0}
    await mine.bind(A, B)
    await mine.bind_digits("123", A)
    await calls.report(await calls.ask(B, digits="123"))
    await calls.call()
    await calls.call(answer_at=0, hangup_cause="USER_BUSY")
    await calls.call(B, "85290000002", answer_at=0)
    assert await check_call_records(calls.context.store, pytest.fail) == {"callRecords": 4}


@pytest.mark.parametrize(("change", "fault"), FAULTS)
async def test_check_reports_a_fault_without_phones(
    mine: Bindings, calls: Calls, query: direct.Query, change: str, fault: str
) -> None:
    await mine.bind(A, B)
    await calls.call()
    await query(f"UPDATE call_record SET {change}")
    found: list[str] = []
    await check_call_records(calls.context.store, found.append)
    assert found[0].startswith("customer cus_1, call record ")
    assert found[0].endswith(fault)
    assert not any(A in text or B in text for text in found)


async def test_check_reports_ids_that_are_used_twice_or_not_counted(
    mine: Bindings, theirs: Bindings, calls: Calls, query: direct.Query
) -> None:
    await mine.bind(A, B)
    first, second = await calls.call(), await calls.call()
    await query(
        f"UPDATE call_record SET customer_id = 'cus_2', record_id = {first.id} "
        f"WHERE record_id = {second.id}"
    )
    found: list[str] = []
    await check_call_records(calls.context.store, found.append)
    assert found == [f"call record {first.id}: 2 records have this id"]
    await query("UPDATE call_record SET record_id = 77 WHERE customer_id = 'cus_2'")
    found.clear()
    await check_call_records(calls.context.store, found.append)
    assert found == ["call record 77: its id is not counted, so that another one may get it"]
