"""One customer's searches, large writes and groups do not take the service from another one.

The tests compare orders and counts, never times. The APIs run in this process, on both databases.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from tests.api.conftest import Server
from tests.conftest import FakeClock
from tests.direct import holding
from tests.groups.actions import joined
from tests.helpers import envelope_of, on_sqlite_only
from tests.server import conftest as parts

from openpns.accounts import access_keys, customers
from openpns.accounts.access_keys import NewSecret
from openpns.groups import detail
from openpns.storage import connect
from openpns.storage.bounds import StorageBounds
from openpns.storage.statements import prepare
from openpns.storage.store import Store, database_path

secret_box, key, log, server = parts.secret_box, parts.key, parts.log, parts.server

ATTACKS = 64
BOUNDS = StorageBounds(searches_max=3, searches_per_customer_max=2, waiting_per_customer_max=80)
SLOW_SEARCH = """
SELECT c.groups_revision, (
    WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 50000)
    SELECT max(x) FROM n
), NULL, NULL, NULL, NULL, NULL
FROM customer_state AS c WHERE c.customer_id = :customer_id
"""
"""What a search does that reads very much: longer than a search may take on the event loop."""


@pytest.fixture
async def store(store: Store, database_url: str) -> AsyncIterator[Store]:
    """The database with small bounds, and with searches by name that take long."""
    opened = await connect.open_store(database_url, timeout_ms=60_000, bounds=BOUNDS)
    name = "group_find_by_name_sorted:oldest"
    statements: Any = opened._statements  # type: ignore[attr-defined]
    slow = prepare(name, SLOW_SEARCH, connect.engine_of(database_url))
    statements[name] = structs.replace(
        statements[name], sql=slow.sql, parameters=slow.parameters, has_json_rows=False
    )
    yield opened
    await opened.close()


@pytest.fixture
async def victim(server: Server, clock: FakeClock) -> NewSecret:
    """An access key of another customer."""
    await customers.create(server.services.store, clock, "cus_9", "")
    return await access_keys.create(server.services.store, server.secret_box, clock, "cus_9")


HOLD = "UPDATE number_group SET remark = 'held' WHERE customer_id = 'cus_1'"
"""Locks the groups of the attacker; on SQLite, all writes."""


class Attack:
    """Many requests of cus_1 at once."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.codes: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, action: str, *bodies: dict[str, Any]) -> None:
        """Send requests; they are in flight when this returns."""
        self.tasks += [asyncio.create_task(self._send(action, body)) for body in bodies]
        await asyncio.sleep(0)

    async def _send(self, action: str, body: dict[str, Any]) -> None:
        reply = await self.server.send(action, json.dumps(body).encode())
        self.codes.append(envelope_of(reply)["code"])

    async def end(self) -> list[int]:
        await asyncio.gather(*self.tasks)
        return self.codes


def searches(prefix: str) -> list[dict[str, Any]]:
    """Searches that no cache answers."""
    return [{"limit": 1, "offset": 0, "groupName": f"{prefix}{n}"} for n in range(ATTACKS)]


async def ask(server: Server, victim: NewSecret, action: str, **body: Any) -> int:
    return await server.code(action, json.dumps(body).encode(), key=victim)


async def test_searches_of_one_customer_leave_another_one_its_responses(
    server: Server, victim: NewSecret, store: Store
) -> None:
    attack = Attack(server)
    await attack.begin("listGroup", *searches("g"))
    most = 0
    for number in range(4):
        assert await ask(server, victim, "createGroup", phones=joined([number])) == 0
        assert await ask(server, victim, "listGroup", limit=10, offset=number) == 0
        # Its own search has a place: the attacker holds two of three.
        assert await ask(server, victim, "listGroup", limit=1, offset=0, groupName=f"{number}") == 0
        usage = store.usage()
        most = max(most, usage.searches)
        assert usage.searches <= BOUNDS.searches_per_customer_max
        assert usage.searches + usage.searches_waiting + len(attack.codes) <= ATTACKS
    assert most > 0
    assert len(attack.codes) < ATTACKS  # all of these responses came meanwhile
    assert set(await attack.end()) == {0}
    assert store.usage() == (0, 0, 0, 0, 0)


