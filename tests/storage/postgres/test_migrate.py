"""Migrations of PostgreSQL beside running servers and long transactions."""

import asyncio

import pytest
from tests import direct

from openpns.errors import ConfigError
from openpns.storage import connect, migrations
from openpns.storage.migrations import Migration
from openpns.storage.postgres import migrate
from openpns.storage.store import Store

READER = "SELECT count(*) FROM customer_state"
PRE = "ALTER TABLE customer_state ADD COLUMN extra bigint"

pytestmark = pytest.mark.usefixtures("migrated")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "_LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(migrate, "_PAUSE_S", 0.1)


async def _apply_pre(store: Store) -> list[int]:
    newer = Migration(migrations.newest() + 1, PRE, "pre", "newer.sql")
    known = [*migrations.load_migrations("postgres"), newer]
    return [one.number for one in await store.migrate(known)]


async def test_pre_lets_requests_run_while_a_long_transaction_reads_its_table(
    postgres_url: str,
) -> None:
    store = await connect.open_store(postgres_url, timeout_ms=2000)
    async with direct.holding(postgres_url, READER):
        migrating = asyncio.create_task(_apply_pre(store))
        for _ in range(20):
            await store.fetch("customer_list", {"customer_id": None})  # else ServiceUnavailable
            await asyncio.sleep(0.05)
        assert not migrating.done()
    assert await migrating == [migrations.newest() + 1]
    await store.close()


async def test_pre_that_gets_no_lock_applies_nothing_and_names_the_cause(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_ATTEMPTS_MAX", 2)
    store = await connect.open_store(postgres_url)
    async with direct.holding(postgres_url, READER):
        with pytest.raises(ConfigError, match="a table is in use by a long transaction"):
            await _apply_pre(store)
    assert await _apply_pre(store) == [migrations.newest() + 1]
    await store.close()
