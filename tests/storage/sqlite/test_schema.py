"""The text of definitions, and what only SQLite has."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests import direct
from tests.helpers import on_sqlite_only

from openpns.errors import ConfigError
from openpns.storage import connect, migrations
from openpns.storage.schema import Differences
from openpns.storage.sqlite import schema
from openpns.storage.sqlite.connections import open_file
from openpns.storage.store import Store, database_path

SAME = "CREATE TABLE \"t\"( a TEXT, -- comment\n b TEXT DEFAULT 'x  y' /* c */ )"
WRITE_SCHEMA = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = {} WHERE name = '{}'"


def test_definitions_are_equal_but_for_quotes_comments_and_gaps() -> None:
    wanted = schema._normalised("CREATE TABLE t (a TEXT, b TEXT DEFAULT 'x  y')")
    assert schema._normalised(SAME) == wanted
    for other in (SAME.replace("x  y", "x y"), SAME.replace("b TEXT", "b2 TEXT")):
        assert schema._normalised(other) != wanted


@on_sqlite_only
async def test_digest_of_a_new_database_is_recorded(store: Store, database_url: str) -> None:
    path = database_path(database_url)
    assert path is not None
    with closing(open_file(path)) as connection:
        digest = schema.digest(connection, migrations.load_migrations("sqlite"))
    assert schema._recorded_digest() == digest, "write this digest to schema.sha256"


@on_sqlite_only
async def test_find_differences_applies_no_step_to_compare_an_equal_database(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_apply", None)
    assert await connect.find_schema_differences(store, database_url) == Differences([], [], [])
    await direct.run(database_url, "CREATE TABLE more (a)")
    with pytest.raises(TypeError):
        await connect.find_schema_differences(store, database_url)


@on_sqlite_only
async def test_find_differences_accepts_statistics(store: Store, database_url: str) -> None:
    await direct.run(database_url, "ANALYZE")
    assert await connect.check_schema(store, database_url) == []


@on_sqlite_only
@pytest.mark.parametrize("name", ["sqlite_stat1", "sqlite_stat4", "sqlite_sequence"])
@pytest.mark.parametrize("has_statistics", [False, True])
async def test_find_differences_finds_a_trigger_with_a_name_of_sqlite(
    store: Store, database_url: str, name: str, has_statistics: bool
) -> None:
    if has_statistics:
        await direct.run(database_url, "ANALYZE")
    trigger = f"CREATE TRIGGER {name} AFTER INSERT ON number_group BEGIN SELECT 1; END"
    await direct.run(
        database_url,
        "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema "
        f"VALUES ('trigger', '{name}', 'number_group', 0, '{trigger}')",
    )
    found = await connect.find_schema_differences(store, database_url)
    assert found.faults == [f"trigger {name} on number_group is not made by openpns"]


@on_sqlite_only
@pytest.mark.parametrize(
    "definition", ["TABLE sqlite_stat1(tbl,idx,stat,more)", "VIEW sqlite_stat1 AS SELECT 1 AS tbl"]
)
async def test_find_differences_finds_other_objects_with_the_name_of_statistics(
    store: Store, database_url: str, definition: str
) -> None:
    kind = definition.partition(" ")[0].lower()
    await direct.run(database_url, "ANALYZE")
    await direct.run(
        database_url,
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema "
        f"SET type = '{kind}', sql = 'CREATE {definition}', "
        f"rootpage = iif('{kind}' = 'view', 0, rootpage) WHERE name = 'sqlite_stat1'",
    )
    found = await connect.find_schema_differences(store, database_url)
    (line,) = (*found.faults, *found.notes)
    assert line.startswith(f"{kind} sqlite_stat1 ")


@on_sqlite_only
async def test_find_differences_finds_a_definition_that_was_written_over(
    store: Store, database_url: str
) -> None:
    changed = "replace(sql, 'OLD.at_ms >= ', '0 AND OLD.at_ms >= ')"
    await direct.run(database_url, WRITE_SCHEMA.format(changed, "audit_entry_no_delete"))
    found = await connect.find_schema_differences(store, database_url)
    assert found.faults == [
        "trigger audit_entry_no_delete on audit_entry is not as the migrations make it"
    ]


async def test_find_differences_compares_a_database_older_than_the_record_of_steps(
    tmp_path: Path,
) -> None:
    known = migrations.load_migrations("sqlite")
    store = await connect.open_store(f"sqlite:///{tmp_path / 'old.db'}", create=True)
    await store.migrate(known[:3])
    await store.close()
    connection = open_file(str(tmp_path / "old.db"))
    assert schema.find_differences(connection, known).faults == []
    connection.execute("DROP INDEX access_key_customer")
    assert schema.find_differences(connection, known).faults == [
        "index access_key_customer on access_key is missing"
    ]
    connection.close()


@on_sqlite_only
async def test_triggers_of_a_file_cannot_call_functions_of_openpns(
    store: Store, database_url: str
) -> None:
    await direct.run(
        database_url,
        "CREATE TRIGGER t AFTER INSERT ON customer BEGIN SELECT group_seq_at('cus_1', 0); END",
    )
    connection = store._connect()  # type: ignore[attr-defined]
    with pytest.raises(apsw.SQLError, match="unsafe use of group_seq_at"):
        connection.execute("INSERT INTO customer VALUES ('c', '', 1, NULL)")
    connection.close()


@on_sqlite_only
async def test_check_schema_notes_a_table_that_no_write_reaches(
    store: Store, database_url: str
) -> None:
    await direct.run(database_url, "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INT)")
    assert await connect.check_schema(store, database_url) == [
        "table _litestream_seq is not made by openpns"
    ]


@on_sqlite_only
@pytest.mark.parametrize(
    "definition",
    ["TABLE x (a REFERENCES customer)", "VIRTUAL TABLE x USING fts5(a)", "VIEW x AS SELECT 1"],
)
async def test_check_schema_refuses_other_tables_and_views(
    store: Store, database_url: str, definition: str
) -> None:
    await direct.run(database_url, f"CREATE {definition}")
    with pytest.raises(ConfigError, match=r"(table|view) x.* is not made by openpns"):
        await connect.check_schema(store, database_url)
