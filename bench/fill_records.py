"""Fill a database with many call records by SQL, for customers that exist.

The rows agree as those of openpns do. A customer's calls are a second apart, the newest last. They
go to 100 virtual numbers; a phone calls another one 20 times; a binding has three calls.
Indexes are made again at the end of each fill, which takes a third of the time.
"""

from dataclasses import dataclass
from typing import Any

import apsw
import asyncpg

from openpns.storage.store import database_path

FIRST_S = 1_600_000_000
"""When the first call of each customer begins."""

NUMBERS = 100
CALLS_OF_PHONE = 20


@dataclass(frozen=True)
class Sizes:
    """What records take: bytes of the table with its indexes, before and after a fill."""

    before: int
    after: int


def phone(customer_place: int, records: int) -> str:
    """Return the phone that calls at a place of a customer's records."""
    return f"8613{customer_place % max(1, records // CALLS_OF_PHONE):09}"


def did(place: int) -> str:
    """Return the virtual number of a call."""
    return f"8614{place % NUMBERS:09}"


def call_id(records: int, place: int) -> str:
    """Return the callId of a call, of the customer with so many records."""
    return str(records * 100_000_000 + place)


async def fill_records(url: str, customer: str, records: int) -> Sizes:
    """Add the records of a customer; return what all records of the database take."""
    path = database_path(url)
    if path is not None:
        return _fill_sqlite(path, customer, records)
    connection = await asyncpg.connect(url, server_settings={"synchronous_commit": "off"})
    try:
        return await _fill_postgres(connection, customer, records)
    finally:
        await connection.close()


def _fill_sqlite(path: str, customer: str, records: int) -> Sizes:
    connection = apsw.Connection(path)
    for name, value in (("journal_mode", "off"), ("synchronous", "off"), ("cache_size", -400_000)):
        connection.pragma(name, value)
    before = _sqlite_size(connection)
    made = [*connection.execute(_SQLITE_OBJECTS)]
    figures = [*connection.execute(_SQLITE_FIGURES)]
    connection.execute("BEGIN")
    for kind, name, _ in made:
        connection.execute(f"DROP {kind} {name}")
    connection.execute(_SQLITE_RECORDS, _params(customer, records))
    for _, _, sql in made:
        connection.execute(sql)
    # A dropped index takes the planner's figures with it.
    connection.execute("DELETE FROM sqlite_stat1 WHERE tbl = 'call_record'")
    connection.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", figures)
    connection.execute(_SQLITE_COUNTER)
    connection.execute("COMMIT")
    sizes = Sizes(before, _sqlite_size(connection))
    connection.pragma("synchronous", "full")
    connection.pragma("journal_mode", "wal")
    connection.close(True)
    return sizes


async def _fill_postgres(connection: Any, customer: str, records: int) -> Sizes:
    before = await connection.fetchval(_POSTGRES_SIZE)
    indexes = await connection.fetch(_POSTGRES_INDEXES)
    for name, _ in indexes:
        await connection.execute(f"DROP INDEX {name}")
    await connection.execute(_POSTGRES_RECORDS, *_params(customer, records).values(), timeout=7200)
    for _, sql in indexes:
        await connection.execute(sql, timeout=7200)
    await connection.execute("VACUUM ANALYZE call_record", timeout=7200)
    await connection.execute("CHECKPOINT")
    return Sizes(before, await connection.fetchval(_POSTGRES_SIZE))


def _params(customer: str, records: int) -> dict[str, Any]:
    return {
        "customer": customer,
        "records": records,
        "first_s": FIRST_S,
        "numbers": NUMBERS,
        "phones": max(1, records // CALLS_OF_PHONE),
        "calls": records * 100_000_000,
    }


def _sqlite_size(connection: apsw.Connection) -> int:
    pages = connection.pragma("page_count") - connection.pragma("freelist_count")
    return int(pages * connection.pragma("page_size"))


_COLUMNS = """
    customer_id, record_id, call_id, business_id, customer_bind_id, bind_id, did, caller, callee,
    call_status, call_status_msg, start_s, answer_s, hangup_s, hangup_cause, hangup_code, hangup,
    record_file, extension_caller, extension_callee, created_ms, body_digest
"""
_SQLITE_OBJECTS = """
SELECT type, name, sql FROM sqlite_schema
WHERE tbl_name = 'call_record' AND sql IS NOT NULL AND type IN ('index', 'trigger')
"""
_SQLITE_FIGURES = "SELECT tbl, idx, stat FROM sqlite_stat1 WHERE tbl = 'call_record'"
_SQLITE_RECORDS = f"""
WITH RECURSIVE place (i) AS (
    SELECT 0 WHERE :records > 0 UNION ALL SELECT i + 1 FROM place WHERE i + 1 < :records
)
INSERT INTO call_record ({_COLUMNS})
SELECT
    :customer, c.last_id + i + 1, CAST(:calls + i AS text), 'default', 'order ' || (i / 3),
    printf('%032x', i / 3), printf('8614%09d', i % :numbers), printf('8613%09d', i % :phones),
    printf('8615%09d', i % :phones), 1, 'normal end', :first_s + i, :first_s + i + 5,
    :first_s + i + 65, 'NORMAL_CLEARING', 16, i % 2, '', '', '', (:first_s + i) * 1000,
    printf('%064x', i)
FROM place JOIN call_record_counter AS c
"""  # noqa: S608 - ours
_SQLITE_COUNTER = """
UPDATE call_record_counter SET last_id = coalesce((SELECT max(record_id) FROM call_record), last_id)
"""
_POSTGRES_INDEXES = """
SELECT i.relname, pg_get_indexdef(i.oid) FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
WHERE x.indrelid = 'call_record'::regclass AND NOT x.indisprimary
"""
_POSTGRES_SIZE = "SELECT pg_total_relation_size('call_record')"
_POSTGRES_RECORDS = f"""
INSERT INTO call_record ({_COLUMNS})
SELECT
    $1::text, nextval('call_record_record_id_seq'), ($6::bigint + i)::text, 'default',
    'order ' || (i / 3), lpad(to_hex(i / 3), 32, '0'),
    '8614' || lpad((i % $4::bigint)::text, 9, '0'),
    '8613' || lpad((i % $5::bigint)::text, 9, '0'), '8615' || lpad((i % $5::bigint)::text, 9, '0'),
    1, 'normal end', $3::bigint + i, $3::bigint + i + 5, $3::bigint + i + 65, 'NORMAL_CLEARING', 16,
    i % 2, '', '', '', ($3::bigint + i) * 1000, lpad(to_hex(i), 64, '0')
FROM generate_series(0, $2::bigint - 1) AS i
"""  # noqa: S608 - ours
