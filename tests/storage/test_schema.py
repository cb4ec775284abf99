"""Databases that somebody has changed besides the migrations, on both engines."""

import pytest
from tests import direct

from openpns.errors import ConfigError
from openpns.storage import connect, migrations
from openpns.storage.migrations import Applied, Migration
from openpns.storage.schema import Differences, Found, Key, compare, find_newer
from openpns.storage.statements import Engine
from openpns.storage.store import Store

TABLE, TRIGGER, INDEX = Key("table", "t"), Key("trigger", "t", "a"), Key("index", "t", "i")
EXPECTED = {TABLE: "rows", TRIGGER: "refuse"}
FOUND = [Found(key, definition) for key, definition in EXPECTED.items()]

BOTH: tuple[Engine, ...] = ("sqlite", "postgres")
DROP = "DROP TRIGGER audit_entry_no_delete"
ON = {"sqlite": "", "postgres": " ON audit_entry"}

# What is done to a database, and how the fault that is found begins.
FAULTS = {
    "missing trigger": (
        dict.fromkeys(BOTH, DROP),
        "trigger audit_entry_no_delete on audit_entry is ",
    ),
    "foreign trigger": (
        {
            "sqlite": "CREATE TRIGGER t1 AFTER INSERT ON number_group BEGIN SELECT 1; END",
            "postgres": "CREATE TRIGGER t1 AFTER INSERT ON number_group "
            "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        },
        "trigger t1 on number_group is not made by openpns",
    ),
    "changed trigger": (
        {
            "sqlite": f"{DROP}; CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry "
            "BEGIN SELECT 1; END",
            "postgres": "CREATE OR REPLACE FUNCTION audit_entry_refuse_delete() RETURNS trigger "
            "LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$",
        },
        "trigger audit_entry_no_delete on audit_entry is not as the migrations make it",
    ),
    "missing index": (dict.fromkeys(BOTH, "DROP INDEX access_key_customer"), "index "),
    "foreign unique index": (
        dict.fromkeys(BOTH, "CREATE UNIQUE INDEX u ON number_group (customer_id, remark)"),
        "index u on number_group is not made by openpns",
    ),
    "foreign partial index": (
        dict.fromkeys(BOTH, "CREATE INDEX p ON number_group (remark) WHERE remark > ''"),
        "index p on number_group is not made by openpns",
    ),
    "foreign index of an expression": (
        dict.fromkeys(BOTH, "CREATE INDEX e ON number_group (lower(remark))"),
        "index e on number_group is not made by openpns",
    ),
    "view in the place of a table": (
        dict.fromkeys(
            BOTH,
            "ALTER TABLE group_tombstone RENAME TO hidden; "
            "CREATE VIEW group_tombstone AS SELECT * FROM hidden",
        ),
        "",
    ),
}


def test_compare_finds_nothing_in_equal_objects() -> None:
    assert compare(EXPECTED, FOUND) == Differences([], [], [])


def test_compare_names_what_is_missing_changed_or_foreign() -> None:
    found = [Found(TABLE, "other"), Found(INDEX, "x", label="odd\nname")]
    assert compare(EXPECTED, found).faults == [
        "index odd\ufffdname on t is not made by openpns",
        'table t is not as the migrations make it: it is "other" instead of "rows"',
        "trigger a on t is missing",
    ]


def test_compare_only_notes_what_is_harmless() -> None:
    found = [*FOUND, Found(INDEX, "x", is_harmless=True)]
    assert compare(EXPECTED, found) == Differences([], ["index i on t is not made by openpns"], [])


def test_compare_accepts_further_objects_of_a_newer_version_but_no_change() -> None:
    found = [Found(TABLE, "rows"), Found(TRIGGER, "o" * 99), Found(INDEX, "x")]
    assert compare(EXPECTED, found, ["10 pre"]).faults == [
        "trigger a on t is not as the migrations make it"
    ]


def test_find_newer_returns_steps_that_this_version_does_not_know() -> None:
    applied = [Applied(8), Applied(9, "pre"), Applied(9, "post")]
    assert find_newer([Migration(8, ""), Migration(9, "", "pre")], applied) == ["9 post"]


async def test_a_migrated_database_has_no_differences(store: Store, database_url: str) -> None:
    assert await connect.find_schema_differences(store, database_url) == Differences([], [], [])
    assert await connect.check_schema(store, database_url) == []


@pytest.mark.parametrize("case", FAULTS)
async def test_find_schema_differences_finds(store: Store, database_url: str, case: str) -> None:
    sql_of, text = FAULTS[case]
    engine = connect.engine_of(database_url)
    sql = sql_of[engine]
    await direct.run(database_url, sql + (ON[engine] if sql == DROP else ""))
    found = await connect.find_schema_differences(store, database_url)
    assert [line for line in found.faults if line.startswith(text)], found
    with pytest.raises(ConfigError, match=r"^database: .*openpns verify lists everything$"):
        await connect.check_schema(store, database_url)


async def test_check_schema_notes_a_plain_index(store: Store, database_url: str) -> None:
    await direct.run(database_url, "CREATE INDEX own ON number_group (customer_id, created_ms)")
    assert await connect.check_schema(store, database_url) == [
        "index own on number_group is not made by openpns"
    ]


async def test_check_schema_accepts_a_newer_pre_step_with_a_note(
    store: Store, database_url: str
) -> None:
    newest = migrations.newest()
    sql = "ALTER TABLE number_group ADD COLUMN extra TEXT; CREATE TABLE later (a TEXT)"
    await store.migrate([Migration(newest + 1, sql, "pre", "later.sql")])
    assert await connect.check_schema(store, database_url) == [
        f"migration {newest + 1} pre is of a newer version; what it added is unchecked"
    ]
    await direct.run(database_url, DROP + ON[connect.engine_of(database_url)])
    with pytest.raises(ConfigError, match="audit_entry_no_delete on audit_entry is missing"):
        await connect.check_schema(store, database_url)


async def test_find_schema_differences_knows_every_state_of_an_update(database_url: str) -> None:
    known = migrations.load_migrations(connect.engine_of(database_url))
    base = [one for one in known if one.number <= migrations.STOP_LAST]
    pre = [one for one in known if one.step != "post"]
    store = await connect.open_store(database_url, create=True)
    for steps in (base, pre, known):
        await store.migrate(steps, with_post=True)
        assert (await store.find_schema_differences(known)).faults == []
    await store.close()
