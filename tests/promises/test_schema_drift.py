"""A schema that somebody has changed is reported, whatever the change is.

`make fuzz` tries more: it sets FUZZ_TIMES.

Source: docs/decisions/0030-compared-schema.md.
"""

import os
import random
from collections import Counter
from contextlib import closing
from pathlib import Path

import apsw
import asyncpg
from tests.promises.schema_drift import PostgresDrift, Schema, SQLiteDrift
from tests.simulation.effort import SEED

from openpns.storage import connect, migrations
from openpns.storage.postgres import migrate
from openpns.storage.postgres import schema as postgres_schema
from openpns.storage.sqlite import schema as sqlite_schema

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
CHANGES = 60 * TIMES
KINDS_MIN = 5
"""Of so many kinds at least one change was made: most are refused by the database."""
TRIGGERS = "SELECT tbl_name, name FROM sqlite_schema WHERE type = 'trigger'"
OF_POSTGRESQL = """
SELECT c.relname, array_agg(DISTINCT a.attname) AS columns,
    array_agg(DISTINCT t.tgname) FILTER (WHERE NOT t.tgisinternal) AS triggers,
    array_agg(DISTINCT k.conname) FILTER (WHERE k.contype <> 'n') AS constraints
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid
LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = CAST('public' AS regnamespace)
GROUP BY c.relname
"""
COLUMNS = """
SELECT attrelid, attname, attnotnull, atttypid, atthasdef, attidentity FROM pg_attribute
WHERE attrelid IN (
    SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = CAST('public' AS regnamespace)
)
ORDER BY attrelid, attname
"""
INDEXES = """
SELECT CAST(indexrelid AS regclass) FROM pg_index
WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = CAST('public' AS regnamespace))
    AND indexrelid NOT IN (SELECT conindid FROM pg_constraint)
"""


def _sqlite_objects(connection: apsw.Connection) -> Schema:
    # Not SQLite's own tables: it may do without its figures for the planner.
    named = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' "
    tables = connection.execute(f"{named} ESCAPE '@'").fetchall()
    triggers: dict[str, list[str]] = {}
    for table, name in connection.execute(TRIGGERS):
        triggers.setdefault(table, []).append(name)
    indexes = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    columns = "SELECT name FROM pragma_table_info(?)"
    return Schema(
        {name: [row[0] for row in connection.execute(columns, (name,))] for (name,) in tables},
        triggers,
        [name for (name,) in connection.execute(indexes)],
    )


async def test_every_change_of_a_schema_of_sqlite_is_reported(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    store = await connect.open_store(url, create=True)
    await connect.migrate(store, url)
    await store.close()
    known = migrations.load_migrations("sqlite")
    data = (tmp_path / "a.db").read_bytes()
    with closing(apsw.Connection(str(tmp_path / "a.db"))) as connection:
        connection.pragma("journal_mode", "delete")
        drift = SQLiteDrift(_sqlite_objects(connection), random.Random(SEED))
    data = (tmp_path / "a.db").read_bytes()
    made: Counter[str] = Counter()
    for number in range(CHANGES):
        with closing(apsw.Connection(":memory:")) as copy:
            copy.deserialize("main", data)
            kind, sql = drift.change()
            before = copy.execute("SELECT * FROM sqlite_schema").fetchall()
            try:
                copy.execute(sql)
                after = copy.execute("SELECT * FROM sqlite_schema").fetchall()
            except apsw.Error:  # refused, or nobody can open the database any more
                continue
            if before == after:
                continue
            made[kind] += 1
            try:
                found = sqlite_schema.find_differences(copy, known)
            except (apsw.SQLError, apsw.CorruptError):
                # Of the table of migrations; commands end with this error.
                assert "schema_migration" in sql
                continue
            name = f"OPENPNS_TEST_SEED={SEED}: change {number}: {sql}"
            assert found.faults or found.notes, name
            assert all(line.isprintable() for line in (*found.faults, *found.notes)), name
    assert len(made) >= KINDS_MIN, made


async def test_every_change_of_a_schema_of_postgresql_is_reported(postgres_url: str) -> None:
    store = await connect.open_store(postgres_url)
    await connect.migrate(store, postgres_url)
    await store.close()
    known = migrations.load_migrations("postgres")
    connection = await asyncpg.connect(postgres_url)
    try:
        rows = await connection.fetch(OF_POSTGRESQL)
        schema = Schema(
            {row["relname"]: row["columns"] for row in rows},
            {row["relname"]: row["triggers"] for row in rows if row["triggers"]},
            [row[0] for row in await connection.fetch(INDEXES)],
            {row["relname"]: row["constraints"] for row in rows if row["constraints"]},
        )
        drift = PostgresDrift(schema, random.Random(SEED))
        columns = await connection.fetch(COLUMNS)
        made: Counter[str] = Counter()
        for number in range(CHANGES):
            kind, sql = drift.change()
            transaction = connection.transaction()
            await transaction.start()
            try:
                await connection.execute(sql)
            except asyncpg.PostgresError:
                await transaction.rollback()
                continue
            if kind == "alter_column" and columns == await connection.fetch(COLUMNS):
                await transaction.rollback()  # such as NOT NULL for a column that is that already
                continue
            made[kind] += 1
            try:
                found = await postgres_schema.find_differences(connection, known)
                is_migrated = bool(await migrate.read_applied(connection))
            except asyncpg.UndefinedColumnError:  # of that table; commands end with this error
                assert "schema_migration" in sql
                continue
            finally:
                await transaction.rollback()
            if not is_migrated:  # without the table; commands end with "lacks migration"
                assert "schema_migration" in sql
                continue
            name = f"OPENPNS_TEST_SEED={SEED}: change {number}: {sql}"
            assert found.faults or found.notes, name
            assert all(line.isprintable() for line in (*found.faults, *found.notes)), name
        assert len(made) >= KINDS_MIN, made
    finally:
        await connection.close()
