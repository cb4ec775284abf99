"""reportCall: what a record holds, and that each call has one."""

import asyncio
import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.call_records.actions import Calls, T
from tests.conftest import FakeClock

from openpns.call_records import service
from openpns.errors import (
    ClientTokenReused,
    Overloaded,
    ParameterUnfit,
)
from openpns.ids import SNOWFLAKE_EPOCH_MS
from openpns.kit.turns import OwnerCounts
from openpns.routing import traces
from openpns.storage import connect

OLD = "1"
"""The callId of a question of long ago."""


async def test_record_says_who_called_whom_and_how_it_ended(mine: Bindings, calls: Calls) -> None:
    await mine.add("85290000009", business="shop")
    bind_id, did = await mine.bind(A, B, customer_bind_id="order 1", business_id="shop")
    call_id = await calls.ask(B, did)
    record_id = await calls.report(
        call_id,
        hangup_code=16,
        hangup_cause="NORMAL_CLEARING",
        hangup=1,
        record_file="https://a.example/1.wav?sig=x",
    )
    found = await calls.get(call_id)
    assert list(json.loads(msgspec.json.encode(found)).items()) == [
        ("id", record_id),
        ("businessId", "shop"),
        ("customerBindId", "order 1"),
        ("bindId", bind_id),
        ("callId", call_id),
        ("did", did),
        ("caller", B),
        ("callee", A),
        ("callStatus", 1),
        ("callStatusMsg", "normal end"),
        ("duration", 6),
        ("startAt", T),
        ("answerAt", T + 4),
        ("hangupAt", T + 10),
        ("hangupCause", "NORMAL_CLEARING"),
        ("hangupCode", 16),
        ("hangup", 1),
        ("recordFile", "https://a.example/1.wav?sig=x"),
        ("extensionCaller", ""),
        ("extensionCallee", ""),
    ]


@pytest.mark.parametrize(
    ("fields", "status", "words", "hangup", "code"),
    [
        ({}, 1, "normal end", 0, 0),
        ({"hangup_cause": "ALLOTTED_TIMEOUT"}, 1, "ended by the platform", 1, 602),
        ({"hangup_cause": "ALLOTTED_TIMEOUT", "hangup": 0}, 1, "ended by the platform", 1, 602),
        ({"answer_at": 0}, 2, "not answered", 0, 0),
        ({"answer_at": None, "hangup_cause": "USER_BUSY"}, 2, "busy", 1, 17),
        ({"answer_at": 0, "hangup_cause": "CALL_REJECTED"}, 2, "rejected", 1, 21),
        ({"answer_at": 0, "hangup_cause": "USER_BUSY", "hangup_code": 486}, 2, "busy", 1, 486),
        ({"answer_at": 0, "hangup_cause": "OWN_CAUSE", "hangup": 1}, 2, "not answered", 1, 0),
    ],
)
async def test_status_follows_from_the_answer_and_the_cause(
    mine: Bindings,
    calls: Calls,
    fields: dict[str, Any],
    status: int,
    words: str,
    hangup: int,
    code: int,
) -> None:
    await mine.bind(A, B)
    found = await calls.call(**fields)
    assert (found.call_status, found.call_status_msg) == (status, words)
    assert (found.hangup, found.hangup_code) == (hangup, code)
    if status == 2:
        assert (found.answer_at, found.duration) == (0, 0)


async def test_record_has_the_digits_of_who_dialled_them(mine: Bindings, calls: Calls) -> None:
    await mine.bind_digits("123", A, X, phone_b=B)
    by_a, by_other = await calls.ask("11111111", X, "123"), await calls.ask(C, X, "123")
    wrong = await calls.ask(C, X, "999")
    await calls.report(by_a)
    await calls.report(by_other)
    await calls.report(wrong, answer_at=0)
    found = [await calls.get(call_id) for call_id in (by_a, by_other, wrong)]
    assert [(r.caller, r.callee, r.extension_caller, r.extension_callee) for r in found] == [
        (A, B, "123", ""),
        (C, A, "", "123"),
        (C, "", "", "999"),
    ]


