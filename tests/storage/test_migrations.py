import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests import direct
from tests.storage.conftest import add, ids_in

from openpns.errors import ConfigError
from openpns.kit.casefold import fold_name
from openpns.storage import connect, migrations
from openpns.storage.migrations import STOP_LAST, Applied, Migration, find_missing, find_unknown
from openpns.storage.statements import Engine
from openpns.storage.store import Store

HERE = Path(__file__).parent
ENGINES: tuple[Engine, ...] = ("sqlite", "postgres")

MIGRATE = """
import asyncio, sys
from openpns.storage import connect

async def main():
    store = await connect.open_store(sys.argv[1], create=True)
    print("ready", flush=True)
    sys.stdin.readline()
    print(len(await connect.migrate(store, sys.argv[1])))
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


KNOWN = [
    Migration(8, "SELECT 8", file="0008_words.sqlite.sql"),
    Migration(9, "SELECT 9", "pre"),
    Migration(9, "SELECT 99", "post"),
    Migration(10, "SELECT 10", "pre"),
]


def labels(steps: Sequence[Migration]) -> list[str]:
    return [one.label for one in steps]


def test_both_engines_have_the_same_steps() -> None:
    sqlite, postgres = (migrations.load_migrations(engine) for engine in ENGINES)
    assert [(one.number, one.step) for one in sqlite] == [
        (one.number, one.step) for one in postgres
    ]
    assert sorted({one.number for one in sqlite}) == [*range(1, migrations.newest() + 1)]


@pytest.mark.parametrize("engine", ENGINES)
def test_steps_up_to_8_stop_and_later_ones_are_pre_or_post(engine: Engine) -> None:
    for one in migrations.load_migrations(engine):
        assert (one.step == "stop") == (one.number <= STOP_LAST), one.file


def test_released_files_never_change() -> None:
    """Add a line for each new file; never change one of a released file."""
    recorded = dict(
        reversed(line.split()) for line in (HERE / "migrations.sha256").read_text().splitlines()
    )
    files = {
        one.file: one.checksum for engine in ENGINES for one in migrations.load_migrations(engine)
    }
    assert files == recorded


def test_find_missing_leaves_post_steps_out_by_default() -> None:
    applied = [Applied(8)]
    assert labels(find_missing(KNOWN, applied, with_post=False)) == ["9 pre", "10 pre"]
    assert labels(find_missing(KNOWN, applied, with_post=True)) == ["9 pre", "9 post", "10 pre"]


def test_find_missing_returns_every_step_for_an_empty_database() -> None:
    assert find_missing(KNOWN, [], with_post=False) == KNOWN


def test_find_missing_refuses_a_changed_file_and_names_it() -> None:
    changed = [Applied(8, "stop", "0" * 64)]
    with pytest.raises(ConfigError, match=r"another text than that of 0008_words\.sqlite\.sql"):
        find_missing(KNOWN, changed, with_post=False)


def test_find_unknown_accepts_newer_pre_steps_only() -> None:
    newer = [Applied(8), Applied(9, "pre"), Applied(11, "pre"), Applied(11, "post"), Applied(12)]
    assert find_unknown(KNOWN, newer) == newer[3:]


async def test_migrate_has_nothing_to_do_the_second_time(database_url: str) -> None:
    store = await connect.open_store(database_url, create=True)
    known = migrations.load_migrations(connect.engine_of(database_url))
    assert await connect.migrate(store, database_url) == known
    await store.write(add("cus_1"))
    assert await connect.migrate(store, database_url) == []
    assert await ids_in(store) == ["cus_1"]
    await store.close()


async def test_migrate_records_every_step_with_its_checksum(
    store: Store, database_url: str
) -> None:
    known = migrations.load_migrations(connect.engine_of(database_url))
    assert await store.applied_migrations() == [
        Applied(one.number, one.step, one.checksum) for one in known
    ]
    rows = await direct.query(database_url, "SELECT file, applied_ms FROM schema_migration")
    assert {row[0] for row in rows} == {one.file for one in known}
    assert all(row[1] > 1_700_000_000_000 for row in rows)


async def test_migrate_refuses_a_changed_file(store: Store, database_url: str) -> None:
    await direct.run(
        database_url, "UPDATE schema_migration SET checksum = 'other' WHERE number = 3"
    )
    with pytest.raises(ConfigError, match=r"migration 3 was applied with another text .*0003_md5"):
        await connect.migrate(store, database_url)


async def test_migrate_applies_post_only_on_request(store: Store) -> None:
    number = migrations.newest() + 1
    pair = [
        Migration(number, "CREATE TABLE early (a text)", "pre", "pre.sql"),
        Migration(number, "DROP TABLE early", "post", "post.sql"),
        Migration(number + 1, "CREATE TABLE late (a text)", "pre", "late.sql"),
    ]
    assert await store.migrate(pair) == [pair[0], pair[2]]
    assert await store.migrate(pair) == []
    assert await store.migrate(pair, with_post=True) == [pair[1]]
    assert set(await store.applied_migrations()) >= {
        Applied(one.number, one.step, one.checksum) for one in pair
    }


async def test_data_steps_run_before_and_after_the_sql(store: Store, database_url: str) -> None:
    ran: list[str] = []

    def note(connection: object) -> None:
        ran.append("sqlite")

    async def note_async(connection: object) -> None:
        ran.append("postgres")

    engine = connect.engine_of(database_url)
    step = note if engine == "sqlite" else note_async
    number = migrations.newest() + 1
    await store.migrate([Migration(number, "SELECT 1", "pre", "x.sql", before=step, after=step)])
    assert ran == [engine, engine]


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
    count = len(migrations.load_migrations(connect.engine_of(database_url)))
    assert sorted(out.decode() for out, _ in answers) == ["0\n", f"{count}\n"]
    assert [process.returncode for process in processes] == [0, 0]


async def test_schema_is_the_recorded_one(store: Store, database_url: str) -> None:
    if connect.engine_of(database_url) == "sqlite":
        recorded, sql, between = "schema.sqlite.sql", SCHEMA_SQLITE, ";\n\n"
    else:
        recorded, sql, between = "schema.postgres.txt", SCHEMA_POSTGRES, "\n"
    parts = sorted(row[0] for row in await direct.query(database_url, sql))
    assert between.join(parts).split("\n") == (HERE / recorded).read_text("utf-8").split("\n")[:-1]


@pytest.mark.parametrize(
    "script", ["CREATE TABLE extra (a text); SELEC", "CREATE TABLE extra (a text, a text)"]
)
async def test_failing_migration_leaves_nothing(
    store: Store, database_url: str, script: str
) -> None:
    before = await store.applied_migrations()
    number = migrations.newest() + 1
    early = Migration(number, "CREATE TABLE early (a text)", "pre")
    with pytest.raises(ConfigError, match="database: cannot migrate: "):
        await store.migrate([early, Migration(number + 1, script, "pre")])
    assert await store.applied_migrations() == before
    tables = {
        "sqlite": "SELECT name FROM sqlite_schema",
        "postgres": "SELECT relname FROM pg_class",
    }
    names = await direct.query(database_url, tables[connect.engine_of(database_url)])
    assert {("extra",), ("early",)}.isdisjoint(names)
    assert await store.migrate([early]) == [early]


async def test_migration_may_take_longer_than_other_statements(postgres_url: str) -> None:
    store = await connect.open_store(postgres_url, timeout_ms=200)
    assert len(await store.migrate([Migration(1, "SELECT pg_sleep(0.5)")])) == 1
    await store.close()


SEQS = range(0, 60 * 300_001, 300_001)
"""The seqs of the groups that are left, so far apart that blocks of every level lie between."""

OLD_CUSTOMER = """
INSERT INTO customer (customer_id, name, created_ms) VALUES ('{0}', '', 0);
INSERT INTO group_counter (customer_id, group_count, seq_next) VALUES ('{0}', {1}, {2});
"""
OLD_GROUP = """
INSERT INTO number_group VALUES ('{0}', '{1:032x}', {1}, 'name', '', {2}, {2}, 0, 0, '{3}');
"""


async def test_migration_2_counts_the_gaps_of_groups_that_are_there(
    database_url: str,
) -> None:
    store = await _at_version(
        1,
        database_url,
        OLD_CUSTOMER.format("cus_1", len(SEQS), SEQS[-1] + 1000)
        + OLD_CUSTOMER.format("cus_2", 1, 1)
        + "".join(OLD_GROUP.format("cus_1", seq, 1, "85211111114") for seq in SEQS)
        + OLD_GROUP.format("cus_2", 0, 1, "85211111114"),
    )
    await connect.migrate(store, database_url)
    for offset in (*range(len(SEQS)), 60, 61, 2**62):
        rows = await store.fetch("group_list_seek", _page("cus_1", 3, offset))
        assert rows[0][1] == 60
        found = [int(row[4], 16) for row in rows if row[4]]
        assert found == [*SEQS[offset : offset + 3]]
    for name in ("group_list", "group_list_seek"):
        rows = await store.fetch(name, _page("cus_2", 3, 0))
        assert [tuple(row[1:5]) for row in rows] == [(1, "cus_2", "name", "0" * 32)]
    await store.close()


async def test_migration_2_cuts_long_texts_into_chunks(database_url: str) -> None:
    counts = (0, 1, 127, 128, 129, 256, 257, 1000)
    sql = OLD_CUSTOMER.format("cus_1", len(counts), len(counts))
    for seq, count in enumerate(counts):
        # Deleted phones leave gaps in the positions, too.
        phones = [f"852{place:08}" for place in range(count)]
        sql += OLD_GROUP.format("cus_1", seq, count, ",".join(phones))
        sql += "".join(
            f"INSERT INTO group_member VALUES ('cus_1', {seq}, '{phone}', {place * 3});"
            for place, phone in enumerate(phones)
        )
    store = await _at_version(1, database_url, sql)
    before = await direct.query(database_url, "SELECT phones FROM number_group ORDER BY group_seq")
    await connect.migrate(store, database_url)
    rows = await store.fetch("group_list_seek", _page("cus_1", 10, 0))
    assert [(row[5],) for row in rows] == before
    exported = await store.fetch("group_export", {"customer_id": "cus_1"})
    assert [(row[2],) for row in exported] == before
    chunks = await direct.query(
        database_url, "SELECT group_seq, chunk FROM group_phone_chunk ORDER BY 1, 2"
    )
    assert chunks == [(4, 1), (5, 1), (6, 1), (6, 2), *((7, chunk) for chunk in range(1, 8))]
    await store.close()


async def test_migration_7_folds_the_names_that_are_there(database_url: str) -> None:
    names = ["Straße", "ÉCLAIR", "plain", "", "Ω"]
    row = "INSERT INTO number_group VALUES ('cus_1', '{0}', {0}, '{1}', '', 0, 0, 0, 0, '');"
    rows_of_6 = "".join(row.format(seq, name) for seq, name in enumerate(names))
    store = await _at_version(6, database_url, rows_of_6)
    await connect.migrate(store, database_url)
    rows = await direct.query(
        database_url, "SELECT group_name, folded_name FROM number_group ORDER BY group_seq"
    )
    assert rows == [(name, fold_name(name)) for name in names]
    await store.close()


VERSION_7_OF_TWO = """
INSERT INTO customer VALUES ('cus_1', '', 0, NULL), ('cus_2', '', 0, NULL);
INSERT INTO group_counter VALUES ('cus_1', 0, 0, 77), ('cus_2', 2, 2, 77);
INSERT INTO number_group VALUES ('cus_2', 'g0', 0, '', '', 300, 300, 0, 0, '', ''),
    ('cus_2', 'g1', 1, '', '', 5, 5, 0, 0, '', '');
