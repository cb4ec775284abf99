"""resendDelivery."""

import json
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from tests import direct
from tests.conftest import START_MS, FakeClock
from tests.deliveries.actions import Webhooks

from openpns.core.context import RequestFacts
from openpns.deliveries import resending, service
from openpns.errors import NotFound, OutcomeUnknown, ParameterError, ServiceUnavailable

FAIL = (
    "UPDATE delivery SET state = 'failed', tries = 3, round_tries = 3, last_status = 500, "
    "last_error = 'HTTP 500', last_ms = 7, lease_owner = 'w1'"
)
ENTRIES = "SELECT details FROM audit_entry WHERE action = 'resendDelivery'"


@pytest.fixture(autouse=True)
async def _webhook(mine: Webhooks) -> None:
    await mine.set()


async def counts(query: direct.Query) -> list[int]:
    return sorted(json.loads(details)["count"] for (details,) in await query(ENTRIES))


async def rows(query: direct.Query) -> dict[str, tuple[object, ...]]:
    found = await query(
        "SELECT delivery_id, state, tries, round_tries, next_ms, lease_owner, last_error "
        "FROM delivery"
    )
    return {row[0]: tuple(row[1:]) for row in found}


@pytest.mark.parametrize("state", ["failed", "delivered"])
async def test_one_that_has_ended_is_due_now_with_its_id(
    mine: Webhooks, query: direct.Query, clock: FakeClock, state: str
) -> None:
    one, other = [await mine.add() for _ in range(2)]
    await query(FAIL)
    await query(f"UPDATE delivery SET state = '{state}'")
    clock.now_ms += 60_000
    assert await mine.resend(one) == 1
    assert await rows(query) == {
        one: ("pending", 3, 0, clock.now_ms, "", "HTTP 500"),
        other: (state, 3, 3, START_MS, "w1", "HTTP 500"),
    }
    assert await counts(query) == [1]


async def test_pending_one_is_due_now_unless_a_worker_has_it(
    mine: Webhooks, query: direct.Query, clock: FakeClock
) -> None:
    waiting, leased = [await mine.add() for _ in range(2)]
    later = START_MS + 3_600_000
    await query(f"UPDATE delivery SET next_ms = {later}, tries = 5, round_tries = 5")
    await query(f"UPDATE delivery SET lease_owner = 'w1' WHERE delivery_id = '{leased}'")
    assert await mine.resend(waiting) == 1
    assert await mine.resend(leased) == 0
    assert await rows(query) == {
        waiting: ("pending", 5, 0, clock.now_ms, "", ""),
        leased: ("pending", 5, 5, later, "w1", ""),
    }
    assert await counts(query) == [1]


async def test_unknown_delivery_and_that_of_another_customer_are_alike(
    mine: Webhooks, theirs: Webhooks
) -> None:
    await theirs.set()
    refused = []
    for delivery_id in ("1", "", "x", await theirs.add()):
        with pytest.raises(NotFound) as caught:
            await mine.resend(delivery_id)
        refused.append(str(caught.value))
    assert len(set(refused)) == 1


