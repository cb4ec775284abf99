"""Databases on a cluster of Citus: OPENPNS_TEST_CITUS is the URL of its coordinator.

The database of the URL has the extension and knows the nodes; each other one is made on all nodes.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Collection
from urllib.parse import urlsplit

import asyncpg
from tests.databases import PostgresDatabases, grant, migrate, name_of, new_name, url_of

from openpns.storage import connect
from openpns.storage.postgres import distribution

Node = tuple[str, int]

_SHARDS = 4

_DDL = "Citus cannot carry out what the test changes past openpns"
_KEEPS = "a row cannot get another customer"
_MEANT = "it is about PostgreSQL without Citus"

NOT_HERE = {
    "storage/test_plans.py": "it compares plans of one node; test_citus.py does for Citus",
    "storage/postgres/test_growth.py": "it compares plans of one node",
    "storage/postgres/test_hosts.py::test_direct_connection_has_the_settings": _MEANT,
    "storage/postgres/test_serving_role.py::test_role_adds": "Citus has no rights on columns",
    "storage/postgres/test_schema.py::test_find_differences_finds_other_owners": _DDL,
    "storage/postgres/test_schema.py::test_find_differences_finds[sql14": _DDL,
    "test_find_differences_finds[CREATE TABLE child () INHERITS (number_group)": _DDL,
    "CLUSTER number_group USING number_group_pkey": _DDL,
    "ALTER COLUMN remark SET STORAGE MAIN": _DDL,
    "ALTER COLUMN remark SET STATISTICS 500": _DDL,
    " SET customer_id = ": _KEEPS,
    "test_entry_whose_key_was_changed_is_named[postgres-customer_id": _KEEPS,
    "groups/test_check.py::test_check_reports_phone_text_split_at_other_places": _DDL,
    "call_records/test_check.py::test_check_reports_ids_that_are_used_twice": _KEEPS,
    "test_find_schema_differences_finds[postgres-view in the place of a table": _DDL,
    "storage/test_migrations.py::test_schema_is_the_recorded_one": _MEANT,
    "promises/test_failover.py": "it starts PostgreSQL servers of its own",
    "promises/test_rolling_upgrade.py": "a version from before migration 17 has never run on Citus",
    "promises/test_upgrade.py": "a version from before migration 17 has never run on Citus",
}
"""The tests that cannot hold on Citus, by a part of their ids, and why."""

_NODES = "SELECT nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"

_END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = $1 AND pid <> pg_backend_pid()
"""

_SCHEMA = """
SELECT sum(CAST(CAST(changed AS text) AS bigint)) + (
    SELECT sum(hashtext(concat(number, step, checksum))) FROM schema_migration
) FROM (
    SELECT xmin AS changed FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT t.xmin FROM pg_trigger AS t
    UNION ALL SELECT xmin FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT xmin FROM pg_constraint
    UNION ALL SELECT xmin FROM pg_policy
    UNION ALL SELECT a.xmin FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        AND c.relnamespace = 'public'::regnamespace
) AS objects
"""
"""Changes with each object of the schema."""

_EMPTY = """
DO $$
DECLARE
    shard text;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR shard IN
        SELECT shard_name(s.logicalrelid, s.shardid) FROM pg_dist_shard AS s
        JOIN pg_dist_placement AS p ON p.shardid = s.shardid
        WHERE p.groupid = (SELECT groupid FROM pg_dist_local_group)
            AND CAST(s.logicalrelid AS text) = ANY(string_to_array('{}', ' '))
    LOOP
        EXECUTE 'DELETE FROM ' || shard;
    END LOOP;
    PERFORM setval(c.oid, 1, false) FROM pg_class AS c
    WHERE c.relkind = 'S' AND c.relnamespace = 'public'::regnamespace
        AND (SELECT groupid FROM pg_dist_local_group) = 0;
END
$$
"""


def on_node(url: str, node: Node) -> str:
    """Return the URL of a node's database of the same name, for the same user."""
    parts = urlsplit(url)
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return parts._replace(netloc=f"{user}{node[0]}:{node[1]}").geturl()


