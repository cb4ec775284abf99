"""Several processes on one database, many clients: the record of their requests must be possible.

See `history` for what is checked. Changes that an operator makes to the tables by hand are not
covered: nothing is promised for them.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic_ns

import pytest
from tests.processes import MASTER_KEY
from tests.simulation.conftest import Nodes, new_key
from tests.simulation.effort import EFFORT, SEED, command
from tests.simulation.history import Operation
from tests.simulation.model import Page, SetAccess, Signed
from tests.simulation.recorder import Client, Key, Record

from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.accounts.secret_box import SecretBox
from openpns.clock import now_ms
from openpns.groups.wire import ADD, REPLACE
from openpns.storage.store import Store

REQUESTS_EACH = 400 * EFFORT
GROUPS_ABOUT = 10
LONG = 300
"""So many phones that a page without a limit is sent in chunks."""

# The same few pages over and over; offsets move when a group before them is deleted.
PAGES = [(10, 0)] * 4 + [(0, 0)] * 2 + [(3, 2), (2, 9), (10, 500)]


def send_requests(client: Client, number: int) -> None:
    """Send the requests of one client. Each phone is sent once, so that a read shows whose write
    it reflects.
    """
    choices = random.Random(f"{SEED}/{number}")
    numbers = (f"852{number:02}{count:06}" for count in itertools.count())

    def fresh(count: int) -> str:
        return ",".join(itertools.islice(numbers, count))

    for _ in range(REQUESTS_EACH):
        if choices.random() < 0.75:
            client.page(*choices.choice(PAGES))
        elif choices.random() * GROUPS_ABOUT > len(client.shown):
            client.create(fresh(2))
        else:
            _change(client, choices.choice(list(client.shown)), choices, fresh)


def _change(
    client: Client, group_id: str, choices: random.Random, fresh: Callable[[int], str]
) -> None:
    """Change a group that the client was shown; another client may have deleted it."""
    (kind,) = choices.choices(["add", "replace", "forget", "lengthen", "delete"], [3, 3, 2, 1, 3])
    if kind == "add":
        client.update(group_id, ADD, fresh(2))
    elif kind == "replace":
        client.update(group_id, REPLACE, fresh(1))
    elif kind == "forget":
        client.forget(group_id)
    elif kind == "lengthen":
        client.update(group_id, REPLACE, fresh(LONG))
    else:
        client.delete(group_id)


class Operator:
    """Changes keys and customers in the database, from its own process."""

    def __init__(self, store: Store, secret_box: SecretBox, record: Record) -> None:
        self._store = store
        self._secret_box = secret_box
        self._record = record

    async def work(self, second: Key, other: Key, is_finished: asyncio.Event) -> None:
        """Disable, enable and rotate a key, disable and enable another customer, and again."""
        choices = random.Random(f"{SEED}/operator")
        while not is_finished.is_set():
            for disabled_ms in (now_ms(), None):
                await self._disable_key(second, disabled_ms)
                await asyncio.sleep(choices.random() * 0.04)
            await self._rotate(second)
            for disabled_ms in (now_ms(), None):
                await self._disable_customer(other, disabled_ms)
                await asyncio.sleep(choices.random() * 0.02)

    async def _disable_key(self, key: Key, disabled_ms: int | None) -> None:
        act = SetAccess("is_disabled", disabled_ms is not None)
        await self._do(key, act, lambda: access_keys.disable(self._store, key.name, disabled_ms))

    async def _disable_customer(self, key: Key, disabled_ms: int | None) -> None:
        act = SetAccess("is_customer_disabled", disabled_ms is not None)
        await self._do(key, act, lambda: customers.disable(self._store, key.customer, disabled_ms))

    async def _rotate(self, key: Key) -> None:
        async def rotate() -> None:
            new = await access_keys.rotate(
                self._store, self._secret_box, now_ms, key.name, grace_ms=0
            )
            key.secrets.append(new.access_secret)

        await self._do(key, SetAccess("secret", len(key.secrets)), rotate)

    async def _do(self, key: Key, act: SetAccess, change: Callable[[], Awaitable[object]]) -> None:
        start = monotonic_ns()
        await change()
        self._record.access[key.name].append(Operation(start, monotonic_ns(), act))


async def test_every_response_fits_one_order_of_all_requests(
    nodes: Nodes,
    store: Store,
    key: Key,
    other_key: Key,
    request: pytest.FixtureRequest,
) -> None:
    record = Record()
    secret_box = await open_secret_box(store, nodes.url, MASTER_KEY)
    second = await new_key(store, nodes.url, key.customer)
    # Each of the three workers gets three clients: two of one customer, one of another.
    connections = [nodes.connect(key) for _ in range(3)]
    clients = [
        Client(connection, used, record)
        for used, each in zip((key, second, other_key), connections, strict=True)
        for connection in each
    ]
    is_finished = asyncio.Event()
    operating = asyncio.create_task(
        Operator(store, secret_box, record).work(second, other_key, is_finished)
    )
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(len(clients)) as pool:
        requests = [
            loop.run_in_executor(pool, send_requests, client, number)
            for number, client in enumerate(clients)
        ]
        await asyncio.gather(*requests)
    is_finished.set()
    await operating
    for connection in itertools.chain(*connections):
        connection.close()
    again = f"to repeat it: {command(request.node.nodeid)}"
    violations = record.find_violations()
    assert not violations, "\n".join([*violations, again])
    _check_that_enough_happened(record, again)


def _check_that_enough_happened(record: Record, again: str) -> None:
    """With too few requests the test would pass whatever the servers do."""
    assert len(record.workers) == Nodes.workers, again
    codes = {
        operation.act.code
        for operations in record.access.values()
        for operation in operations
        if isinstance(operation.act, Signed)
    }
    assert codes >= {0, 1005}, again
    for operations in record.groups.values():
        acts = [operation.act for operation in operations]
        writes = sum(act.writes for act in acts)
        assert min(writes, len(acts) - writes) > REQUESTS_EACH / 5, again
        assert len({act.total for act in acts if isinstance(act, Page)}) > 3, again
