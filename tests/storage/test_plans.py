"""How the databases plan the statements: once, and by an index, whatever the tables hold."""

import math
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.storage.conftest import add

from openpns.storage import connect
from openpns.storage.postgres.store import PostgresStore
from openpns.storage.sqlite.store import SQLiteStore
from openpns.storage.statements import load_statements

PAGE = {"customer_id": "cus_1", "limit": 10, "phones_max": 128} | dict.fromkeys(
    ("phones_in_chunk", "phones_short"), 128
)
BINDING_CHECKS = (
    *("counts", "customer", "number", "stranger", "load", "group", "kind", "seat", "held"),
)
WHOLE_TABLES = frozenset(
    {
        *("account_check", "audit_check", "audit_time_check", "group_check"),
        *("key_list", "key_list_expiring", "customer_list"),
        *("audio_check", "binding_hold", "delivery_check", "webhook_list"),
        *(f"binding_check_{what}" for what in BINDING_CHECKS),
        *("call_record_check", "call_record_check_shared", "call_record_check_largest"),
    }
)
"""Statements that read whole tables: commands of the operator and a daily check, not requests."""
SMALL_TABLES = (
    *("master_key_check", "worker_lease", "audit_backlog", "audit_pruning"),
    "call_record_record_id_seq",
)
"""One row, and at most 1024."""


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    """A database of one customer in tmp_path / "test.db"."""
    url = f"sqlite:///{tmp_path / 'test.db'}"
    store = await connect.open_store(url, create=True)
    assert isinstance(store, SQLiteStore)
    await connect.migrate(store, url)
    await store.write(add("cus_1"))
    yield store
    await store.close()


async def test_postgresql_scans_no_table_also_while_tables_are_empty(
    postgres_url: str,
) -> None:
    store = await connect.open_store(postgres_url, connections_max=1)
    assert isinstance(store, PostgresStore)
    await connect.migrate(store, postgres_url)
    statements = load_statements("postgres").values()
    assert len(statements) > 30
    async with store._connections.for_work("") as connection:
        for statement in statements:
            if statement.name in WHOLE_TABLES or statement.until_migration is not None:
                continue
            await connection.execute(f'PREPARE "{statement.name}" AS {statement.sql}')
            values = ", ".join("NULL" for _ in statement.parameters)
            execute = f'"{statement.name}"({values})' if values else statement.name
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE {execute}"))
            whole = [line for line in plan.splitlines() if "Seq Scan" in line]
            assert all(line.split(" on ")[1].startswith(SMALL_TABLES) for line in whole), plan
            assert ("number_group_size" in plan) == (statement.name == "group_usage"), plan
    await store.close()


def test_what_changes_rows_bounds_by_a_number_how_many_postgresql_expects() -> None:
    # For a LIMIT that is a parameter it plans for a tenth of the table, and may read all of it.
    bounded = 0
    for statement in load_statements("postgres").values():
        if re.search(r"\b(DELETE FROM|UPDATE)\s", statement.sql):
            chosen = len(re.findall(r"LIMIT (CAST\()?\$", statement.sql))
            bounds = len(re.findall(r"LIMIT [1-9][0-9]{3}\b", statement.sql))
            assert bounds >= chosen, statement.name
            bounded += chosen
    assert bounded > 10


QUEUE_INDEXES = {
    "delivery_due_customers": {"delivery_due", "webhook_pkey"},
    "delivery_claim": {"delivery_due", "delivery_pkey"},
    "delivery_finish": {"delivery_pkey"},
    "delivery_release": {"delivery_pkey"},
    "delivery_clean": {"delivery_created", "delivery_pkey"},
    "delivery_give_up": {"delivery_pending", "delivery_pkey"},
    "delivery_backlog": {"delivery_pending", "webhook_pkey"},
}
"""The indexes of statements that must not read all pending deliveries, nor all of a customer."""


async def test_postgresql_finds_deliveries_by_the_right_index_also_while_tables_are_empty(
    postgres_url: str,
) -> None:
    store = await connect.open_store(postgres_url, connections_max=1)
    assert isinstance(store, PostgresStore)
    await connect.migrate(store, postgres_url)
    statements = load_statements("postgres")
    async with store._connections.for_work("") as connection:
        for name, indexes in QUEUE_INDEXES.items():
            await connection.execute(f"PREPARE {name} AS {statements[name].sql}")
            values = ", ".join("NULL" for _ in statements[name].parameters)
            rows = await connection.fetch(f"EXPLAIN EXECUTE {name}({values})")
            plan = "\n".join(row[0] for row in rows)
            assert set(re.findall(r"Scan using (\w+)", plan)) == indexes, plan
            assert "hashed" not in plan, plan
    await store.close()


