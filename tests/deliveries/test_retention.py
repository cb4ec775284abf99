import asyncio
import dataclasses

import asyncpg
import pytest
from tests import direct
from tests.conftest import FakeClock
from tests.deliveries.conftest import Add, Hook

from openpns.core import logs
from openpns.core.context import Services
from openpns.deliveries import retention

DAY_MS = 86_400_000
IDS = "SELECT delivery_id, state, last_error FROM delivery ORDER BY delivery_id"


@pytest.fixture
def kept(services: Services) -> Services:
    return dataclasses.replace(services, deliveries_kept_days=2)


async def test_deliveries_are_deleted_by_their_age(
    hook: Hook, add: Add, query: direct.Query, clock: FakeClock, kept: Services
) -> None:
    await hook("cus_1", "https://example.com/")
    await add("cus_1", 1, 2, 3)
    for one, state in (("1", "delivered"), ("2", "failed"), ("3", "delivered")):
        await query(f"UPDATE delivery SET state = '{state}' WHERE delivery_id = '{one}'")
    await query(f"UPDATE delivery SET created_ms = {clock.now_ms + 1} WHERE delivery_id = '3'")
    clock.now_ms += 2 * DAY_MS - 1
    await retention.delete_old(kept)
    assert len(await query(IDS)) == 3
    clock.now_ms += 1
    await retention.delete_old(kept)
    assert [row[0] for row in await query(IDS)] == ["3"]


async def test_pending_delivery_fails_before_it_is_deleted_unless_it_is_tried_now(
    hook: Hook,
    add: Add,
    query: direct.Query,
    clock: FakeClock,
    kept: Services,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json", "warning")
    monkeypatch.setattr(retention, "_ROWS_EACH", 2)
    await hook("cus_1", "https://example.com/")
    await add("cus_1", *range(1, 7))
    clock.now_ms += 2 * DAY_MS
    lease = f"lease_owner = 'w', next_ms = {clock.now_ms + 1}"
    await query(f"UPDATE delivery SET {lease} WHERE delivery_id = '6'")

    async def keep(*_: object) -> None:
        pass

    with monkeypatch.context() as patched:
        patched.setattr(retention, "delete_expired", keep)
        await retention.delete_old(kept)
    rows = await query(IDS)
    assert rows[:5] == [(str(n), "failed", "not delivered in time") for n in range(1, 6)]
    assert rows[5] == ("6", "pending", "")
    assert "deliveries given up" in capsys.readouterr().err
    await retention.delete_old(kept)
    assert [row[0] for row in await query(IDS)] == ["6"]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ("pending", "lease_owner = 'w', next_ms = {later}", "pending"),  # a worker takes it
        ("pending", "state = 'delivered', lease_owner = ''", "delivered"),  # it is taken
        ("failed", "state = 'pending', lease_owner = 'w', next_ms = {later}", "pending"),  # resent
    ],
)
async def test_delivery_that_changes_meanwhile_neither_fails_nor_is_deleted(
    hook: Hook,
    add: Add,
    query: direct.Query,
    clock: FakeClock,
    kept: Services,
    database_url: str,
    before: str,
    change: str,
    after: str,
) -> None:
    await hook("cus_1", "https://example.com/")
    await add("cus_1", 1)
    await query(f"UPDATE delivery SET state = '{before}'")
    clock.now_ms += 2 * DAY_MS
    other = await asyncpg.connect(database_url)
    try:
        async with other.transaction():
            later = clock.now_ms + 1
            await other.execute(f"UPDATE delivery SET {change.format(later=later)}")
            cleaning = asyncio.create_task(retention.delete_old(kept))
            await direct.until_waiting(database_url, 1)
        await cleaning
    finally:
        await other.close()
    assert [row[:2] for row in await query(IDS)] in ([("1", after)], [])
    if after == "pending":
        assert await query("SELECT lease_owner FROM delivery") == [("w",)]


async def test_zero_days_keep_everything(
    hook: Hook, add: Add, query: direct.Query, clock: FakeClock, services: Services
) -> None:
    await hook("cus_1", "https://example.com/")
    await add("cus_1", 1)
    clock.now_ms += 10_000 * DAY_MS
    await retention.delete_old(dataclasses.replace(services, deliveries_kept_days=0))
    assert [row[1] for row in await query(IDS)] == ["pending"]
