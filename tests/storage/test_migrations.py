import asyncio
import sys
from pathlib import Path

import pytest
from tests import direct
from tests.storage.conftest import add, ids_in

from openpns.errors import ConfigError
from openpns.storage import connect, migrations
from openpns.storage.store import Store

HERE = Path(__file__).parent

MIGRATE = """
import asyncio, sys
from openpns.storage import connect

async def main():
    store = await connect.open_store(sys.argv[1], create=True)
    print("ready", flush=True)
    sys.stdin.readline()
    print(await connect.migrate(store, sys.argv[1]))
    await store.close()

asyncio.run(main())
"""

SCHEMA_SQLITE = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"
SCHEMA_POSTGRES = r"""
SELECT concat_ws(' ', 'column', c.table_name, c.column_name, c.data_type, c.collation_name,
    CASE c.is_nullable WHEN 'NO' THEN 'NOT NULL' END, c.column_default,
    CASE a.attstorage WHEN 'e' THEN 'EXTERNAL' END)
FROM information_schema.columns AS c
JOIN pg_attribute AS a
    ON a.attrelid = CAST(c.table_name AS regclass) AND a.attname = c.column_name
WHERE c.table_schema = 'public'
UNION ALL
SELECT concat_ws(' ', 'index', indexdef) FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT concat_ws(' ', 'constraint', CAST(conrelid AS regclass), pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = CAST('public' AS regnamespace) AND contype <> 'n'
UNION ALL
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT concat_ws(' ', 'function', proname, regexp_replace(prosrc, '\s+', ' ', 'g'))
FROM pg_proc WHERE pronamespace = CAST('public' AS regnamespace)
UNION ALL
SELECT concat_ws(' ', 'options', relname, CAST(reloptions AS text))
FROM pg_class WHERE relnamespace = CAST('public' AS regnamespace) AND reloptions IS NOT NULL
"""


def test_both_engines_have_the_same_numbers_without_a_gap() -> None:
    sqlite = [number for number, _ in migrations.load_migrations("sqlite")]
    assert sqlite == [number for number, _ in migrations.load_migrations("postgres")]
    assert sqlite == list(range(1, len(sqlite) + 1))
    assert migrations.newest("sqlite") == migrations.newest("postgres") == sqlite[-1]


async def test_the_second_run_has_nothing_to_do(database_url: str) -> None:
    store = await connect.open_store(database_url, create=True)
    engine = connect.engine_of(database_url)
    numbers = [number for number, _ in migrations.load_migrations(engine)]
    assert await connect.migrate(store, database_url) == numbers
    await store.write(add("cus_1"))
    assert await connect.migrate(store, database_url) == []
    assert await ids_in(store) == ["cus_1"]
    await store.close()


async def test_two_processes_at_once_apply_each_migration_once(database_url: str) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", MIGRATE, database_url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    answers = await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    numbers = [number for number, _ in migrations.load_migrations(connect.engine_of(database_url))]
    assert sorted(out.decode() for out, _ in answers) == sorted([f"{numbers}\n", "[]\n"])
    assert [process.returncode for process in processes] == [0, 0]


async def test_the_schema_is_the_recorded_one(store: Store, database_url: str) -> None:
    if connect.engine_of(database_url) == "sqlite":
        recorded, sql, between = "schema.sqlite.sql", SCHEMA_SQLITE, ";\n\n"
    else:
        recorded, sql, between = "schema.postgres.txt", SCHEMA_POSTGRES, "\n"
    parts = sorted(row[0] for row in await direct.query(database_url, sql))
    assert between.join(parts).split("\n") == (HERE / recorded).read_text("utf-8").split("\n")[:-1]


@pytest.mark.parametrize(
    "script", ["CREATE TABLE extra (a text); SELEC", "CREATE TABLE extra (a text, a text)"]
)
async def test_a_migration_that_fails_leaves_nothing(
    store: Store, database_url: str, script: str
) -> None:
    before = await store.schema_version()
    scripts = [(before + 1, "CREATE TABLE early (a text)"), (before + 2, script)]
    with pytest.raises(ConfigError, match="database: cannot migrate: "):
        await store.migrate(scripts)
    assert await store.schema_version() == before
    tables = {
        "sqlite": "SELECT name FROM sqlite_schema",
        "postgres": "SELECT relname FROM pg_class",
    }
    names = await direct.query(database_url, tables[connect.engine_of(database_url)])
    assert {("extra",), ("early",)}.isdisjoint(names)
    assert await store.migrate([(before + 1, "CREATE TABLE early (a text)")]) == [before + 1]