async def nodes_of(url: str) -> list[Node]:
    """Return the nodes of a cluster, the coordinator first."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(_NODES)
    await connection.close()
    return [(row[0], row[1]) for row in rows]


async def create_citus_database(server: str, known: int | None = None) -> str:
    """Make a database on all nodes; return its URL at the coordinator.

    Args:
        known: How many of the nodes know each other, the coordinator first; None for all.
    """
    nodes = await nodes_of(server)
    name = new_name()
    for node in nodes:
        connection = await asyncpg.connect(on_node(server, node))
        await connection.execute("SET citus.enable_ddl_propagation = off")
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.execute(f"ALTER DATABASE {name} SET citus.shard_count = {_SHARDS}")
        await connection.close()
    url = url_of(server, name)
    for node in nodes:
        connection = await asyncpg.connect(on_node(url, node))
        await connection.execute("CREATE EXTENSION citus")
        await connection.close()
    connection = await asyncpg.connect(url)
    await connection.execute("SELECT citus_set_coordinator_host($1, $2)", *nodes[0])
    for host, port in nodes[1:known]:
        await connection.execute("SELECT citus_add_node($1, $2)", host, port)
    await connection.close()
    return url


async def empty(url: str, names: Collection[str]) -> None:
    """Delete all rows of tables of a distributed database, and begin ids again.

    Quicker than TRUNCATE, which locks every shard of every table.
    """
    for node in await nodes_of(url):
        connection = await asyncpg.connect(on_node(url, node))
        try:
            await connection.execute(_EMPTY.replace("{}", " ".join(names)))
        finally:
            await connection.close()


def tables() -> list[str]:
    """Return the names of all tables."""
    return [*distribution.REFERENCE, *distribution.COORDINATOR, *distribution.DISTRIBUTED]


async def distribute(url: str) -> None:
    """Distribute the tables of a migrated database."""
    store = await connect.open_store(url)
    await connect.distribute(store, url)
    await store.close()


class CitusDatabases(PostgresDatabases):
    """Makes and removes distributed databases.

    A copy of the first one is made on each node, with equal shards. That takes seconds, so a
    database whose schema a test has not changed is emptied and used again.
    """

    def __init__(self, server: str) -> None:
        super().__init__(server)
        self._free: list[str] = []
        self._schemas: dict[str, int] = {}
        self._loop.run_until_complete(self._connect_to_nodes())

    async def _connect_to_nodes(self) -> None:
        self._urls = [on_node(self._server, node) for node in await nodes_of(self._server)]
        self._nodes = [await self._connect(url) for url in self._urls]

    async def _connect(self, url: str) -> asyncpg.Connection:
        return await asyncpg.connect(url, server_settings={"citus.enable_ddl_propagation": "off"})

    async def _create(self, is_migrated: bool) -> str:
        if not is_migrated:
            return await create_citus_database(self._server)
        if self._free:
            return self._free.pop()
        url = await super()._create(is_migrated)
        self._schemas[url] = await self._schema_of(url)
        return url

    async def _create_template(self) -> str:
        template = await create_citus_database(self._server)
        await migrate(template)
        await distribute(template)
        await grant(template)
        # A template may not be in use; the background worker of Citus cannot return then.
        name = name_of(template)
        await self._execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        for connection in self._nodes:
            for _ in itertools.count():
                if not await connection.fetch(_END_OTHERS, name):
                    break
                await asyncio.sleep(0.05)
        return template

    async def _schema_of(self, url: str) -> int:
        connection = await asyncpg.connect(url)
        found = await connection.fetchval(_SCHEMA)
        await connection.close()
        return int(found)

    async def _execute(self, sql: str) -> None:
        for connection in self._nodes:
            while True:
                # A database that is removed may be used for a moment by what has moved its shards.
                with contextlib.suppress(asyncpg.ObjectInUseError):
                    await connection.execute(sql)
                    break
                await asyncio.sleep(0.1)

    def drop(self, url: str) -> None:
        """Empty a database, or remove it if its schema was changed."""
        self._loop.run_until_complete(self._give_back(url))

    async def _give_back(self, url: str) -> None:
        with contextlib.suppress(asyncpg.PostgresError):  # such as one that is read-only now
            if url in self._schemas and await self._schema_of(url) == self._schemas[url]:
                await empty(url, set(tables()) - {"schema_migration"})
                self._free.append(url)
                return
        await self._execute(f"DROP DATABASE {name_of(url)} WITH (FORCE)")

    async def _close(self) -> None:
        for url in self._free:
            await self._execute(f"DROP DATABASE {name_of(url)} WITH (FORCE)")
        await super()._close()
        for connection in self._nodes:
            await connection.close()
