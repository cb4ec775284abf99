import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests import direct
from tests.conftest import START_MS, FakeClock
from tests.groups.actions import Groups
from tests.helpers import MASTER_KEY, as_request, headers_of, on_sqlite_only

from openpns.accounts import key_uses
from openpns.accounts.key_uses import ExpiringKey
from openpns.api.counters import EVENT, EVENTS, Counters
from openpns.api.pipeline import Api
from openpns.core import audit_chain, expiry, worker_ids
from openpns.core.context import Context, RequestFacts, Services
from openpns.core.principal import Principal
from openpns.errors import BindingNotFound, ConfigError, ServiceUnavailable
from openpns.ids import Snowflake
from openpns.routing import traces
from openpns.routing.service import query_axb
from openpns.server import application
from openpns.server.application import Application
from openpns.server.config import load_settings
from openpns.server.settings import Settings
from openpns.storage import connect, migrations
from openpns.storage.migrations import Migration
from openpns.storage.sqlite.store import SQLiteStore
from openpns.storage.store import Store, database_path

OTHER_KEY = "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

Make = Callable[[], Application]


@pytest.fixture
async def make(store: Store, database_url: str, clock: FakeClock) -> AsyncIterator[Make]:
    """Create workers on a migrated database, and stop them at the end of the test."""
    made: list[Application] = []

    def worker() -> Application:
        settings = load_settings({"database": database_url, "log_format": "json"}, {})
        made.append(Application(settings, MASTER_KEY, clock))
        return made[-1]

    yield worker
    for worker_made in made:
        await worker_made.stop()


async def _wait_until_empty(url: str, table: str) -> None:
    for _ in range(1000):
        if not await direct.query(url, f"SELECT * FROM {table}"):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{table} still has rows")


async def _worker_id(api: Api) -> int:
    reply = await api.respond(as_request([], b""))
    return int(headers_of(reply)["x-request-id"]) >> 12 & worker_ids.WORKER_ID_MAX


async def test_start_leases_unique_worker_id_and_stop_releases_it(
    make: Make, clock: FakeClock
) -> None:
    first, second = make(), make()
    assert await _worker_id(await first.start()) == 0
    assert await _worker_id(await second.start()) == 1
    await first.stop()
    clock.now_ms += 60_000
    assert await _worker_id(await make().start()) == 0


