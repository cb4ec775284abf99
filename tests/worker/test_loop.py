import asyncio
from typing import Any

import pytest
from tests import direct
from tests.deliveries.hook_server import add_customer, add_events, add_webhook, receiving
from tests.helpers import MASTER_KEY, on_sqlite_only

from openpns.accounts.master_key import open_secret_box
from openpns.clock import now_ms
from openpns.core import logs
from openpns.deliveries.counters import DeliveryCounters
from openpns.deliveries.deliverer import Deliverer
from openpns.deliveries.settings import DeliverySettings
from openpns.errors import ConfigError, ServiceUnavailable
from openpns.storage.store import Store
from openpns.worker import loop as module
from openpns.worker.loop import deliver


def settings(database_url: str) -> DeliverySettings:
    return DeliverySettings(
        database=database_url, webhook_http_allowed="on", webhook_networks_allowed="127.0.0.0/8"
    )


async def test_worker_delivers_counts_and_stops(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MEASURE_S", 0.01)
    monkeypatch.setattr(module, "_BEAT_S", 0.01)
    counters, stopping, started = DeliveryCounters(), asyncio.Event(), asyncio.Event()
    box = await open_secret_box(store, database_url, MASTER_KEY)
    async with receiving() as receiver:
        await add_customer(store, "cus_1")
        await add_webhook(database_url, box, "cus_1", receiver.url)
        await store.write(add_events("cus_1", [1, 2], now_ms()))
        running = asyncio.create_task(
            deliver(settings(database_url), MASTER_KEY, counters, stopping, lambda _: started.set())
        )
        async with asyncio.timeout(60):
            await started.wait()
            while counters.total()[0] < 2:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
            leases = "SELECT count(*) FROM worker_lease WHERE expires_ms > 1"
            assert await direct.query(database_url, leases) == [(1,)]
            stopping.set()
            await running
    assert receiver.ids() == ["1", "2"]
    states = "SELECT DISTINCT state, lease_owner FROM delivery"
    assert await direct.query(database_url, states) == [("delivered", "")]
    assert counters.total()[-1] > 0  # heartbeats


@on_sqlite_only
async def test_worker_refuses_another_master_key_and_an_old_database(
    store: Store, database_url: str
) -> None:
    other = "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    await open_secret_box(store, database_url, MASTER_KEY)
    counters, stopping = DeliveryCounters(), asyncio.Event()
    with pytest.raises(ConfigError, match="not the master key"):
        await deliver(settings(database_url), other, counters, stopping)
    await direct.run(database_url, "DELETE FROM schema_migration")
    with pytest.raises(ConfigError, match="openpns migrate"):
        await deliver(settings(database_url), MASTER_KEY, counters, stopping)


@on_sqlite_only
async def test_failures_of_what_runs_beside_are_logged_and_repeated(
    store: Store,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json", "info")
    tries = 0
    again, stopping = asyncio.Event(), asyncio.Event()

    async def fail(*_: Any) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            again.set()
        raise ServiceUnavailable("the storage is away")

    monkeypatch.setattr(module, "_MEASURE_S", 0.01)
    monkeypatch.setattr(Deliverer, "measure", fail)
    monkeypatch.setattr("openpns.core.worker_ids.release", fail)
    running = asyncio.create_task(
        deliver(settings(database_url), MASTER_KEY, DeliveryCounters(), stopping)
    )
    await asyncio.wait_for(again.wait(), 60)
    stopping.set()
    await running
    shown = capsys.readouterr()
    assert "backlog not counted" in shown.out + shown.err
    assert "worker id not released" in shown.out + shown.err
