"""Citus: which tables are copied to every node, and which are divided by customer.

Citus is an extension of PostgreSQL that spreads tables over several servers. The rows of a customer
are on one node, in shards beside each other, so that a request needs that node only.

Source: docs/decisions/0056-citus.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openpns.errors import ConfigError
from openpns.storage.schema import Found, Key

REFERENCE: Final = (
    # Others refer to it: first.
    "customer",
    "access_key",
    "audit_backlog",
    "audit_pruning",
    "master_key_check",
    "schema_migration",
    "virtual_number",
)
"""Tables of which every node has a copy: directories that are read often and seldom written.

To write one needs all nodes.
"""

COORDINATOR: Final = ("worker_lease",)
"""Tables that only the coordinator has, so that servers go on if another node is away."""

DISTRIBUTED: Final = (
    # The others are colocated with it: first.
    "customer_state",
    "audit_entry",
    "audit_seal",
    "audit_unsealed",
    "binding",
    "call_audio",
    "call_record",
    "call_trace",
    "customer_usage",
    "delivery",
    "digit_guard",
    "ended_binding",
    "group_member",
    "group_order_gap",
    "group_phone_chunk",
    "group_tombstone",
    "idempotency_record",
    "number_group",
    "number_load",
    "routing_sequence",
    "seat",
    "webhook",
)
"""Tables that are divided by `COLUMN`; the shards of one customer are on one node."""

COLUMN: Final = "customer_id"

_ALL: Final = (*REFERENCE, *COORDINATOR, *DISTRIBUTED)

KIND: Final = "distribution"
"""The kind of object under which `openpns verify` compares how a table is distributed."""

_HAS_EXTENSION: Final = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"

_IS_DISTRIBUTED: Final = """
SELECT EXISTS (
    SELECT FROM pg_dist_partition
    WHERE logicalrelid = to_regclass('customer_state') AND partmethod = 'h'
)
"""

_PLACED: Final = """
SELECT c.relname, CASE
    WHEN p.partmethod = 'h' AND p.colocationid = first.colocationid
        THEN 'by ' || column_to_column_name(p.logicalrelid, p.partkey)
    WHEN p.partmethod = 'h' THEN 'not beside customer_state'
    WHEN p.repmodel = 't' THEN 'reference'
    WHEN p.partmethod = 'n' THEN 'coordinator'
    ELSE 'local' END
FROM unnest(CAST($1 AS text[])) AS name
JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(name))
LEFT JOIN pg_dist_partition AS p ON p.logicalrelid = c.oid
LEFT JOIN pg_dist_partition AS first ON first.logicalrelid = to_regclass('customer_state')
"""
"""How each of some tables is distributed."""

_TRIGGERS: Final = """
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger
WHERE tgrelid = CAST($1 AS regclass) AND NOT tgisinternal
"""

_NO_EXTENSION: Final = (
    "--distribute: this database does not have the extension citus; run CREATE EXTENSION citus in "
    "it on every node and add the workers with citus_add_node, or leave --distribute out"
)
_NO_WORKER: Final = (
    "--distribute: no node of Citus may have shards; add one with citus_add_node(host, port)"
)
_WRONG_NODE: Final = (
    "database: this node of Citus is not the coordinator; run this command with the URL of the "
    "coordinator"
)


async def has_extension(connection: Any) -> bool:
    """Return whether a database has the extension."""
    return bool(await connection.fetchval(_HAS_EXTENSION))


async def is_distributed(connection: Any) -> bool:
    """Return whether the tables of openpns are distributed."""
    return await has_extension(connection) and bool(await connection.fetchval(_IS_DISTRIBUTED))


async def prepare(connection: Any, *, distribute: bool) -> bool:
    """Prepare a transaction of migrations; return whether `place_tables` must follow.

    Args:
        distribute: Whether the operator asks for it; later migrations need not ask again.

    Raises:
        ConfigError: The database cannot be distributed, or this node is not the coordinator.
    """
    if not await has_extension(connection):
        if distribute:
            raise ConfigError(_NO_EXTENSION)
        return False
    if not (distribute or await is_distributed(connection)):
        return False
    if not await connection.fetchval("SELECT citus_is_coordinator()"):
        raise ConfigError(_WRONG_NODE)
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM citus_get_active_worker_nodes())"):
        raise ConfigError(_NO_WORKER)
    await change_one_by_one(connection)
    await connection.execute("SET LOCAL citus.enable_unsafe_triggers = on")
    return True


async def change_one_by_one(connection: Any) -> None:
    """Let the transaction change one shard after the other.

    Tables with foreign keys to reference tables cannot be changed in parallel in the transaction
    that also changes those.
    """
    await connection.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")


async def read_one_snapshot(connection: Any) -> None:
    """Let the transaction use one connection to each node, so that it has one snapshot of each.

    All rows of a customer are on one node, but for those of reference tables.
    """
    await connection.execute("SET LOCAL citus.max_adaptive_executor_pool_size = 1")


async def is_placed(connection: Any) -> bool:
    """Return whether every table is distributed as it must be, or is missing."""
    return not await _local_tables(connection)


async def place_tables(connection: Any) -> bool:
    """Distribute the tables that are not yet; return whether there were any.

    Triggers are made again afterwards: those of the audit trail would take the rows that are
    copied into the shards for new ones.
    """
    missing = await _local_tables(connection)
    triggers: list[str] = []
    for table in missing:
        for name, definition in await connection.fetch(_TRIGGERS, table):
            triggers.append(definition)
            await connection.execute(f'DROP TRIGGER "{name}" ON {table}')
    for table in missing:
        if table in REFERENCE:
            await connection.execute("SELECT create_reference_table($1)", table)
            continue
        if table in COORDINATOR:
            await connection.execute("SELECT citus_add_local_table_to_metadata($1)", table)
            continue
        beside = "default" if table == DISTRIBUTED[0] else DISTRIBUTED[0]
        await connection.execute(
            "SELECT create_distributed_table($1, $2, colocate_with := $3)", table, COLUMN, beside
        )
    for definition in triggers:
        await connection.execute(definition)
    return bool(missing)


def expected_objects(tables: Sequence[str]) -> Mapping[Key, str]:
    """Return how each of some tables must be distributed."""
    place = dict.fromkeys(REFERENCE, "reference") | dict.fromkeys(COORDINATOR, "coordinator")
    return {Key(KIND, table): place.get(table, f"by {COLUMN}") for table in tables}


async def read_objects(connection: Any, tables: Sequence[str]) -> list[Found]:
    """Return how each of some tables is distributed."""
    rows = await connection.fetch(_PLACED, tables)
    return [Found(Key(KIND, table), placed) for table, placed in rows]


async def _local_tables(connection: Any) -> list[str]:
    """Return the tables that are not distributed, in the order in which they can be."""
    placed = dict(await connection.fetch(_PLACED, _ALL))
    return [table for table in _ALL if placed.get(table) == "local"]
