"""PostgreSQL's plans over tables that were empty when they were made, and were never analysed."""

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tests.conftest import FakeClock

from openpns.storage import connect
from openpns.storage.postgres.growth import CHECK_S, Growth, Levels
from openpns.storage.postgres.store import PostgresStore
from openpns.storage.statements import load_statements

ROWS = 5000
FILL = f"""
INSERT INTO virtual_number
SELECT '8529' || n, 'cus_1', 'default', '852', 'active', 1, 1
FROM generate_series(100000, 105000) AS n;
INSERT INTO number_load
SELECT customer_id, did, business_id, country, 1, 0, 0 FROM virtual_number;
INSERT INTO binding
SELECT
    'cus_1', n, lpad(n::text, 32, '0'), n::text, kind.name, 'default', '8529' || 100000 + n % 100,
    '8525' || 1000000 + n, '8526' || 1000000 + n, kind.name, kind.name, kind.seq, 0,
    1 << 40, 1, 0, ''
FROM generate_series(1, {ROWS}) AS n
CROSS JOIN LATERAL (
    SELECT
        CASE n % 3 WHEN 0 THEN 'axg' WHEN 1 THEN 'axb' ELSE 'extension' END AS name,
        CASE n % 3 WHEN 0 THEN n END AS seq
) AS kind;
INSERT INTO seat SELECT customer_id, phone_a, did, binding_seq, live_until_ms, 0 FROM binding;
INSERT INTO ended_binding
SELECT
    customer_id, binding_seq, bind_id, kind, did, phone_a, phone_b, extension, group_seq, 1, 2,
    'unbind'
FROM binding;
INSERT INTO number_group (
    customer_id, group_id, group_seq, group_name, folded_name, remark, phone_count, position_next,
    created_ms, updated_ms, phones
)
SELECT 'cus_1', lpad(n::text, 32, '0'), n, n::text, n::text, '', 1, 1, 1, 1, ''
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO group_member (customer_id, group_seq, phone, position)
SELECT customer_id, group_seq, '8527' || 1000000 + group_seq, 0 FROM number_group;
"""

OF_REQUESTS = (
    *(
        "number_choose",
        "number_choose:take",
        "number_choose:group",
        "binding_find",
        "binding_delete",
        "binding_update",
    ),
    *("binding_conflict_find", "binding_group_conflict_find", "binding_group_taken_find"),
    *("binding_group_country_find", "binding_group_usage", "binding_seq_find", "seat_end"),
    *("binding_list", "binding_list_found:did", "binding_list_found:group", "binding_note_call"),
    *("binding_list_found:own_id", "binding_list_found:phone", "ended_binding_add"),
    *("call_find", "call_find_digits", "call_explain_ended", "call_explain_elsewhere"),
)
LARGE = ("binding", "seat", "group_member", "ended_binding")


@pytest.fixture
async def store(postgres_url: str, migrated: None) -> AsyncIterator[PostgresStore]:
    """A store with one connection, on tables that nothing analyses."""
    await _execute(
        postgres_url,
        "DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class WHERE relkind = 'r' "
        "AND relnamespace = 'public'::regnamespace LOOP "
        "EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = false)', t); END LOOP; END $$; "
        "INSERT INTO customer (customer_id, name, created_ms) VALUES ('cus_1', '', 1)",
    )
    opened = await connect.open_store(postgres_url, connections_max=1)
    assert isinstance(opened, PostgresStore)
    yield opened
    await opened.close()


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


async def plan_of(connection: Any, name: str, count: int) -> list[str]:
    """Return the plan of a prepared statement that a connection has cached, or makes now."""
    values = ", ".join("NULL" for _ in range(count))
    return [row[0] for row in await connection.fetch(f'EXPLAIN EXECUTE "{name}"({values})')]


def wide(plan: list[str]) -> list[str]:
    """Return the searches of large tables that may read all rows of a customer."""
    found = []
    for place, line in enumerate(plan):
        scan = re.search(r"Scan (?:Backward )?(?:using \w+ )?on (\w+)", line)
        if scan is None or not scan[1].startswith(LARGE) or "CTE" in line:
            continue
        condition = next((text for text in plan[place + 1 : place + 3] if "Index Cond" in text), "")
        columns = {*re.findall(r"(\w+) (?:=|<|>|<=|>=|<>) ", condition)} - {"customer_id"}
        # A search for a phone may read all digits of a customer, until the first ANALYZE.
        is_left_out = "Bitmap Heap" in line or "binding_digits" in line
        if not is_left_out and columns <= {"live_until_ms"} and "<=" not in condition:
            found.append(line.strip() + condition.strip())
    return found


async def test_plans_that_were_made_over_empty_tables_are_made_again(
    store: PostgresStore, postgres_url: str
) -> None:
    statements = load_statements("postgres")
    growth = store._pool._setup.__self__
    async with store._connections.for_work() as connection:
        for name in OF_REQUESTS:
            await connection.execute(f'PREPARE "{name}" AS {statements[name].sql}')
            await plan_of(connection, name, len(statements[name].parameters))
    await _execute(postgres_url, FILL)
    growth._due_s = 0
    found = {}
    async with store._connections.for_work() as connection:
        for name in OF_REQUESTS:
            found[name] = wide(await plan_of(connection, name, len(statements[name].parameters)))
    assert {name: lines for name, lines in found.items() if lines} == {}


class FakeConnection:
    """A connection that sees tables of so many pages, and notes what it is sent."""

    def __init__(self, *pages: int, is_pooled: bool = False) -> None:
        self.pages = pages
        self.is_pooled = is_pooled
        self.planned_for: Levels | None = None
        self.sent: list[str] = []

    def plan_for(self, levels: Levels) -> None:
        self.planned_for = levels

    async def fetch(self, sql: str) -> list[tuple[int]]:
        self.sent.append(sql.split(maxsplit=1)[0])
        return [(count,) for count in self.pages]

    async def execute(self, sql: str) -> None:
        self.sent.append(sql)


async def test_plans_are_dropped_if_a_table_has_grown_since(clock: FakeClock) -> None:
    growth = Growth(lambda: clock.now_ms / 1000)
    connection = FakeConnection(0, 100)
    for pages, sent in [
        ((0, 100), ["SELECT"]),  # there is no plan yet
        ((0, 120), ["SELECT"]),
        ((2, 120), ["SELECT", "DISCARD PLANS"]),
        ((2, 5000), ["SELECT", "DISCARD PLANS"]),
        ((2, 500_000), ["SELECT"]),
        ((2, 500_000, 0), ["SELECT", "DISCARD PLANS"]),
    ]:
        connection.pages, connection.sent = pages, []
        await growth.refresh(connection)
        await growth.refresh(connection)
        assert connection.sent == sent
        clock.now_ms += int(CHECK_S * 1000)


async def test_each_connection_drops_the_plans_that_it_has(clock: FakeClock) -> None:
    growth = Growth(lambda: clock.now_ms / 1000)
    old, idle = FakeConnection(0), FakeConnection(0)
    for connection in (old, idle):
        await growth.refresh(connection)
    clock.now_ms += int(CHECK_S * 1000)
    old.pages = (1000,)
    new, pooled = FakeConnection(), FakeConnection(is_pooled=True)
    for connection in (old, idle, new, pooled):
        await growth.refresh(connection)
    assert [each.sent[-1:] for each in (old, idle)] == [["DISCARD PLANS"]] * 2
    assert [each.sent for each in (new, pooled)] == [[], []]