async def test_searches_beyond_the_bound_are_refused_to_that_customer_only(
    server: Server, victim: NewSecret, store: Store
) -> None:
    attack = Attack(server)
    await attack.begin("listGroup", *searches("a"), *searches("b"))
    assert await ask(server, victim, "listGroup", limit=1, offset=0, groupName="x") == 0
    codes = await attack.end()
    # The rest found no room to wait; how many depends on how fast the first ones end.
    assert set(codes) == {0, 19004}
    assert codes.count(0) >= BOUNDS.waiting_per_customer_max
    assert await server.code(body=json.dumps(searches("c")[0]).encode()) == 0


async def test_large_writes_of_one_customer_let_another_one_take_its_turn(
    server: Server, victim: NewSecret, store: Store, database_url: str
) -> None:
    created = await server.send("createGroup", b'{"phones":"85211111114"}')
    body = {"groupId": envelope_of(created)["groupId"], "operateType": 2}
    attack = Attack(server)
    numbers = (range(n, n + 800) for n in range(ATTACKS))
    has_one_writer = database_path(database_url) is not None

    async def answered(number: int) -> int:
        assert await ask(server, victim, "createGroup", phones=joined([number])) == 0
        return len(attack.codes)

    # No write of the attacker ends before all writes of the victim have arrived.
    async with holding(database_url, HOLD):
        await attack.begin("updateGroup", *(body | {"phones": joined(each)} for each in numbers))
        victims = [asyncio.create_task(answered(number)) for number in range(3)]
        if has_one_writer:
            while store.usage().writes_waiting < ATTACKS + len(victims):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        else:  # it does not wait for the attacker at all
            assert await asyncio.gather(*victims) == [0, 0, 0]
    # One writer carries out a write of each customer in turn.
    assert max(await asyncio.gather(*victims)) < ATTACKS / 8
    assert set(await attack.end()) == {0}


@on_sqlite_only  # on PostgreSQL they run beside each other, on a part of the connections
async def test_dry_runs_of_one_customer_leave_another_one_a_place(
    server: Server, victim: NewSecret
) -> None:
    created = await server.send("createGroup", b'{"phones":"85211111114"}')
    body = {"groupId": envelope_of(created)["groupId"], "operateType": 2, "dryRun": True}
    assert await ask(server, victim, "getLimits") == 0  # its key is cached from now on
    attack = Attack(server)
    await attack.begin("updateGroup", *[body | {"phones": joined(range(800))}] * ATTACKS)
    assert await ask(server, victim, "createGroup", phones=joined([1]), dryRun=True) == 0
    assert len(attack.codes) < ATTACKS / 2
    assert set(await attack.end()) == {0}


MANY = joined(range(101))
LARGE_READS: dict[str, dict[str, Any]] = {
    "listGroup": {"limit": 101, "offset": 0},
    "getGroup": {"groupId": ""},
    "listGroupPhones": {"groupId": "", "limit": 0, "offset": 0},
    "updateGroup": {"groupId": "", "operateType": 1, "phones": MANY, "dryRun": True},
    "listNumbers": {"limit": 101},
    "getAXBList": {"limit": 101, "offset": 0},
    "listCallRecords": {"limit": 101},
    "listDeliveries": {"limit": 101},
}


async def test_large_reads_wait_for_their_customers_turn_only(
    server: Server, victim: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detail, "PHONES_IN_SMALL_GROUP", 1)
    created = await server.send("createGroup", json.dumps({"phones": joined(range(200))}).encode())
    attack = Attack(server)
    turns = server.services.large_reads
    async with turns.hold("cus_1"):
        for place, (action, sent) in enumerate(LARGE_READS.items(), 1):
            body = {**sent}
            if "groupId" in body:
                body["groupId"] = envelope_of(created)["groupId"]
            else:
                assert await ask(server, victim, action, **body) == 0
                small = json.dumps(body | {"limit": 100}).encode()
                assert await server.code(action, small) == 0
            await attack.begin(action, body)
            while turns.waiting < place:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
        assert attack.codes == []
    assert await attack.end() == [0] * len(LARGE_READS)


async def test_groups_of_one_customer_end_at_its_quota(server: Server, victim: NewSecret) -> None:
    server.make_api(replace(server.services, groups_per_customer_max=10))
    attack = Attack(server)
    await attack.begin("createGroup", *[{"phones": joined([n])} for n in range(ATTACKS)])
    assert await ask(server, victim, "createGroup", phones=joined([1])) == 0
    codes = await attack.end()
    assert (codes.count(0), codes.count(19012)) == (10, ATTACKS - 10)
    assert await ask(server, victim, "createGroup", phones=joined([2])) == 0
