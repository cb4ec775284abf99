"""Calls without a binding are events for the customer's webhook, in the vendor's form."""

import dataclasses
import json
from collections import Counter

import msgspec
import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, X, Y
from tests.conftest import FakeClock
from tests.deliveries.hook_server import add_webhook

from openpns.accounts.secret_box import SecretBox
from openpns.core.context import RequestFacts
from openpns.errors import OutcomeUnknown, ServiceUnavailable
from openpns.kit.per_second import PerSecond
from openpns.kit.utc_offset import parse_utc_offset
from openpns.routing import traces, unbound_calls
from openpns.routing.outcomes import CALLS_OMITTED, TRACES_DROPPED

BODIES = "SELECT body FROM delivery ORDER BY delivery_id"


@pytest.fixture
async def hooked(mine: Bindings, database_url: str) -> Bindings:
    """A customer whose webhook wants calls without a binding."""
    box = SecretBox([bytes(32)])
    url = "https://example.com/"
    await add_webhook(database_url, box, "cus_1", url, kinds="callRecord,unboundCall")
    context = msgspec.structs.replace(
        mine.context, request=RequestFacts(request_id="1602262837283131392")
    )
    return Bindings(context)


def asked(rows: list[tuple[str]]) -> list[dict[str, str]]:
    return [json.loads(body)["data"]["requestParams"] for (body,) in rows]


async def test_body_has_the_fields_of_the_vendor_in_their_order(
    hooked: Bindings, query: direct.Query
) -> None:
    await hooked.call(C, X)
    await hooked.call(C, X, "123")
    assert await query(BODIES) == []
    await traces.store(hooked.context.services)
    first, second = [row[0] for row in await query(BODIES)]
    expected = (
        '{"code":10013,"msg":"binding not exist","requestId":"1602262837283131392","data":'
        '{"action":"queryAXB","requestParams":{"caller":"%s","did":"%s"%s},'
        '"occurrenceTime":"2022-12-08 14:07:12"}}'
    )
    assert first == expected % (C, X, "")
    assert second == expected % (C, X, ',"extension":"123"')
    rows = await query("SELECT kind, state, created_ms = next_ms FROM delivery")
    assert [(kind, state, bool(is_due)) for kind, state, is_due in rows] == [
        ("unboundCall", "pending", True)
    ] * 2


async def test_time_is_shown_in_the_zone_of_the_setting(
    hooked: Bindings, query: direct.Query
) -> None:
    zone = parse_utc_offset("-03:30")
    services = dataclasses.replace(hooked.context.services, webhook_time_zone=zone)
    other = Bindings(msgspec.structs.replace(hooked.context, services=services))
    await other.call(C, X)
    await traces.store(services)
    ((body,),) = await query(BODIES)
    assert json.loads(body)["data"]["occurrenceTime"] == "2022-12-08 02:37:12"


async def test_answered_calls_and_requests_for_digits_are_no_events(
    hooked: Bindings, query: direct.Query
) -> None:
    await hooked.bind(A, B)
    await hooked.bind_digits("123", A, Y)
    assert await hooked.call(A, X) == B
    assert await hooked.call(C, Y) == "digits"
    assert await hooked.call(C, Y, "123") == A
    await traces.store(hooked.context.services)
    assert await query(BODIES) == []
    assert await hooked.call(C, Y, "124") == ""
    await traces.store(hooked.context.services)
    assert asked(await query(BODIES)) == [{"caller": C, "did": Y, "extension": "124"}]


async def test_so_many_a_second_of_a_number_are_sent_and_the_others_counted(
    hooked: Bindings, query: direct.Query, clock: FakeClock
) -> None:
    clock.now_ms -= clock.now_ms % 1000
    bound = PerSecond(2)
    counted: Counter[str] = Counter()
    services = dataclasses.replace(
        hooked.context.services,
        unbound_calls=bound,
        count=lambda name, number: counted.update({name: number}),
    )
    calls = Bindings(msgspec.structs.replace(hooked.context, services=services))
    for did in (X, X, X, X, Y):
        await calls.call(C, did)
    clock.now_ms += 1000
    await calls.call(C, X)
    await traces.store(services)
    assert [one["did"] for one in asked(await query(BODIES))] == [X, X, Y, X]
    assert counted[CALLS_OMITTED] == 2
    assert len(await query("SELECT 1 FROM call_trace")) == 6


@pytest.mark.parametrize("extension", [None, "123"])
async def test_numbers_that_are_not_the_customers_share_a_bound(
    hooked: Bindings, query: direct.Query, clock: FakeClock, extension: str | None
) -> None:
    clock.now_ms -= clock.now_ms % 1000
    services = dataclasses.replace(hooked.context.services, unbound_calls=PerSecond(2))
    calls = Bindings(msgspec.structs.replace(hooked.context, services=services))
    for n in range(5):
        await calls.call(C, f"8529100000{n}", extension)
    await calls.call(C, X, extension)
    await traces.store(services)
    found = [one["did"] for one in asked(await query(BODIES))]
    assert found == ["85291000000", "85291000001", X]


async def test_event_of_a_trace_that_memory_cannot_hold_is_counted(
    hooked: Bindings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "TRACES_MAX", 1)
    counted: Counter[str] = Counter()
    services = dataclasses.replace(
        hooked.context.services, count=lambda name, number: counted.update({name: number})
    )
    calls = Bindings(msgspec.structs.replace(hooked.context, services=services))
    await calls.call(C, X)
    await calls.call(C, Y)
    assert counted == {"notBound": 2, TRACES_DROPPED: 1, CALLS_OMITTED: 1}


@pytest.mark.parametrize("kinds", ["callRecord", None])
async def test_customer_who_does_not_want_them_gets_none(
    mine: Bindings, database_url: str, query: direct.Query, kinds: str | None
) -> None:
    if kinds is not None:
        box = SecretBox([bytes(32)])
        await add_webhook(database_url, box, "cus_1", "https://example.com/", kinds=kinds)
    await mine.call(C, X)
    await traces.store(mine.context.services)
    assert await query(BODIES) == []
    assert len(await query("SELECT 1 FROM call_trace")) == 1


@pytest.mark.parametrize("error", [ServiceUnavailable, OutcomeUnknown])
async def test_event_is_stored_once_if_the_storage_fails(
    hooked: Bindings,
    query: direct.Query,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    store = hooked.context.store
    write = store.write

    async def fail(*args: object, **options: object) -> None:
        if error is OutcomeUnknown:  # it was written, but nobody knows
            await write(*args, **options)  # type: ignore[arg-type]
        raise error

    await hooked.call(C, X)
    with monkeypatch.context() as patched:
        patched.setattr(store, "write", fail)
        with pytest.raises(error):
            await traces.store(hooked.context.services)
    await traces.store(hooked.context.services)
    assert len(await query(BODIES)) == 1
    assert len(await query("SELECT 1 FROM call_trace")) == 1


def test_event_does_not_show_its_body() -> None:
    event = unbound_calls.event(
        "1", "2", 0, caller=C, did=X, extension="", zone=parse_utc_offset("+08:00")
    )
    assert C not in repr(event)
