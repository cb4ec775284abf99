"""Every table, key and ciphertext of the schema is known to the copy."""

from collections import defaultdict

import pytest
from tests import direct

from openpns.copying.ends import TO, open_endpoint
from openpns.storage.copying import NOT_COPIED, TABLES, Conflict, Row
from openpns.storage.store import Store

_SQLITE = """
SELECT t.name, c.name, c.type, c.pk FROM pragma_table_list AS t, pragma_table_xinfo(t.name) AS c
WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite%' ORDER BY t.name, c.pk
"""
_UNSEALED = "SELECT sql FROM sqlite_schema WHERE name = 'audit_unsealed'"
_POSTGRES = """
SELECT c.relname, a.attname, format_type(a.atttypid, NULL),
    coalesce(array_position(i.indkey::int[], a.attnum::int), -1) + 1
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0
    AND NOT a.attisdropped AND c.relname !~ '_[0-9]+$'  -- not the shards of Citus
ORDER BY c.relname, 4
"""
_DIGESTS = {("audit_seal", "digest")}
"""Bytes that are no ciphertext."""


async def test_every_table_of_the_schema_is_copied(store: Store, database_url: str) -> None:
    is_sqlite = database_url.startswith("sqlite")
    rows = await direct.query(database_url, _SQLITE if is_sqlite else _POSTGRES)
    keys: dict[str, list[str]] = defaultdict(list)
    secrets: dict[str, set[str]] = defaultdict(set)
    for table, column, kind, place in rows:
        keys[table] += [column] if place else []
        if kind.lower() in ("blob", "bytea") and (table, column) not in _DIGESTS:
            secrets[table].add(column)
    if is_sqlite:  # its primary key is the place; the copy's key is as unique
        assert keys["audit_unsealed"] == ["place"]
        ((sql,),) = await direct.query(database_url, _UNSEALED)
        assert "UNIQUE (customer_id, at_ms, entry_id)" in sql
        keys["audit_unsealed"] = ["customer_id", "at_ms", "entry_id"]
    assert {table.name: [*table.key] for table in TABLES} == {
        name: key for name, key in keys.items() if name not in NOT_COPIED
    }
    assert {table.name: {*table.secrets} for table in TABLES if table.secrets} == secrets


async def test_tables_come_after_those_that_they_refer_to(store: Store, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        sql = """
            SELECT t.name, f."table"
            FROM pragma_table_list AS t, pragma_foreign_key_list(t.name) AS f
            WHERE t.schema = 'main' ORDER BY t.name
        """
    else:
        sql = """
            SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
            WHERE contype = 'f' AND connamespace = 'public'::regnamespace
                AND conrelid::regclass::text !~ '_[0-9]+$'  -- not the shards of Citus
            ORDER BY 1
        """
    found = await direct.query(database_url, sql)
    assert sorted(found) == sorted((one.name, TABLES[0].name) for one in TABLES if one.has_parent)


async def test_replace_returns_rows_that_had_a_unique_value_of_a_new_one(
    store: Store, database_url: str
) -> None:
    (table,) = [table for table in TABLES if table.name == "binding"]
    target = await open_endpoint(database_url, TO)
    try:
        columns = await target.columns("binding")
        target.use_columns("binding", columns)

        def row(seq: int, own_id: str) -> Row:
            given = {
                "customer_id": "cus_1",
                "binding_seq": seq,
                "bind_id": f"bind-{seq}",
                "customer_bind_id": own_id,
                "kind": "axb",
                "group_seq": None,
            }
            return tuple(
                given.get(name, 0 if name == "flag" or name.endswith("_ms") else "")
                for name in columns
            )

        async with target.transaction():
            await target.insert(table, [row(1, "order"), row(2, ""), row(3, "other")])
        with pytest.raises(Conflict):
            async with target.transaction():
                await target.insert(table, [row(6, "order")])
        async with target.transaction():
            # Empty ones are not unique; a row is not in its own way.
            new = [row(3, "other"), row(4, "order"), row(5, "")]
            assert await target.replace(table, new) == [row(1, "order")]
        keys = [("cus_1", seq) for seq in range(1, 6)]
        found = await target.rows(table, keys)
        assert sorted(found, key=repr) == sorted([row(2, ""), *new], key=repr)
    finally:
        await target.close()
