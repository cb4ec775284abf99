import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from tests.conftest import FakeClock
from tests.helpers import MASTER_KEY

from openpns import limits
from openpns.api.pipeline import Api
from openpns.core import worker_ids
from openpns.errors import ConfigError, ServiceUnavailable
from openpns.server import application
from openpns.server.application import Application, from_environ
from openpns.server.config import Settings, load_settings
from openpns.storage.store import Store

OTHER_KEY = "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

Make = Callable[[], Application]


@pytest.fixture
async def make(store: Store, database_url: str, clock: FakeClock) -> AsyncIterator[Make]:
    """Makes workers of a migrated database, and stops them at the end of the test."""
    made: list[Application] = []

    def worker() -> Application:
        settings = load_settings({"database": database_url, "log_format": "json"}, {})
        made.append(Application(settings, {"OPENPNS_MASTER_KEY": MASTER_KEY}, clock))
        return made[-1]

    yield worker
    for worker_made in made:
        await worker_made.stop()


async def _worker_number(api: Api) -> int:
    async def no_body(_: int) -> bytes:
        return b""

    reply = await api.handle("POST", "/api/pns/", [], no_body)
    return int(dict(reply.headers)["x-request-id"]) >> 12 & limits.WORKER_ID_MAX


async def test_workers_have_numbers_of_their_own_and_give_them_back(
    make: Make, clock: FakeClock
) -> None:
    first, second = make(), make()
    assert await _worker_number(await first.start()) == 0
    assert await _worker_number(await second.start()) == 1
    await first.stop()
    clock.now_ms += 60_000
    assert await _worker_number(await make().start()) == 0


async def test_a_worker_that_cannot_start_leaves_no_connection_behind(
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
        await Application(other, {"OPENPNS_MASTER_KEY": OTHER_KEY}).start()
    assert len(closed) == 1


async def test_a_database_that_is_not_migrated_is_refused_with_the_command_to_run(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = tmp_path_factory.mktemp("empty") / "empty.db"
    file.touch()
    settings = load_settings({"database": f"sqlite:///{file}"}, {})
    with pytest.raises(ConfigError, match="openpns migrate --database"):
        await Application(settings, {}).start()


async def test_a_worker_keeps_its_number_by_renewing_it(
    make: Make, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WORKER_RENEW_MS", 1)
    await make().start()
    renewed = asyncio.Event()
    renew = worker_ids.renew

    async def noticed(*args: object) -> None:
        await renew(*args)  # type: ignore[arg-type]
        renewed.set()

    monkeypatch.setattr(worker_ids, "renew", noticed)
    clock.now_ms += limits.WORKER_LEASE_MS - 1
    renewed.clear()
    await asyncio.wait_for(renewed.wait(), 30)
    clock.now_ms += limits.WORKER_LEASE_MS - 1
    assert await _worker_number(await make().start()) == 1


async def test_a_number_that_cannot_be_renewed_is_logged_and_tried_again(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried_again = asyncio.Event()
    calls = 0

    async def fail(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            tried_again.set()
        raise ServiceUnavailable("the storage is away")

    monkeypatch.setattr(limits, "WORKER_RENEW_MS", 1)
    monkeypatch.setattr(worker_ids, "renew", fail)
    await make().start()
    await asyncio.wait_for(tried_again.wait(), 30)
    assert "worker number not renewed" in capsys.readouterr().err


async def test_a_worker_stops_even_where_the_storage_is_away(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object) -> None:
        raise ServiceUnavailable("the storage is away")

    worker = make()
    await worker.start()
    monkeypatch.setattr(worker_ids, "release", fail)
    await worker.stop()
    assert "worker number not given back" in capsys.readouterr().err
    await worker.stop()  # a second time does nothing


@pytest.mark.usefixtures("store")
async def test_the_environment_is_enough(
    database_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENPNS_DATABASE", database_url)
    monkeypatch.setenv("OPENPNS_MASTER_KEY", MASTER_KEY)
    monkeypatch.setenv("OPENPNS_LOG_LEVEL", "error")
    worker = from_environ(clock=clock)
    await worker.start()
    assert logging.getLogger().level == logging.ERROR
    await worker.stop()