async def test_caller_is_the_phone_that_the_binding_names(mine: Bindings, calls: Calls) -> None:
    await mine.bind_group(await mine.group(C, D), A, phone_x=Y, phone_b=C)
    for asked, caller, callee in (("33333333", C, A), (D, D, A), ("11111111", A, C)):
        found = await calls.call(asked, Y)
        assert (found.caller, found.callee) == (caller, callee)


async def test_call_to_nobody_has_a_record_without_binding(mine: Bindings, calls: Calls) -> None:
    found = await calls.call(C, answer_at=0)
    assert (found.bind_id, found.callee, found.business_id) == ("", "", "default")
    with pytest.raises(ParameterUnfit, match="answerAt must be 0 or missing: nobody"):
        await calls.call(D)


async def test_ended_binding_still_fills_the_record(mine: Bindings, calls: Calls) -> None:
    bind_id, _ = await mine.bind(A, B, customer_bind_id="order 1")
    call_id = await calls.ask()
    await mine.unbind(bind_id)
    await calls.report(call_id)
    found = await calls.get(call_id)
    assert (found.customer_bind_id, found.business_id) == ("order 1", "default")


async def test_same_report_gets_the_same_id_and_writes_nothing(
    mine: Bindings, calls: Calls, query: direct.Query, webhook: None
) -> None:
    counted: Counter[str] = Counter()
    calls = calls.with_services(count=lambda name, number: counted.update({name: number}))
    await mine.bind(A, B)
    call_id = await calls.ask()
    record_id = await calls.report(call_id, hangup_cause="USER_BUSY", answer_at=0)
    again = [
        {"hangup_cause": " USER_BUSY ", "hangup": 1, "hangup_code": 17, "answer_at": None},
        {"hangup_cause": "USER_BUSY", "answer_at": 0, "caller": "11111111", "did": f"+{X}"},
    ]
    for fields in again:
        assert await calls.report(call_id, **fields) == record_id
    assert await query("SELECT count(*) FROM call_record") == [(1,)]
    assert await query("SELECT count(*) FROM delivery") == [(1,)]
    assert await query("SELECT count(*) FROM audit_entry WHERE action = 'reportCall'") == [(1,)]
    assert counted["busy"] == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"hangup_at": T + 11},
        {"answer_at": 0},
        {"hangup": 1},
        {"hangup_cause": "USER_BUSY"},
        {"hangup_code": 16},
        {"record_file": "http://a.example/2"},
        {"caller": B},
        {"did": Y},
        {"bind_id": "other"},
    ],
)
async def test_report_that_differs_is_refused(
    mine: Bindings, calls: Calls, query: direct.Query, changed: dict[str, Any]
) -> None:
    await mine.bind(A, B)
    call_id = await calls.ask()
    await calls.report(call_id)
    before = await query("SELECT * FROM call_record")
    with pytest.raises(ClientTokenReused, match="another report of this callId is stored"):
        await calls.report(call_id, **changed)
    assert await query("SELECT * FROM call_record") == before


async def test_concurrent_reports_of_a_call_make_one_record_and_one_event(
    mine: Bindings, calls: Calls, query: direct.Query, webhook: None
) -> None:
    await mine.bind(A, B)
    call_id = await calls.ask()
    ids = await asyncio.gather(*(calls.report(call_id) for _ in range(8)))
    assert len({*ids}) == 1
    assert await query("SELECT count(*) FROM call_record") == [(1,)]
    assert await query("SELECT count(*) FROM delivery") == [(1,)]


