"""On Citus a request asks one node, and no write is lost while a node is added and shards move.

These tests exist only with OPENPNS_TEST_CITUS, and need a coordinator with two workers or more.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from tests import audit_trail, direct
from tests.citus import Node, create_citus_database, distribute, nodes_of, on_node
from tests.databases import PostgresDatabases, serving_url
from tests.processes import KEY_OF, Process, Start, add_numbers, fill, run_openpns
from tests.promises.traffic import Writer, running, shown_groups, wait_until
from tests.storage.postgres.test_distribution import unpinned

from openpns.accounts import key_uses
from openpns.clock import now_ms
from openpns.core import audit_chain
from openpns.core.context import Services
from openpns.ids import Snowflake
from openpns.storage import connect
from openpns.storage.statements import load_statements

A, B = "85211111111", "85222222222"
X = "85290000001"
NOT_BOUND = 10013
UNKNOWN = (19004, 19006)
"""Nothing was written, or it is not known: a client sends the request again with its token."""

VALUES = {"bigint": "1", "integer": "1", "text": "'cus_1'", "bytea": "'\\x00'"}
ARRAYS = {"text[]": "'{cus_1}'", "bigint[]": "'{1}'"}


@pytest.fixture
def empty(postgres_server: str, postgres_databases: PostgresDatabases) -> Iterator[str]:
    """An empty database; the coordinator knows one worker."""
    made = asyncio.run(create_citus_database(postgres_server, known=2))
    yield made
    postgres_databases.drop(made)


@pytest.fixture
def url(empty: str) -> str:
    """A distributed database with two customers."""
    asyncio.run(fill(empty))
    asyncio.run(distribute(empty))
    asyncio.run(add_numbers(empty, "cus_1", X))
    return empty


async def _run(url: str, *statements: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    rows: list[Any] = []
    try:
        for sql in statements:
            rows = await connection.fetch(sql, timeout=300)
    finally:
        await connection.close()
    return rows


@pytest.mark.usefixtures("migrated")
async def test_citus_plans_each_statement_of_a_customer_as_one_task(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    several = []
    for number, statement in enumerate(load_statements("citus").values()):
        if statement.until_migration is not None or [*unpinned(statement)]:
            continue
        await connection.execute(f"PREPARE s{number} AS {statement.sql}")
        types = await connection.fetchval(
            "SELECT CAST(parameter_types AS text[]) FROM pg_prepared_statements WHERE name = $1",
            f"s{number}",
        )
        values = ", ".join((VALUES | ARRAYS).get(kind, "NULL") for kind in types)
        execute = f"s{number}({values})" if types else f"s{number}"
        rows = await connection.fetch(f"EXPLAIN EXECUTE {execute}")
        plan = "\n".join(row[0] for row in rows)
        if re.findall(r"Task Count: (\d+)", plan) not in ([], ["1"]) or "Subplan" in plan:
            several.append((statement.name, plan))
    await connection.close()
    assert several == []


def test_migrate_distributes_once_and_finds_a_table_that_is_not(empty: str) -> None:
    url = empty
    first = run_openpns("migrate", "--database", url)
    assert "openpns migrate --distribute" in first.stdout
    done = run_openpns("migrate", "--distribute", "--database", url)
    assert (done.returncode, done.stdout) == (0, "distributed the tables over the nodes of Citus\n")
    again = run_openpns("migrate", "--distribute", "--database", url)
    assert again.stdout == "nothing to do: the migrations are current\n"
    assert run_openpns("verify", "--database", url).returncode == 0
    asyncio.run(_run(url, "SELECT undistribute_table('delivery')"))
    found = run_openpns("verify", "--database", url)
    assert found.returncode != 0
    assert "distribution delivery is not as the migrations make it" in found.stdout + found.stderr
    again = run_openpns("migrate", "--distribute", "--database", url)
    assert again.returncode == 0, again.stderr
    assert run_openpns("verify", "--database", url).returncode == 0


def test_distribute_without_the_extension_is_refused(empty: str) -> None:
    drop = "SELECT citus_remove_node(nodename, nodeport) FROM pg_dist_node WHERE groupid > 0"
    asyncio.run(_run(empty, drop, "DROP EXTENSION citus CASCADE"))
    found = run_openpns("migrate", "--distribute", "--database", empty)
    assert found.returncode != 0
    assert "does not have the extension citus" in found.stderr


class Binder(threading.Thread):
    """Binds, asks and unbinds; the next question must answer by what was acknowledged."""

    def __init__(self, server: Process, number: int) -> None:
        super().__init__()
        self._server = server
        self._phones = f"8526{number:07}", f"8527{number:07}"
        self._ended = threading.Event()
        self.rounds, self.retries = 0, 0
        self.failure: BaseException | None = None

    def wait_for_rounds(self) -> None:
        """Wait until it has bound and unbound a few times more."""
        before = self.rounds
        wait_until(lambda: self.rounds > before + 3 or not self.is_alive(), "binds go on")

    def end(self) -> None:
        """Stop, and raise what went wrong."""
        self._ended.set()
        self.join(60)
        if self.failure is not None:
            raise self.failure

    def run(self) -> None:
        """Bind and unbind until the end."""
        try:
            with _closing(self._server) as self._connection:
                while not self._ended.is_set():
                    self._bind_and_unbind()
        except BaseException as error:  # noqa: BLE001 - raised by `end`
            self.failure = error

    def _bind_and_unbind(self) -> None:
        self.rounds += 1
        a, b = self._phones
        token = f"{a} {self.rounds}"
        bound = self._do("bindAXB", phoneA=a, phoneB=b, expireSecond=0, clientToken=token)
        for caller, callee in ((a, b), (b, a)):
            assert self._ask(caller)["data"]["callee"] == callee
        bind_id = bound["data"]["bindId"]
        self._do("unbindAXB", bindId=bind_id, clientToken=f"{token} end")
        assert self._ask(a)["code"] == NOT_BOUND

    def _ask(self, caller: str) -> dict[str, Any]:
        while True:
            answer = self._server.call(
                "queryAXB", {"caller": caller, "did": X}, connection=self._connection
            )
            if answer["code"] not in UNKNOWN:
                return answer
            self.retries += 1

    def _do(self, action: str, **body: Any) -> dict[str, Any]:
        while True:
            answer = self._server.call(action, body, connection=self._connection)
            if answer["code"] == 0:
                return answer
            assert answer["code"] in UNKNOWN, answer
            self.retries += 1


@contextlib.contextmanager
def _closing(server: Process) -> Iterator[Any]:
    connection = server.connect()
    yield connection
    connection.close()


def test_no_write_is_lost_while_a_node_is_added_and_shards_move(
    url: str, postgres_server: str, start: Start
) -> None:
    _, first, second, *_ = asyncio.run(nodes_of(postgres_server))
    server = start("serve", "--database", url, "--port", "0")
    writers = [Writer(f"w{number}", number) for number in range(2)]
    binder = Binder(server, 1)
    binder.start()
    with running(writers, server.port):
        binder.wait_for_rounds()
        asyncio.run(_add_and_rebalance(url, second))
        assert asyncio.run(_shards_on(url, second)) > 0
        binder.wait_for_rounds()
        asyncio.run(_move_all(url, second, first))
        assert asyncio.run(_shards_on(url, second)) == 0
        binder.wait_for_rounds()
    binder.end()
    shown = shown_groups(server)
    for writer in writers:
        writer.check(shown)
        assert len(writer.acknowledged) > 10
    assert server.stop() == 0
    found = run_openpns("verify", "--database", url)
    assert found.returncode == 0, found.stdout + found.stderr
    # The triggers of the audit trail have moved with the shards.
    for sql in ("UPDATE audit_entry SET action = 'x'", "DELETE FROM audit_entry"):
        with pytest.raises(asyncpg.RestrictViolationError):
            asyncio.run(_run(url, sql))


async def _add_and_rebalance(url: str, node: Node) -> None:
    await _run(url, f"SELECT citus_add_node('{node[0]}', {node[1]})")
    await _run(url, "SELECT citus_rebalance_start()", "SELECT citus_rebalance_wait()")


async def _move_all(url: str, source: Node, target: Node) -> None:
    """Move every shard from one node to another; those of one customer move together."""
    shards = (
        "SELECT min(s.shardid) FROM pg_dist_shard AS s JOIN citus_shards AS c USING (shardid) "
        f"WHERE s.logicalrelid = 'customer_state'::regclass AND c.nodeport = {source[1]} "
        "GROUP BY s.shardid"
    )
    for (shard,) in await _run(url, shards):
        move = (
            f"SELECT citus_move_shard_placement({shard}, '{source[0]}', {source[1]}, "
            f"'{target[0]}', {target[1]}, 'force_logical')"
        )
        while True:  # a move that Citus has ended for a write has changed nothing
            with contextlib.suppress(asyncpg.DeadlockDetectedError):
                await _run(url, "CALL citus_cleanup_orphaned_resources()", move)
                break


async def _shards_on(url: str, node: Node) -> int:
    rows = await _run(
        url,
        "SELECT count(*) FROM citus_shards "
        f"WHERE nodeport = {node[1]} AND table_name = 'customer_state'::regclass",
    )
    return int(rows[0][0])


def test_server_at_a_worker_sees_what_one_at_the_coordinator_writes(
    url: str, postgres_server: str, start: Start
) -> None:
    worker = on_node(url, asyncio.run(nodes_of(postgres_server))[1])
    servers = [start("serve", "--database", one, "--port", "0") for one in (url, worker)]
    for number in range(10):
        one, other = servers[number % 2], servers[1 - number % 2]
        bound = one.call("bindAXB", {"phoneA": A, "phoneB": B, "expireSecond": 0})
        assert bound["code"] == 0, bound
        assert other.call("queryAXB", {"caller": A, "did": X})["data"]["callee"] == B
        assert one.call("unbindAXB", {"bindId": bound["data"]["bindId"]})["code"] == 0
        assert other.call("queryAXB", {"caller": A, "did": X})["code"] == NOT_BOUND
    for server in servers:
        assert server.stop() == 0
    assert run_openpns("verify", "--database", worker).returncode == 0


@pytest.mark.usefixtures("migrated")
async def test_servers_at_different_nodes_never_seal_at_once(
    postgres_server: str, postgres_url: str
) -> None:
    urls = [on_node(postgres_url, node) for node in await nodes_of(postgres_server)]
    stores = [await connect.open_store(url) for url in urls]
    statements = load_statements("citus")
    await direct.run(postgres_url, audit_trail.row("", entry_id=1000))
    for url in urls:
        async with direct.holding(url, statements["audit_seal_lock"].sql):
            left = await asyncio.gather(*map(audit_chain.seal, stores))
            assert [one.entries for one in left] == [1] * len(stores)
    for number in range(5):
        for entry_id in range(10):
            sql = audit_trail.row("", entry_id=number * 10 + entry_id)
            await direct.run(postgres_url, sql)
        await asyncio.gather(*map(audit_chain.seal, stores))  # raises if two add the same seal
    await asyncio.gather(*map(audit_chain.seal_all, stores))
    assert (await audit_chain.heads(stores[0]))[0].seq == 51
    assert await audit_trail.faults(stores[0]) == []
    for store in stores:
        await store.close()


@pytest.mark.usefixtures("migrated")
async def test_serving_role_stores_when_keys_were_used_and_changes_no_customer(
    postgres_url: str,
) -> None:
    await fill(postgres_url)
    key, used = KEY_OF["cus_1"][0], "SELECT max(last_used_ms) FROM access_key"
    store = await connect.open_store(serving_url(postgres_url))
    services = Services(store, Snowflake(now_ms, worker_id=1), now_ms)
    services.key_used_ms[key] = 7
    await key_uses.record(services)
    await store.close()
    assert await direct.query(postgres_url, used) == [(7,)]
    for sql in (
        "UPDATE customer SET disabled_ms = NULL",
        "DELETE FROM customer",
        "TRUNCATE customer",
        "TRUNCATE customer CASCADE",
    ):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError)):
            await direct.run(serving_url(postgres_url), sql)
