"""The operator's commands on deliveries."""

import json
from datetime import timedelta, timezone

import pytest
from tests import direct
from tests.conftest import START_MS, FakeClock
from tests.deliveries.actions import Webhooks

from openpns.deliveries import operations, resending
from openpns.errors import ConfigError, NotFound
from openpns.ids import Snowflake

ZONE = timezone(timedelta(hours=8))


async def add_test(mine: Webhooks) -> str:
    ids = Snowflake(mine.clock, worker_id=7)
    return await operations.add_test(mine.store, mine.clock, ids, mine.customer_id, ZONE)


async def test_test_is_queued_whatever_kinds_the_webhook_wants(
    mine: Webhooks, query: direct.Query
) -> None:
    await mine.set(kinds=["unboundCall"])
    delivery_id = await add_test(mine)
    found = await operations.get_delivery(mine.store, "cus_1", delivery_id)
    assert (found.kind, found.state, found.tries) == ("test", "pending", 0)
    ((body, next_ms),) = await query("SELECT body, next_ms FROM delivery")
    assert next_ms == START_MS
    assert body == (
        f'{{"code":0,"msg":"test","requestId":"{delivery_id}",'
        '"data":{"action":"test","occurrenceTime":"2022-12-08 14:07:12"}}'
    )


async def test_test_needs_an_active_webhook(mine: Webhooks, query: direct.Query) -> None:
    with pytest.raises(ConfigError, match="has no webhook"):
        await add_test(mine)
    await mine.set()
    await mine.set_state("disabled")
    with pytest.raises(ConfigError, match="its webhook is disabled, so that nothing is sent"):
        await add_test(mine)
    assert await mine.ids() == []
    with pytest.raises(NotFound):
        await operations.get_delivery(mine.store, "cus_1", "1")


@pytest.mark.parametrize(
    ("change", "is_ended", "error"),
    [
        ("tries = 0", True, "withdrawn"),
        ("tries = 1, last_ms = 9, last_error = 'HTTP 500'", True, "HTTP 500"),
        (f"lease_owner = 'w1', next_ms = {START_MS + 1}", False, ""),
        (f"lease_owner = 'w1', next_ms = {START_MS}", True, "withdrawn"),
        ("state = 'delivered', tries = 1, last_ms = 9", False, ""),
        ("kind = 'callRecord'", False, ""),
    ],
)
async def test_test_is_ended_unless_an_attempt_is_in_flight(
    mine: Webhooks, query: direct.Query, change: str, is_ended: bool, error: str
) -> None:
    await mine.set()
    delivery_id = await add_test(mine)
    await query(f"UPDATE delivery SET {change}")
    before = await operations.get_delivery(mine.store, "cus_1", delivery_id)
    ended = await operations.end_test(mine.store, mine.clock, "cus_1", delivery_id)
    found = await operations.get_delivery(mine.store, "cus_1", delivery_id)
    assert (ended, found.last_error) == (is_ended, error)
    assert found.state == ("failed" if is_ended else before.state)
    if is_ended:  # else a worker that was suspended could store its result, and try it again
        assert await query("SELECT lease_owner FROM delivery") == [("",)]


async def test_operator_resends_one_or_all_that_failed(
    mine: Webhooks,
    theirs: Webhooks,
    query: direct.Query,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resending, "BATCH", 2)
    monkeypatch.setattr(resending, "SCAN", 3)
    for webhooks in (mine, theirs):
        await webhooks.set()
    old = await mine.add()
    clock.now_ms += 1000
    new = [await mine.add() for _ in range(5)]
    stranger = await theirs.add()
    await query("UPDATE delivery SET state = 'failed', tries = 1, round_tries = 1, last_ms = 9")
    assert await operations.resend(mine.store, clock, "cus_1", new[0]) == 1
    assert await operations.resend_since(mine.store, clock, "cus_1", clock.now_ms) == 4
    assert await operations.resend_since(mine.store, clock, "cus_1", clock.now_ms) == 0
    assert await mine.ids(state="failed") == [old]
    assert await theirs.ids(state="failed") == [stranger]
    with pytest.raises(NotFound):
        await operations.resend(mine.store, clock, "cus_1", stranger)
    with pytest.raises(ConfigError, match="'cus_9': not found"):
        await operations.resend(mine.store, clock, "cus_9", stranger)
    with pytest.raises(ConfigError, match="'cus_9': not found"):
        await operations.resend_since(mine.store, clock, "cus_9", 0)
    rows = await query("SELECT details FROM audit_entry WHERE action = 'webhooks.resend'")
    assert sum(json.loads(details)["count"] for (details,) in rows) == 5
