"""A customer with a webhook, on a database or on a server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import direct
from tests.cli.conftest import Run
from tests.deliveries.emulated import add_webhook

from openpns.testing import Emulator

URL = "https://example.com/hook"


class Database:
    """Runs SQL on the test's database, without openpns."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, sql: str) -> list[tuple[object, ...]]:
        return asyncio.run(direct.query(self._url, sql))

    def add_delivery(self, delivery_id: str, state: str, created_ms: int, error: str = "") -> None:
        tries = 0 if state == "pending" else 1
        self.query(
            "INSERT INTO delivery (customer_id, delivery_id, kind, body, created_ms, state, tries, "
            "round_tries, next_ms, lease_owner, last_ms, last_status, last_error) VALUES ('cus_1', "
            f"'{delivery_id}', 'callRecord', '{{}}', {created_ms}, '{state}', {tries}, {tries}, "
            f"{created_ms}, '', {tries * created_ms}, {500 * tries}, '{error}')"
        )
        self.query(
            "INSERT INTO customer_usage VALUES ('cus_1', 'deliveries', 1, 1) "
            "ON CONFLICT (customer_id, name, worker_id) "
            "DO UPDATE SET count = customer_usage.count + 1"
        )


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url)


@pytest.fixture
def hooked(openpns: Run) -> Run:
    """Runs `openpns` on a database whose customer cus_1 has a webhook."""
    openpns("webhooks", "set", "--customer", "cus_1", "--url", URL)
    return openpns


@pytest.fixture(scope="session")
def _emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Emulator:
    """A server; the environment has its URL and key."""
    _emulator.reset()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("OPENPNS_BASE_URL", _emulator.base_url)
    monkeypatch.setenv("OPENPNS_ACCESS_KEY", _emulator.access_key)
    monkeypatch.setenv("OPENPNS_ACCESS_SECRET", _emulator.access_secret)
    return _emulator


@pytest.fixture
def ids(emulator: Emulator) -> list[str]:
    """The ids of two failed deliveries of that server's customer, and of a pending one."""
    return add_webhook(emulator)


@pytest.fixture
def api(emulator: Emulator, run_anywhere: Run) -> Run:
    """Runs `openpns` with that server."""
    return run_anywhere