PLACES = range(0, 60 * 300_001, 300_001)
"""Places in the order of the groups that are left, so far apart that blocks of every level lie
between them."""

OLD_CUSTOMER = """
INSERT INTO customer (customer_id, name, created_ms) VALUES ('{0}', '', 0);
INSERT INTO customer_state (customer_id, group_count, next_seq) VALUES ('{0}', {1}, {2});
"""
OLD_GROUP = """
INSERT INTO number_group VALUES ('{0}', '{1:032x}', {1}, 'name', '', {2}, {2}, 0, 0, '{3}');
"""


async def test_groups_made_before_pages_were_fast_are_found_at_every_offset(
    database_url: str,
) -> None:
    store = await _at_version_1(
        database_url,
        OLD_CUSTOMER.format("cus_1", len(PLACES), PLACES[-1] + 1000)
        + OLD_CUSTOMER.format("cus_2", 1, 1)
        + "".join(OLD_GROUP.format("cus_1", seq, 1, "85211111114") for seq in PLACES)
        + OLD_GROUP.format("cus_2", 0, 1, "85211111114"),
    )
    await connect.migrate(store, database_url)
    for offset in (*range(len(PLACES)), 60, 61, 2**62):
        rows = await store.fetch("group_list_seek", _page("cus_1", 3, offset))
        assert tuple(rows[0][1:3]) == (60, True)
        found = [int(row[5], 16) for row in rows if row[5]]
        assert found == [*PLACES[offset : offset + 3]]
    for name in ("group_list", "group_list_seek"):
        rows = await store.fetch(name, _page("cus_2", 3, 0))
        assert [row[3:6] for row in rows if row[5]] == [("cus_2", "name", "0" * 32)]
        assert tuple(rows[0][1:3]) == (1, False)
    await store.close()


async def test_long_texts_are_parted_and_read_whole(database_url: str) -> None:
    counts = (0, 1, 127, 128, 129, 256, 257, 1000)
    sql = OLD_CUSTOMER.format("cus_1", len(counts), len(counts))
    for seq, count in enumerate(counts):
        # Deleted numbers leave gaps in the positions, too.
        phones = [f"852{place:08}" for place in range(count)]
        sql += OLD_GROUP.format("cus_1", seq, count, ",".join(phones))
        sql += "".join(
            f"INSERT INTO group_member VALUES ('cus_1', {seq}, '{phone}', {place * 3});"
            for place, phone in enumerate(phones)
        )
    store = await _at_version_1(database_url, sql)
    before = await direct.query(database_url, "SELECT phones FROM number_group ORDER BY group_seq")
    await connect.migrate(store, database_url)
    rows = await store.fetch("group_list_seek", _page("cus_1", 10, 0))
    assert [(row[6],) for row in rows if row[5]] == before
    exported = await store.fetch("group_export", {"customer_id": "cus_1"})
    assert [(row[2],) for row in exported] == before
    parts = await direct.query(
        database_url, "SELECT group_seq, part FROM group_phone_chunk ORDER BY 1, 2"
    )
    long = [(4, 1), (5, 1), (6, 1), (6, 2), *((7, part) for part in range(1, 8))]
    assert parts == long
    await store.close()


async def _at_version_1(database_url: str, sql: str) -> Store:
    store = await connect.open_store(database_url, create=True)
    await store.migrate(migrations.load_migrations(connect.engine_of(database_url))[:1])
    await direct.run(database_url, sql)
    return store


def _page(customer_id: str, limit: int, offset: int) -> dict[str, object]:
    page = {"customer_id": customer_id, "limit": limit, "offset": offset}
    return page | {"phones_max": 10_000, "phones_in_chunk": 128, "phones_short": 128}


async def test_a_migration_may_take_longer_than_any_other_statement(postgres_url: str) -> None:
    store = await connect.open_store(postgres_url, timeout_ms=200)
    assert await store.migrate([(1, "SELECT pg_sleep(0.5)")]) == [1]
    await store.close()
