"""Fixtures: two nodes with three workers on one database of each engine, for all tests here.

Each test has its own customers, so that the tests do not disturb each other.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.api.conftest import _restore_logging
from tests.conftest import ENGINES, create_postgres_database
from tests.processes import MASTER_KEY, Process, fill
from tests.simulation.recorder import Connection, Key, connect_to_every_worker

from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.clock import now_ms
from openpns.storage import connect
from openpns.storage.store import Store

# Applications of this process set logging up; afterwards it is as it was.
__all__ = ["_restore_logging"]


class Nodes:
    """Two nodes on one database; the first has two workers, the second has one."""

    workers = 3

    def __init__(self, url: str, folder: Path, **environ: str) -> None:
        self.url = url
        asyncio.run(fill(url))
        self.processes = [
            Process(
                ["serve", "--database", url, "--port", "0", "--workers", str(workers)],
                folder / f"node-of-{workers}.log",
                {"OPENPNS_MASTER_KEY": MASTER_KEY} | environ,
            )
            for workers in (2, 1)
        ]
        for process in self.processes:
            process.wait_until_up()
        self.processes[0].workers(2)

    def connect(self, key: Key) -> list[Connection]:
        """Return a connection to each worker."""
        return connect_to_every_worker(self.processes, self.workers, key)

    def stop(self) -> None:
        for process in self.processes:
            process.stop()


@pytest.fixture(scope="session", params=ENGINES)
def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nodes]:
    running = start_nodes(request, tmp_path_factory.mktemp("nodes"))
    yield running
    running.stop()


def start_nodes(request: pytest.FixtureRequest, folder: Path, **environ: str) -> Nodes:
    """Start nodes on a new database of the engine that a fixture is made for."""
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'nodes.db'}"
    else:
        url = asyncio.run(create_postgres_database(request.getfixturevalue("postgres_server")))
    return Nodes(url, folder, **environ)


@pytest.fixture(autouse=True)
def _threads_take_turns_often() -> Iterator[None]:
    """Let a client's thread see its response soon after it arrived."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
async def store(nodes: Nodes) -> AsyncIterator[Store]:
    """The operator's way into the nodes' database."""
    opened = await connect.open_store(nodes.url)
    yield opened
    await opened.close()


async def new_key(
    store: Store, url: str, customer: str | None = None, *, unique_ts: bool = False
) -> Key:
    """Create an access key of a customer; None creates the customer."""
    secret_box = await open_secret_box(store, url, MASTER_KEY)
    if customer is None:
        customer = f"cus_{secrets.token_hex(8)}"
        await customers.create(store, now_ms, customer, "")
    made = await access_keys.create(store, secret_box, now_ms, customer, unique_ts=unique_ts)
    return Key(customer, made.access_key, [made.access_secret])


@pytest.fixture
async def key(nodes: Nodes, store: Store) -> Key:
    return await new_key(store, nodes.url)


@pytest.fixture
async def other_key(nodes: Nodes, store: Store) -> Key:
    """A key of another customer."""
    return await new_key(store, nodes.url)


@pytest.fixture
def connections(nodes: Nodes, key: Key) -> Iterator[list[Connection]]:
    """A connection to each worker."""
    made = nodes.connect(key)
    yield made
    for connection in made:
        connection.close()