async def test_sqlite_finds_deliveries_by_an_index(sqlite: SQLiteStore) -> None:
    for name in QUEUE_INDEXES:
        sql = f"EXPLAIN QUERY PLAN {sqlite._sql[name]}"
        params = dict.fromkeys(sqlite._statements[name].parameters)
        plan = [row[3] for row in sqlite._reader.execute(sql, params)]
        scans = [line for line in plan if re.match(r"SCAN (d|w|delivery|webhook)\b", line)]
        # In the order of an index, up to a bound.
        assert scans in ([], ["SCAN d USING COVERING INDEX delivery_pending"]), name
        whole = [line for line in plan if re.fullmatch(r".*\((customer_id=\?)\)", line)]
        assert all(" w USING PRIMARY KEY" in line or " d USING " in line for line in whole), name


async def test_sqlite_plans_a_statement_once_and_not_for_each_parameter(
    sqlite: SQLiteStore,
) -> None:
    planned_again: list[int] = []

    def note(event: dict[str, Any]) -> None:
        planned_again.append(event["stmt_status"]["SQLITE_STMTSTATUS_REPREPARE"])

    sqlite._reader.trace_v2(apsw.SQLITE_TRACE_PROFILE, note)
    for offset in range(5):
        await sqlite.fetch("group_list", PAGE | {"offset": offset})
        await sqlite.fetch("group_list_seek", PAGE | {"offset": offset})
        await sqlite.get_cached("key_find", f"key-{offset}", math.inf)
    assert len(planned_again) >= 15
    assert set(planned_again) == {0}


BY_NAME = "number_group_name (customer_id=? AND folded_name>? AND folded_name<?)"
BY_PHONE = "group_member_phone (customer_id=? AND phone=?"
BY_ID = "sqlite_autoindex_number_group_1 (customer_id=? AND group_id=?)"
OLDEST = "number_group_seq (customer_id=? AND group_seq>?)"
NEWEST = "number_group_seq (customer_id=? AND group_seq<?)"
MANY = {
    "group_find_all:oldest": {OLDEST},
    "group_find_all:newest": {NEWEST},
    "group_find_all:name": {"number_group_name (customer_id=? AND folded_name>?)"},
    "group_find_by_name:name": {BY_NAME},
    "group_find_by_name_sorted:oldest": {BY_NAME, OLDEST},
    "group_find_by_name_sorted:newest": {BY_NAME, NEWEST},
    "group_find_by_phone:oldest": {f"{BY_PHONE} AND group_seq>?)", f"{BY_PHONE})"},
    "group_find_by_phone:newest": {f"{BY_PHONE} AND group_seq<?)", f"{BY_PHONE})"},
    "group_find_by_phone_sorted:name": {BY_NAME, f"{BY_PHONE})"},
    "group_find_by_id:oldest": {BY_ID},
    "group_find_by_id:newest": {BY_ID},
    "group_find_by_id:name": {BY_ID},
}
"""The indexes with which a statement may read many groups; another one could read every group to
find a few."""
ONE = {
    "number_group_seq (customer_id=? AND group_seq=?)",
    "PRIMARY KEY (customer_id=?)",
    "PRIMARY KEY (customer_id=? AND group_seq=?)",
    "PRIMARY KEY (customer_id=? AND group_seq=? AND phone=?)",
}
"""Indexes with which a statement reads what belongs to one group or customer."""
TABLES = {"number_group", "group_member", "found", "g", "m", "c", "p"}
"""The tables of these statements, and their aliases."""


async def test_sqlite_finds_groups_by_the_index_of_their_filter(sqlite: SQLiteStore) -> None:
    assert {name for name in sqlite._sql if name.startswith("group_find_")} == MANY.keys()
    for name, many in MANY.items():
        sql = f"EXPLAIN QUERY PLAN {sqlite._sql[name]}"
        params = dict.fromkeys(sqlite._statements[name].parameters)
        plan = [row[3] for row in sqlite._reader.execute(sql, params)]
        searches = [line.split(maxsplit=2) for line in plan if line.startswith("SEARCH ")]
        assert {table for _, table, _ in searches} <= TABLES
        indexes = {how.partition("INDEX ")[2] or how for _, _, how in searches}
        used = {index.removeprefix("USING ").removesuffix(" LEFT-JOIN") for index in indexes}
        assert used - ONE == many, name
        # What a subquery of the statement returns may be read from beginning to end; no table.
        scanned = {line.split()[1] for line in plan if line.startswith("SCAN ")}
        assert scanned <= {"CONSTANT", "counted", "page", "few", "many", "matching", "found"}, name