async def test_start_closes_store_after_error(
    make: Make, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make().start()
    open_checked = application.open_checked
    closed: list[Store] = []

    async def watched(settings: Settings) -> Store:
        opened = await open_checked(settings)
        close = opened.close

        async def watched_close() -> None:
            await close()
            closed.append(opened)

        monkeypatch.setattr(opened, "close", watched_close)
        return opened

    monkeypatch.setattr(application, "open_checked", watched)
    other = load_settings({"database": database_url}, {})
    with pytest.raises(ConfigError, match="not the master key"):
        await Application(other, OTHER_KEY).start()
    assert len(closed) == 1


async def test_start_refuses_unmigrated_database_and_names_command(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = tmp_path_factory.mktemp("empty") / "empty.db"
    file.touch()
    settings = load_settings({"database": f"sqlite:///{file}"}, {})
    with pytest.raises(ConfigError, match="openpns migrate --database"):
        await Application(settings, None).start()


async def test_renewal_keeps_worker_id(
    make: Make, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_ids, "RENEW_MS", 1)
    await make().start()
    renewed = asyncio.Event()
    renew = worker_ids.renew

    async def watched(*args: object) -> None:
        await renew(*args)  # type: ignore[arg-type]
        renewed.set()

    monkeypatch.setattr(worker_ids, "renew", watched)
    clock.now_ms += worker_ids.LEASE_MS - 1
    renewed.clear()
    await asyncio.wait_for(renewed.wait(), 30)
    clock.now_ms += worker_ids.LEASE_MS - 1
    assert await _worker_id(await make().start()) == 1


async def test_start_refuses_a_post_migration_that_came_before_its_lease(
    make: Make, store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.load_migrations(connect.engine_of(database_url))
    newer = Migration(migrations.newest() + 1, "CREATE TABLE extra (a text)", "post", "newer.sql")
    take = worker_ids.take

    async def take_after_post(*args: Any) -> Snowflake:
        await store.migrate([*known, newer], with_post=True)
        return await take(*args)

    monkeypatch.setattr(worker_ids, "take", take_after_post)
    with pytest.raises(ConfigError, match="which this version does not know"):
        await make().start()
    (lease,) = await store.fetch("worker_lease_list", {})
    assert lease[1] < START_MS + worker_ids.LEASE_MS  # released


async def test_renewal_error_is_logged_and_retried(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    retried = asyncio.Event()
    attempts = 0

    async def fail(*_: object) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 2:
            retried.set()
        raise ServiceUnavailable("the storage is away")

    monkeypatch.setattr(worker_ids, "RENEW_MS", 1)
    monkeypatch.setattr(worker_ids, "renew", fail)
    await make().start()
    await asyncio.wait_for(retried.wait(), 30)
    assert "worker id not renewed" in capsys.readouterr().err


async def test_stop_succeeds_without_storage(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object) -> None:
        raise ServiceUnavailable("the storage is away")

    worker = make()
    await worker.start()
    monkeypatch.setattr(worker_ids, "release", fail)
    await worker.stop()
    assert "worker id not released" in capsys.readouterr().err
    await worker.stop()  # a second time does nothing


async def test_worker_stores_the_last_use_of_keys_also_when_it_stops(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[dict[str, int]] = []
    done = asyncio.Event()

    async def record(services: Services) -> None:
        recorded.append(services.key_used_ms.copy())
        services.key_used_ms.clear()
        done.set()

    monkeypatch.setattr(key_uses, "RECORD_S", 0.01)
    monkeypatch.setattr(key_uses, "record", record)
    worker = make()
    api = await worker.start()
    api._services.key_used_ms["key-1"] = 7
    await asyncio.wait_for(done.wait(), 30)
    assert recorded[-1] == {"key-1": 7} or {"key-1": 7} in recorded
    monkeypatch.setattr(key_uses, "RECORD_S", 600)
    api._services.key_used_ms["key-2"] = 8
    await worker.stop()
    assert {"key-2": 8} in recorded


async def test_worker_that_stops_keeps_the_traces_that_it_is_storing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, stored = asyncio.Event(), []

    async def store_traces(services: Services) -> None:
        some = [services.call_traces.popleft() for _ in [*services.call_traces]]
        if began.is_set():
            stored.extend(some)
            return
        began.set()
        try:
            await asyncio.Event().wait()  # the storage is slow
        finally:
            services.call_traces.extend(some)

    monkeypatch.setattr(traces, "STORE_S", 0.01)
    worker = make()
    api = await worker.start()
    api._services.call_traces.append("trace")
    monkeypatch.setattr(traces, "store", store_traces)
    await asyncio.wait_for(began.wait(), 30)
    await worker.stop()
    assert stored == ["trace"]


async def test_worker_warns_of_keys_that_expire_soon_and_of_failures(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = asyncio.Queue[None]()

    async def list_expiring(_: Store, now_ms: int) -> list[ExpiringKey]:
        calls.put_nowait(None)
        return [ExpiringKey("key-1", "cus_1", now_ms + 3 * 86_400_000 + 5)]

    async def record(_: Services) -> None:
        calls.put_nowait(None)
        raise ServiceUnavailable("the storage is away")

    monkeypatch.setattr(key_uses, "RECORD_S", 0.01)
    monkeypatch.setattr(key_uses, "list_expiring", list_expiring)
    monkeypatch.setattr(key_uses, "record", record)
    await make().start()
    for _ in range(4):
        await asyncio.wait_for(calls.get(), 30)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    warned = [line for line in lines if line["event"] == "access key expires soon"]
    assert [(line["access_key"], line["customer_id"], line["days"]) for line in warned] == [
        ("key-1", "cus_1", 3)
    ]
    assert "last use of access keys not stored" in {line["event"] for line in lines}


@on_sqlite_only
async def test_clock_that_runs_ahead_for_a_while_deletes_no_record(
    make: Make,
    context: Context,
    clock: FakeClock,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(application, "CLEAN_UP_S", 0.01)
    monkeypatch.setattr(expiry, "CONFIRM_S", 1.0)
    await make().start()
    facts = RequestFacts(signature="00" * 16, ts_ms=clock.now_ms)
    principal = structs.replace(context.principal, unique_ts=True)
    groups = Groups(structs.replace(context, principal=principal, request=facts))
    first = await groups.create([1])
    await asyncio.sleep(1.2)  # rows are deleted from here on
    clock.now_ms += 3_600_000
    await asyncio.sleep(0.1)
    clock.now_ms -= 3_600_000
    assert await groups.create([1]) == first
    clock.now_ms += 3_600_000
    await _wait_until_empty(database_url, "idempotency_record")


async def test_worker_seals_audit_entries(
    make: Make, context: Context, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "SEAL_S", 0.01)
    await make().start()
    await Groups(context).create([1])
    await _wait_until_empty(database_url, "audit_unsealed")
    assert len(await direct.query(database_url, "SELECT * FROM audit_seal")) == 2


async def test_gauges_show_entries_that_cannot_be_sealed(
    make: Make, context: Context, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "SEAL_S", 0.01)
    monkeypatch.setattr(audit_chain, "_TRANSACTIONS_MAX", 0)
    worker = make()
    await worker.start()
    assert worker.database_gauges()[:2] == (0, 0)
    await Groups(context).create([1])
    await direct.run(database_url, "UPDATE audit_unsealed SET added_ms = added_ms - 60000")
    async with asyncio.timeout(20):
        while min(worker.database_gauges()[:2]) == 0:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
    assert worker.database_gauges()[1] >= 60
    sizes = worker.database_gauges()[2:4]
    assert all(sizes) if database_path(database_url) else sizes == (0, 0)


async def test_gauge_shows_customers_who_are_held(
    make: Make, context: Context, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "HELD_S", 0.01)
    hold = "UPDATE customer_state SET bindings_held_ms = {} WHERE customer_id = '{}'"
    customer_id = context.customer_id
    await direct.run(database_url, hold.format(1, customer_id))
    worker = make()
    await worker.start()
    assert worker.database_gauges()[4:] == (1,)
    await direct.run(database_url, hold.format("NULL", customer_id))
    async with asyncio.timeout(20):
        while worker.database_gauges()[4]:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)


async def test_worker_counts_what_becomes_of_questions(
    store: Store, database_url: str, clock: FakeClock
) -> None:
    settings = load_settings({"database": database_url, "call_traces_per_customer_max": 1}, {})
    counters = Counters()
    worker = Application(settings, MASTER_KEY, clock, counters=counters)
    api = await worker.start()
    try:
        for _ in range(3):
            context = Context(api._services, Principal("", "cus_1"))
            with pytest.raises(BindingNotFound):
                await query_axb(context, caller="85211111111", did="85290000001")
    finally:
        await worker.stop()
    events = dict(zip(EVENTS, counters.total()[EVENT:], strict=False))
    assert {event: count for event, count in events.items() if count} == {
        "noCalls": 3,
        "tracesDropped": 2,
    }


@on_sqlite_only
async def test_log_of_changes_is_emptied_periodically_also_after_an_error(
    make: Make,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = Path(f"{database_path(database_url)}-wal")
    truncate = SQLiteStore.truncate_log
    emptied = asyncio.Event()
    tries = 0

    async def fail_once(store: SQLiteStore) -> bool:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ServiceUnavailable("the storage is full")
        is_empty = await truncate(store)
        if is_empty and log.stat().st_size == 0:
            emptied.set()
        return is_empty

    monkeypatch.setattr(SQLiteStore, "truncate_log", fail_once)
    monkeypatch.setattr(application, "CLEAN_UP_S", 0.01)
    await make().start()  # writes its lease
    await asyncio.wait_for(emptied.wait(), 30)
    assert "log of changes not truncated" in capsys.readouterr().err