"""
VERSION_7 = """
INSERT INTO customer VALUES ('cus_1', 'Example', 1, NULL);
INSERT INTO access_key VALUES ('key-1', 'cus_1', 'label', {0}, {1}, 2, 3, 4, 5, 6, 7, 8, 9);
INSERT INTO group_counter VALUES ('cus_1', 1, 3, 123);
INSERT INTO number_group
VALUES ('cus_1', 'g1', 2, 'Name', 'remark', 1, 1, 10, 11, '85211111114', 'name');
INSERT INTO group_member VALUES ('cus_1', 2, '85211111114', 0);
INSERT INTO group_part VALUES ('cus_1', 2, 1, ',85211111115');
INSERT INTO group_gap VALUES ('cus_1', 1, 0, 2), ('cus_1', 2, 0, 2);
INSERT INTO group_gone VALUES ('cus_1', 'g0', 1, 'gone', 12);
INSERT INTO node_lease VALUES (5, 'owner', 13);
INSERT INTO master_key_check VALUES (1, {0});
INSERT INTO write_record VALUES ('cus_1', 'client:abc', 'digest', 0, 'answer', 14);
INSERT INTO write_record VALUES ('cus_1', 'sign:0123', '', 19001, 'why', 15);
INSERT INTO audit_entry VALUES ('cus_1', 16, 17, 'createGroup', NULL, 'key-1', 'g1', 'r1', '{{}}');
"""
VERSION_8 = {
    "customer": [("cus_1", "Example", 1, None)],
    "access_key": [("key-1", "cus_1", "label", b"\x01\x02", b"\x03", *range(2, 10), *[None] * 5)],
    "customer_state": [("cus_1", 1, 3, 123, 0, -1, None, None, None, 0, -1, 0, 0, 0, *[None] * 4)],
    "number_group": [("cus_1", "g1", 2, "Name", "remark", 1, 1, 10, 11, "85211111114", "name", 0)],
    "group_member": [("cus_1", 2, "85211111114", 0)],
    "group_phone_chunk": [("cus_1", 2, 1, ",85211111115")],
    "group_order_gap": [("cus_1", 1, 0, 2), ("cus_1", 2, 0, 2)],
    "group_tombstone": [("cus_1", "g0", 1, "gone", 12)],
    "worker_lease": [(5, "owner", 13, 0)],
    "master_key_check": [(1, b"\x01\x02")],
    "idempotency_record": [
        ("cus_1", "signature:0123", "", 19001, "why", 15),
        ("cus_1", "token:createGroup:abc", "digest", 0, "answer", 14),
    ],
    "audit_entry": [("cus_1", 16, 17, "createGroup", None, "key-1", "g1", "r1", "{}")],
}


async def test_migration_8_keeps_every_row(database_url: str) -> None:
    literal = "x'{}'" if connect.engine_of(database_url) == "sqlite" else "'\\x{}'"
    sql = VERSION_7.format(literal.format("0102"), literal.format("03"))
    store = await _at_version(7, database_url, sql)
    known = migrations.load_migrations(connect.engine_of(database_url))
    assert await connect.migrate(store, database_url) == [
        one for one in known if one.number >= 8 and one.step != "post"
    ]
    for table, rows in VERSION_8.items():
        found = await direct.query(database_url, f"SELECT * FROM {table} ORDER BY 1, 2")
        assert found == rows, table
    await store.close()


async def test_migration_8_records_the_steps_before_it(database_url: str) -> None:
    store = await _at_version(7, database_url, "SELECT 1")
    assert await store.applied_migrations() == [Applied(number) for number in range(1, 8)]
    await connect.migrate(store, database_url)
    known = migrations.load_migrations(connect.engine_of(database_url))
    assert await store.applied_migrations() == [
        Applied(one.number, one.step, one.checksum) for one in known if one.step != "post"
    ]
    await store.close()


async def test_post_steps_9_and_11_count_phones_and_bytes(database_url: str) -> None:
    store = await _at_version(7, database_url, VERSION_7_OF_TWO)

    async def usage() -> list[list[object]]:
        customers = [{"customer_id": f"cus_{number}"} for number in (1, 2)]
        return [[*row[:5]] for one in customers for row in await store.fetch("group_usage", one)]

    await connect.migrate(store, database_url)
    assert await usage() == [[0, None, 0, 0, None], [2, None, 300, 2, None]]
    await connect.migrate(store, database_url, with_post=True)
    texts = await direct.query(database_url, "SELECT group_name, remark FROM number_group")
    size = 16 * 305 + sum(len(text.encode()) for row in texts for text in row)
    assert await usage() == [[0, 0, 0, 0, 0], [2, 305, 300, 2, size]]
    # As an older server does.
    await direct.run(database_url, "UPDATE customer_state SET groups_revision = 79")
    assert await usage() == [[0, None, 0, 0, None], [2, None, 300, 2, None]]
    await store.close()


async def _at_version(number: int, database_url: str, sql: str) -> Store:
    store = await connect.open_store(database_url, create=True)
    await store.migrate(migrations.load_migrations(connect.engine_of(database_url))[:number])
    await direct.run(database_url, sql)
    return store


def _page(customer_id: str, limit: int, offset: int) -> dict[str, object]:
    page = {"customer_id": customer_id, "limit": limit, "offset": offset}
    return page | {"phones_max": 10_000, "phones_in_chunk": 128, "phones_short": 128}
