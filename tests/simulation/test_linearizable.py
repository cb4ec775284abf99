"""Several processes on one database, many callers: the record of their calls must be possible.

See `history` for what is checked. What an operator changes in the tables by hand, past openpns,
is not covered: nothing is promised of it.
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
from tests.simulation.model import Call, Page, SetAccess
from tests.simulation.recorder import Caller, Key, Record

from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.accounts.secret_box import SecretBox
from openpns.clock import now_ms
from openpns.groups.wire import ADD, REPLACE
from openpns.storage.store import Store

CALLS_EACH = 400 * EFFORT
GROUPS_ABOUT = 10
LONG = 300
"""So many numbers that a page without a limit is sent in slices."""

# The same few pages over and over; offsets move when a group before them is deleted.
PAGES = [(10, 0)] * 4 + [(0, 0)] * 2 + [(3, 2), (2, 9), (10, 500)]


def make_calls(caller: Caller, number: int) -> None:
    """Make one caller's calls; each of its numbers is sent once only, so that a read tells whose
    write it shows.
    """
    choices = random.Random(f"{SEED}/{number}")
    numbers = (f"852{number:02}{count:06}" for count in itertools.count())

    def fresh(count: int) -> str:
        return ",".join(itertools.islice(numbers, count))

    for _ in range(CALLS_EACH):
        if choices.random() < 0.75:
            caller.page(*choices.choice(PAGES))
        elif choices.random() * GROUPS_ABOUT > len(caller.shown):
            caller.create(fresh(2))
        else:
            _change(caller, choices.choice(list(caller.shown)), choices, fresh)


def _change(
    caller: Caller, group_id: str, choices: random.Random, fresh: Callable[[int], str]
) -> None:
    """Change a group that the caller was shown; another caller may have deleted it."""
    (kind,) = choices.choices(["add", "replace", "forget", "lengthen", "delete"], [3, 3, 2, 1, 3])
    if kind == "add":
        caller.update(group_id, ADD, fresh(2))
    elif kind == "replace":
        caller.update(group_id, REPLACE, fresh(1))
    elif kind == "forget":
        caller.forget(group_id)
    elif kind == "lengthen":
        caller.update(group_id, REPLACE, fresh(LONG))
    else:
        caller.delete(group_id)


class Operator:
    """Changes keys and customers straight at the database, from a process of its own."""

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


async def test_every_answer_fits_one_order_of_all_calls(
    nodes: Nodes,
    store: Store,
    key: Key,
    other_key: Key,
    request: pytest.FixtureRequest,
) -> None:
    record = Record()
    secret_box = await open_secret_box(store, nodes.url, MASTER_KEY)
    second = await new_key(store, nodes.url, key.customer)
    # Each of the three workers gets three callers: two of one customer, one of another.
    connections = [nodes.connect(key) for _ in range(3)]
    callers = [
        Caller(connection, used, record)
        for used, each in zip((key, second, other_key), connections, strict=True)
        for connection in each
    ]
    is_finished = asyncio.Event()
    operating = asyncio.create_task(
        Operator(store, secret_box, record).work(second, other_key, is_finished)
    )
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(len(callers)) as pool:
        calls = [
            loop.run_in_executor(pool, make_calls, caller, number)
            for number, caller in enumerate(callers)
        ]
        await asyncio.gather(*calls)
    is_finished.set()
    await operating
    for connection in itertools.chain(*connections):
        connection.close()
    again = f"again, with the same choices: {command(request.node.nodeid)}"
    violations = record.find_violations()
    assert not violations, "\n".join([*violations, again])
    _check_that_enough_happened(record, again)


def _check_that_enough_happened(record: Record, again: str) -> None:
    """A record of too little would pass whatever the servers do."""
    assert len(record.workers) == Nodes.workers, again
    codes = {
        operation.act.code
        for operations in record.access.values()
        for operation in operations
        if isinstance(operation.act, Call)
    }
    assert codes >= {0, 1005}, again
    for operations in record.groups.values():
        acts = [operation.act for operation in operations]
        writes = sum(act.writes for act in acts)
        assert min(writes, len(acts) - writes) > CALLS_EACH / 5, again
        assert len({act.total for act in acts if isinstance(act, Page)}) > 3, again
