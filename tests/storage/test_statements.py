from pathlib import Path

import apsw
import asyncpg
import pytest

from openpns.groups import order
from openpns.storage import connect
from openpns.storage.statements import (
    NamedStatement,
    combine,
    load_statements,
    parse,
    prepare,
)

FRAGMENTS = {"up": {"order": "a", "limit": "1"}, "down": {"order": "a DESC", "limit": "2"}}
"""Found by its name by the option `fragments` below."""


def test_parse_splits_file_into_named_statements() -> None:
    text = (
        "-- thing_find\n-- Why.\nSELECT a\nFROM t -- not a line of its own\n\n"
        "-- thing_write\n-- Why.\n-- cross-customer: reason\nUPDATE t SET a = 1\n"
    )
    assert [(one.name, one.sql) for one in parse(text, "sqlite")] == [
        ("thing_find", "SELECT a\nFROM t -- not a line of its own"),
        ("thing_write", "UPDATE t SET a = 1"),
    ]


def test_parse_reads_options_from_header() -> None:
    text = (
        "-- plain\n-- Why.\nSELECT 1\n"
        "-- page\n-- Why.\n-- rows: json\n-- function: module:register\nSELECT 2\n"
        "-- old\n-- Why.\n-- until-migration: 8\nSELECT 3\n"
    )
    assert parse(text, "sqlite") == [
        NamedStatement("plain", "SELECT 1", ()),
        NamedStatement("page", "SELECT 2", (), has_json_rows=True, function="module:register"),
        NamedStatement("old", "SELECT 3", (), until_migration=8),
    ]


def test_parse_makes_one_statement_per_variant() -> None:
    text = (
        f"-- page\n-- Why.\n-- fragments: {__name__}:FRAGMENTS\n"
        "SELECT a FROM t ORDER BY {order} LIMIT {limit}\n"
    )
    assert [(one.name, one.sql) for one in parse(text, "sqlite")] == [
        ("page:up", "SELECT a FROM t ORDER BY a LIMIT 1"),
        ("page:down", "SELECT a FROM t ORDER BY a DESC LIMIT 2"),
    ]


def test_prepare_numbers_parameters_for_postgresql() -> None:
    sql = "SELECT :b::text FROM t WHERE a = :a AND b = :b AND c = :a_long"
    sqlite = prepare("x", sql, "sqlite")
    assert (sqlite.sql, sqlite.parameters) == (sql, ("b", "a", "a_long"))
    postgres = prepare("x", sql, "postgres")
    assert postgres.parameters == ("b", "a", "a_long")
    assert postgres.sql == "SELECT $1::text FROM t WHERE a = $2 AND b = $1 AND c = $3"


def test_prepare_lets_a_cached_statement_take_many_values_on_postgresql() -> None:
    sql = "SELECT a, b FROM t WHERE a = :a"
    sqlite = prepare("x", sql, "sqlite", {"cached": "a"})
    assert (sqlite.sql, sqlite.parameters, sqlite.cache_key) == (sql, ("a",), "a")
    postgres = prepare("x", sql, "postgres", {"cached": "a"})
    assert postgres.sql == "SELECT a, b FROM t WHERE a = ANY(CAST($1 AS text[]))"
    assert (postgres.parameters, postgres.cache_key) == (("a",), "a")


def test_prepare_refuses_a_cached_statement_without_its_parameter() -> None:
    with pytest.raises(ValueError, match=r"statement x must contain '= :a' once"):
        prepare("x", "SELECT a FROM t WHERE a < :a", "sqlite", {"cached": "a"})


def test_parse_names_a_statement_that_may_read_much_twice() -> None:
    near, far = parse("-- one\n-- Why.\n-- search-far: a\nSELECT 1 WHERE :a = 1\n", "sqlite")
    assert (near.name, near.search_owner) == ("one", None)
    assert (far.name, far.search_owner, far.sql) == ("one:far", "a", near.sql)


def test_parse_says_whose_reads_share_round_trips() -> None:
    (one,) = parse("-- one\n-- Why.\n-- batch: a\nSELECT 1 WHERE :a = 1\n", "postgres")
    assert (one.name, one.batch_owner) == ("one", "a")


def test_load_statements_refuses_a_second_statement_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "a.sql").write_text("-- one\n-- Why.\nSELECT 1\n")
    (folder / "b.sqlite.sql").write_text("-- one\n-- Why.\nSELECT 2\n")
    (folder / "b.txt").write_text("-- one\n-- Why.\nSELECT 3\n")
    monkeypatch.setattr("openpns.storage.statements.resources.files", lambda _: tmp_path)
    with pytest.raises(ValueError, match="two statements have the name one"):
        load_statements("sqlite")
    assert load_statements("postgres")["one"].sql == "SELECT 1"


def test_load_statements_has_the_same_statements_for_both_engines() -> None:
    sqlite, postgres = load_statements("sqlite"), load_statements("postgres")
    assert set(sqlite) == set(postgres)
    different = [n for n, one in sqlite.items() if {*one.parameters} != {*postgres[n].parameters}]
    # A place is unique on SQLite only, where three lists would be joined slowly.
    assert different == ["audit_unsealed_delete"]
    assert not [one.name for one in sqlite.values() if "{" in one.sql]


async def test_sqlite_understands_every_statement(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    store = await connect.open_store(url, create=True)
    await connect.migrate(store, url)
    await store.close()
    connection = apsw.Connection(str(tmp_path / "test.db"))
    order.register(connection)
    for statement in load_statements("sqlite").values():
        if statement.until_migration is None:
            params = dict.fromkeys(statement.parameters)
            assert connection.execute(f"EXPLAIN {statement.sql}", params).fetchall(), statement.name
    connection.close()


async def test_combined_statements_return_the_rows_of_each(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE t (a text, b bigint); INSERT INTO t VALUES ('x', 1)")
    both = combine(
        [
            prepare("find", "SELECT a, b FROM t WHERE a = :a OR a = :b FOR UPDATE", "postgres"),
            prepare("add", "INSERT INTO t VALUES (:a, :b)", "postgres"),
            prepare("change", "UPDATE t SET b = :b WHERE a = :a RETURNING b", "postgres"),
        ]
    )
    assert both.name == "find+add+change"
    assert both.parameters == ("a", "b", "a", "b", "b", "a")
    row = await connection.fetchrow(both.sql, "x", "y", "new", 7, 2, "x")
    assert [*row] == [[("x", 1)], True, [(2,)]]
    row = await connection.fetchrow(both.sql, "-", "y", "more", 8, 2, "more")
    assert [*row] == [None, True, None]  # each sees the snapshot from before the first
    rows = await connection.fetch("SELECT * FROM t ORDER BY b")
    assert [*map(tuple, rows)] == [("x", 2), ("new", 7), ("more", 8)]
    await connection.close()


async def test_postgresql_understands_every_statement(postgres_url: str) -> None:
    store = await connect.open_store(postgres_url)
    await connect.migrate(store, postgres_url)
    await store.close()
    connection = await asyncpg.connect(postgres_url)
    for statement in load_statements("postgres").values():
        if statement.until_migration is None:
            prepared = await connection.prepare(statement.sql)
            assert len(prepared.get_parameters()) == len(statement.parameters), statement.name
    await connection.close()