@pytest.mark.parametrize("fields", [{}, {"delivery_id": "1", "since": 1}])
async def test_exactly_one_field_is_allowed(mine: Webhooks, fields: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match="one of id and since must be sent, not both"):
        await service.resend_delivery(mine.context, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("scan", [3, 100])
@pytest.mark.parametrize("batches", [[], [1], [3], [1, 3], [1, 3, 3]])
async def test_failed_ones_since_a_time_are_due_now(
    mine: Webhooks,
    theirs: Webhooks,
    query: direct.Query,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    batches: list[int],
    scan: int,
) -> None:
    monkeypatch.setattr(resending, "BATCH", 3)
    monkeypatch.setattr(resending, "SCAN", scan)
    await theirs.set()
    stranger = await theirs.add()
    old = await mine.add()
    clock.now_ms += 10_000
    failed = [await mine.add() for _ in range(sum(batches))]
    await query(FAIL)
    delivered, pending = [await mine.add() for _ in range(2)]
    await query(f"UPDATE delivery SET state = 'delivered' WHERE delivery_id = '{delivered}'")
    assert await mine.resend(since=clock.now_ms // 1000) == sum(batches)
    found = await rows(query)
    assert {key for key, row in found.items() if row[0] == "pending"} == {*failed, pending}
    assert found[old][0] == found[stranger][0] == "failed"
    if scan == 100:
        assert await counts(query) == batches
    assert sum(await counts(query)) == sum(batches)
    assert max(await counts(query), default=0) <= 3
    assert await mine.resend(since=0) == 1


@pytest.mark.parametrize("since", [0, 1, 1_300_000_000, 1_525_000_000, START_MS // 1000 - 86_400])
async def test_any_time_before_the_event_finds_it(
    mine: Webhooks, query: direct.Query, since: int
) -> None:
    await mine.add()
    await query(FAIL)
    assert await mine.resend(since=since) == 1


async def test_tests_are_not_resent_with_others(mine: Webhooks, query: direct.Query) -> None:
    tests = [await mine.add() for _ in range(2)]
    await query("UPDATE delivery SET kind = 'test'")
    event = await mine.add()
    await query(FAIL)
    assert await mine.resend(since=0) == 1
    assert await mine.ids(state="pending") == [event]
    assert await mine.resend(tests[0]) == 1


async def test_time_after_the_event_does_not_find_it(mine: Webhooks, query: direct.Query) -> None:
    await mine.add()
    await query(FAIL)
    for since in (START_MS // 1000 + 1, 4_000_000_000, 253_402_300_799):
        assert await mine.resend(since=since) == 0
    assert await counts(query) == []


async def test_request_takes_a_bounded_number_and_says_so(
    mine: Webhooks, query: direct.Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resending, "BATCH", 2)
    monkeypatch.setattr(service, "RESENT_MAX", 3)
    for _ in range(8):
        await mine.add()
    await query(FAIL)
    first = await service.resend_delivery(mine.context, since=0)
    assert (first.count, first.has_more) == (6, True)
    second = await service.resend_delivery(mine.context, since=0)
    assert (second.count, second.has_more) == (2, UNSET)
    assert await mine.ids(state="failed") == []


@pytest.mark.parametrize("since", [0, START_MS // 1000 + 86_400, START_MS // 1000 - 86_400])
async def test_ids_are_looked_at_from_a_day_before(
    mine: Webhooks, query: direct.Query, clock: FakeClock, since: int
) -> None:
    """Ids continue ahead of a clock that is set back."""
    for event_ms in (START_MS, START_MS + 172_800_000, START_MS - 172_800_000):
        clock.now_ms = event_ms
        await mine.add()
    await query(FAIL)
    ((expected,),) = await query(
        f"SELECT count(*) FROM delivery WHERE created_ms >= {since * 1000}"
    )
    assert await mine.resend(since=since) == expected > 0


async def test_copy_of_a_large_request_changes_nothing(
    mine: Webhooks, query: direct.Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resending, "BATCH", 2)
    for _ in range(5):
        await mine.add()
    await query(FAIL)
    request = RequestFacts("1", client_token="t1")
    context = msgspec.structs.replace(mine.context, request=request)
    assert (await service.resend_delivery(context, since=0)).count == 5
    await query(FAIL)
    assert (await service.resend_delivery(context, since=0)).count == 5
    assert {row[0] for row in (await rows(query)).values()} == {"failed"}
    assert sum(await counts(query)) == 5


async def test_events_while_disabled_can_be_sent_later(mine: Webhooks, query: direct.Query) -> None:
    await mine.set_state("disabled")
    one = await mine.add()
    await mine.set_state("active")
    assert await mine.resend(since=0) == 1
    assert (await rows(query))[one] == ("pending", 0, 0, START_MS, "", "")


async def test_storage_that_is_lost_between_batches_is_reported_as_such(
    mine: Webhooks, query: direct.Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resending, "BATCH", 2)
    for _ in range(5):
        await mine.add()
    await query(FAIL)
    writes = []
    write = mine.store.write

    async def fail_later(*arguments: Any, **options: Any) -> Any:
        writes.append(arguments)
        if len(writes) > 1:
            raise ServiceUnavailable("nothing was written")
        return await write(*arguments, **options)

    with monkeypatch.context() as lost:
        lost.setattr(mine.store, "write", fail_later)
        with pytest.raises(OutcomeUnknown, match="2 deliveries will be sent; send it again"):
            await mine.resend(since=0)
    assert await counts(query) == [2]
    assert await mine.resend(since=0) == 3