async def test_concurrent_reports_to_two_nodes_make_one_record_for_each_call(
    mine: Bindings, calls: Calls, query: direct.Query, webhook: None, database_url: str
) -> None:
    await mine.bind(A, B)
    call_ids = [await calls.ask() for _ in range(5)]
    await traces.store(calls.context.services)
    other = await connect.open_store(database_url)
    try:
        nodes = [calls, calls.with_services(store=other)]
        # In different orders, so that the nodes meet in the middle.
        orders = [call_ids, call_ids[::-1]] * 2
        ids = await asyncio.gather(
            *(nodes[n % 2].report(call_id) for n, order in enumerate(orders) for call_id in order)
        )
    finally:
        await other.close()
    of_call: dict[str, set[int]] = {}
    for call_id, record_id in zip([c for order in orders for c in order], ids, strict=True):
        of_call.setdefault(call_id, set()).add(record_id)
    assert [len(found) for found in of_call.values()] == [1] * 5
    assert len({*ids}) == 5
    for table in ("call_record", "delivery"):
        assert await query(f"SELECT count(*) FROM {table}") == [(5,)]
    assert await query("SELECT count(*) FROM audit_entry WHERE action = 'reportCall'") == [(5,)]


async def test_event_has_the_record_as_it_is_read(
    mine: Bindings, calls: Calls, query: direct.Query, webhook: None
) -> None:
    await mine.bind(A, B)
    found = await calls.call()
    ((kind, body, state),) = await query("SELECT kind, body, state FROM delivery")
    assert (kind, state) == ("callRecord", "pending")
    assert body.encode() == msgspec.json.encode(found)


async def test_client_token_returns_the_first_answer(mine: Bindings, calls: Calls) -> None:
    await mine.bind(A, B)
    call_id = await calls.ask()
    sent = calls.sent(client_token="t")
    assert await sent.report(call_id) == await sent.report(call_id)
    with pytest.raises(ClientTokenReused, match="with this clientToken"):
        await sent.report(await calls.ask())


async def test_ids_grow_and_are_not_used_again(
    mine: Bindings, calls: Calls, query: direct.Query
) -> None:
    await mine.bind(A, B)
    first, second = [(await calls.call()).id for _ in range(2)]
    await query("DELETE FROM call_record")
    assert first < second < (await calls.call()).id


async def test_own_traces_are_stored_first(mine: Bindings, calls: Calls, clock: FakeClock) -> None:
    await mine.bind(A, B)
    call_id = await calls.ask()
    clock.now_ms += 60_000  # so old that the report does not wait
    await calls.report(call_id)
    assert not calls.context.services.call_traces


async def test_early_report_waits_for_the_trace_of_another_worker(
    mine: Bindings, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mine.bind(A, B)
    call_id = await calls.ask()
    looked = []

    async def store_at_the_third_look(_: float) -> None:
        looked.append(call_id)
        if len(looked) == 2:
            await traces.store(mine.context.services)

    monkeypatch.setattr(service.asyncio, "sleep", store_at_the_third_look)
    await Calls(mine.context).report_from_elsewhere(call_id)
    assert len(looked) == 2


@pytest.mark.parametrize(("age_ms", "looks"), [(0, 12), (2900, 1), (3000, 0), (-3000, 0)])
async def test_report_waits_only_for_calls_that_have_just_begun(
    mine: Bindings,
    calls: Calls,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    age_ms: int,
    looks: int,
) -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(service.asyncio, "sleep", sleep)
    call_id = str(clock.now_ms - age_ms - SNOWFLAKE_EPOCH_MS << 22)
    with pytest.raises(ParameterUnfit, match="required: caller, did, bindId"):
        await calls.report(call_id)
    assert len(slept) == looks


async def test_few_early_reports_of_a_customer_wait_at_once(calls: Calls, clock: FakeClock) -> None:
    call_id = str(clock.now_ms - SNOWFLAKE_EPOCH_MS << 22)
    full = calls.with_services(early_reports=OwnerCounts("calls that have just begun", 0))
    with pytest.raises(Overloaded, match="calls that have just begun"):
        await full.report(call_id)
