from pathlib import Path

import apsw
import asyncpg
import pytest

from openpns.groups import order
from openpns.storage import connect
from openpns.storage.statements import load_statements, parse, prepare


def test_a_file_is_split_into_names_and_statements() -> None:
    text = (
        "-- thing_find\n-- Why.\nSELECT a\nFROM t -- not a line of its own\n\n"
        "-- thing_write\n-- Why.\n-- cross-customer: reason\nUPDATE t SET a = 1\n"
    )
    assert parse(text) == [
        ("thing_find", "SELECT a\nFROM t -- not a line of its own"),
        ("thing_write", "UPDATE t SET a = 1"),
    ]


def test_parameters_are_numbered_where_the_engine_wants_it() -> None:
    sql = "SELECT :b::text FROM t WHERE a = :a AND b = :b AND c = :a_long"
    sqlite = prepare("x", sql, "sqlite")
    assert (sqlite.sql, sqlite.parameters) == (sql, ("b", "a", "a_long"))
    postgres = prepare("x", sql, "postgres")
    assert postgres.parameters == ("b", "a", "a_long")
    assert postgres.sql == "SELECT $1::text FROM t WHERE a = $2 AND b = $1 AND c = $3"


def test_a_name_that_stands_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "a.sql").write_text("-- one\n-- Why.\nSELECT 1\n")
    (folder / "b.sqlite.sql").write_text("-- one\n-- Why.\nSELECT 2\n")
    (folder / "b.txt").write_text("-- one\n-- Why.\nSELECT 3\n")
    monkeypatch.setattr("openpns.storage.statements.resources.files", lambda _: tmp_path)
    with pytest.raises(ValueError, match="statement one stands twice"):
        load_statements("sqlite")
    assert load_statements("postgres")["one"].sql == "SELECT 1"


def test_both_engines_have_the_same_statements() -> None:
    sqlite, postgres = load_statements("sqlite"), load_statements("postgres")
    looked_up = {"key_find"}  # by one value, or by many at once
    assert {name: set(one.parameters) for name, one in sqlite.items() if name not in looked_up} == {
        name: set(one.parameters) for name, one in postgres.items() if name not in looked_up
    }
    assert all(sqlite[name].parameters == ("value",) for name in looked_up)
    assert all(postgres[name].parameters == ("values",) for name in looked_up)


async def test_sqlite_understands_every_statement(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    store = await connect.open_store(url, create=True)
    await connect.migrate(store, url)
    await store.close()
    connection = apsw.Connection(str(tmp_path / "test.db"))
    order.register(connection)
    for statement in load_statements("sqlite").values():
        params = dict.fromkeys(statement.parameters)
        assert connection.execute(f"EXPLAIN {statement.sql}", params).fetchall(), statement.name
    connection.close()


async def test_postgresql_understands_every_statement(postgres_url: str) -> None:
    store = await connect.open_store(postgres_url)
    await connect.migrate(store, postgres_url)
    await store.close()
    connection = await asyncpg.connect(postgres_url)
    for statement in load_statements("postgres").values():
        prepared = await connection.prepare(statement.sql)
        assert len(prepared.get_parameters()) == len(statement.parameters), statement.name
    await connection.close()