OF_BINDINGS = (
    *(
        "number_choose",
        "number_choose:take",
        "number_choose:group",
        "number_pool_find",
        "binding_find",
    ),
    *("binding_conflict_find", "binding_group_conflict_find", "binding_group_taken_find"),
    *("binding_group_country_find", "binding_group_country_list", "binding_group_usage"),
    *("binding_number_find", "binding_list", "binding_list_expired", "binding_list_found:phone"),
    "binding_list_chosen:on_number",
    *("binding_list_found:did", "binding_list_found:group", "binding_list_found:own_id"),
    *("call_find", "call_find_digits", "call_explain_ended", "call_explain_elsewhere"),
)
"""Statements of which none may read all bindings, seats, phones or ended bindings of a customer."""
OF_PAGES_OF_DELIVERIES = (
    *("delivery_list", "delivery_list_in_state", "delivery_failed_list", "delivery_usage"),
    *("delivery_find", "delivery_resend", "delivery_resend_failed", "delivery_end_test"),
)
"""The same, of deliveries."""
LARGE = ("binding", "seat", "group_member", "ended_binding", "delivery")


@pytest.mark.parametrize("name", OF_BINDINGS + OF_PAGES_OF_DELIVERIES)
async def test_sqlite_reads_not_all_rows_of_a_customer(sqlite: SQLiteStore, name: str) -> None:
    sql, params = sqlite._sql[name], dict.fromkeys(sqlite._statements[name].parameters)
    tables = {alias: table for table, alias in re.findall(r"(?:FROM|JOIN) (\w+) AS (\w+)", sql)}
    for row in sqlite._reader.execute(f"EXPLAIN QUERY PLAN {sql}", params):
        line = re.match(r"(SEARCH|SCAN) (\w+)(.*)", row[3])
        # A page, which a subquery has read, is joined as a whole.
        if line is None or line[3] == " LEFT-JOIN":
            continue
        if tables.get(line[2], line[2]) in LARGE:
            columns = re.findall(r"(\w+)[=<>]", line[3])
            assert line[1] == "SEARCH", row[3]
            assert len(columns) > 1, row[3]
            # Every binding that is live has an end after now.
            assert "live_until_ms>" not in line[3] or len(columns) > 2, row[3]


OF_CALL_RECORDS = {
    "call_record_list:all": {"call_record_start": "customer_id=? AND start_s>? AND start_s<?"},
    "call_record_list:binding": {
        "call_record_binding": "customer_id=? AND bind_id=? AND start_s>? AND start_s<?"
    },
    "call_record_list:did": {
        "call_record_did": "customer_id=? AND did=? AND start_s>? AND start_s<?"
    },
    "call_record_list:phone": {
        "call_record_caller": "customer_id=? AND caller=? AND start_s>? AND start_s<?",
        "call_record_callee": "customer_id=? AND callee=? AND start_s>? AND start_s<?",
    },
    "call_record_find": {"call_record_call": "customer_id=? AND call_id=?"},
    "call_record_report_find": {"call_record_call": "customer_id=? AND call_id=?"},
    "call_question_find": {"call_record_call": "customer_id=? AND call_id=?"},
    "call_record_clean": {"call_record_created": "created_ms<?"},
    "call_record_prune": {"call_record_start": "customer_id=? AND start_s<?"},
}
"""The indexes with which statements find call records, and the columns that they use."""


@pytest.mark.parametrize("name", OF_CALL_RECORDS)
async def test_sqlite_finds_call_records_by_the_index_of_their_filter(
    sqlite: SQLiteStore, name: str
) -> None:
    sql, params = sqlite._sql[name], dict.fromkeys(sqlite._statements[name].parameters)
    plan = [row[3] for row in sqlite._reader.execute(f"EXPLAIN QUERY PLAN {sql}", params)]
    used = dict(
        found.groups()
        for line in plan
        if (found := re.search(r"INDEX (call_record_\w+) \((.*)\)", line))
    )
    assert used == OF_CALL_RECORDS[name], plan
    # What a subquery has read may be sorted, and read from its beginning to its end; no table.
    assert all(line.split()[1] != "call_record" for line in plan if line.startswith("SCAN ")), plan
    assert not any(line.startswith("SCAN i") for line in plan), plan


@pytest.mark.parametrize("name", ["group_list", "group_list_seek"])
async def test_sqlite_page_as_json_has_the_same_texts(
    sqlite: SQLiteStore, tmp_path: Path, name: str
) -> None:
    texts = ["plain", 'a "quote" and \\ a slash /', "\x00\x01\x1f\x7f\u2028", "é 中文 😀", ""]
    connection = apsw.Connection(str(tmp_path / "test.db"))
    for place, text in enumerate(texts):
        connection.execute(
            "INSERT INTO number_group "
            "VALUES ('cus_1', ?, ?, ?, ?, 1, 1, 0, 0, '85211111114', '', 0)",
            (f"{place:032x}", place, text, text),
        )
    connection.execute(
        "UPDATE customer_state SET group_count = 5, next_seq = 5, groups_revision = 2 << 61"
    )
    connection.close()
    rows = await sqlite.fetch(name, PAGE | {"offset": 0})
    assert [(row[0], row[1], row[3], row[6]) for row in rows] == [
        (2 << 61, 5, text, text) for text in texts
    ]
