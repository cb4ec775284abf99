"""Fill a migrated database with many groups by SQL, in seconds instead of minutes.

The rows agree as those of openpns do: the total and the next place of a customer, the phones of a
group as text, in chunks if there are many, and one by one. Both engines get the same groups: the
id of a group is the md5 of its customer and its place. Columns are named, so that those of a newer
schema have their defaults.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import apsw
import asyncpg

from bench import fill_bindings
from bench.requests import MASTER_KEY, secret_of
from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.clock import now_ms
from openpns.groups import phone_chunks
from openpns.groups.phone_chunks import PHONES_IN_CHUNK
from openpns.storage import connect
from openpns.storage.store import Params, Store, database_path

NUMBERS = 3
SLICE = 64


@dataclass(frozen=True)
class Holding:
    """A customer and how many groups it has.

    Attributes:
        customer: Its id, which is its access key too.
        groups: How many groups.
        numbers: How many numbers each of them has.
        has_members: Whether the numbers are there one by one, too; reading a page needs the text
            alone.
        dids: How many virtual numbers it has.
        first_did: The place of the first of them among those of all customers.
        bindings: How many bindings of two phones stand on them.
    """

    customer: str
    groups: int
    numbers: int = NUMBERS
    has_members: bool = True
    dids: int = 0
    first_did: int = 0
    bindings: int = 0


@dataclass(frozen=True)
class Contents:
    """What a database holds.

    Attributes:
        name: The database's name.
        holdings: The customers.
    """

    name: str
    holdings: tuple[Holding, ...]


def group_id(customer: str, place: int) -> str:
    """Return the id of a customer's group, by its place in the order from 0."""
    return hashlib.md5(f"{customer}:{place}".encode()).hexdigest()  # noqa: S324 - not a secret


async def fill(url: str, holdings: Sequence[Holding]) -> None:
    """Fill an empty database with customers, an access key and groups for each."""
    store = await connect.open_store(url, create=True)
    try:
        await connect.migrate(store, url)
        await _create_principals(store, url, [holding.customer for holding in holdings])
    finally:
        await store.close()
    path = database_path(url)
    if path is not None:
        _fill_sqlite(path, holdings)
    else:
        await _fill_postgres(url, holdings)


async def _create_principals(store: Store, url: str, names: Sequence[str]) -> None:
    """Make customers and keys, some at once, so that they share commits."""
    secret_box = await open_secret_box(store, url, MASTER_KEY)

    async def create(name: str) -> None:
        await customers.create(store, now_ms, name, "")
        await access_keys.create(
            store, secret_box, now_ms, name, access_key=name, access_secret=secret_of(name)
        )

    for first in range(0, len(names), SLICE):
        await asyncio.gather(*map(create, names[first : first + SLICE]))


def _fill_sqlite(path: str, holdings: Sequence[Holding]) -> None:
    connection = apsw.Connection(path)
    connection.create_scalar_function("bench_group_id", group_id, 2, deterministic=True)
    # Nobody else uses the file yet, and after a crash it is filled again.
    for name, value in (("journal_mode", "off"), ("synchronous", "off"), ("cache_size", -400_000)):
        connection.pragma(name, value)
    connection.execute("BEGIN")
    for holding in holdings:
        bindings = {
            "customer": holding.customer,
            "groups": holding.groups,
            "numbers": holding.numbers,
            "in_text": min(holding.numbers, PHONES_IN_CHUNK),
            "now_ms": now_ms(),
        }
        connection.execute(_SQLITE_GROUPS, bindings)
        connection.executemany(_SQLITE_CHUNKS, _chunks(holding))
        if holding.has_members:
            connection.execute(_SQLITE_MEMBERS, bindings)
        connection.execute(_SQLITE_COUNTER, bindings)
        if holding.dids:
            fill_bindings.fill_sqlite(connection, _bound(holding))
    connection.execute("COMMIT")
    connection.pragma("synchronous", "full")
    connection.pragma("journal_mode", "wal")
    connection.close(True)


async def _fill_postgres(url: str, holdings: Sequence[Holding]) -> None:
    connection = await _connect(url)
    try:
        rebuild = await _drop_indexes(connection)
        # Customers of as many groups go into one statement: a thousand small ones would not do.
        for (groups, numbers, has_members), same in groupby(sorted(holdings, key=_kind), _kind):
            kind = list(same)
            names = [holding.customer for holding in kind]
            in_text = min(numbers, PHONES_IN_CHUNK)
            await connection.execute(_POSTGRES_GROUPS, names, groups, numbers, in_text, now_ms())
            for holding in kind:
                await _copy_chunks(connection, holding)
            if has_members:
                await connection.execute(_POSTGRES_MEMBERS, names, groups, numbers)
            await connection.execute(_POSTGRES_COUNTER, names, groups, numbers)
        for holding in holdings:
            if holding.dids:
                await fill_bindings.fill_postgres(connection, _bound(holding))
        for statement in rebuild:
            await connection.execute(statement)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _bound(holding: Holding) -> fill_bindings.Bound:
    return fill_bindings.Bound(
        holding.customer, holding.dids, holding.first_did, holding.bindings, now_ms()
    )


def _kind(holding: Holding) -> tuple[int, int, bool]:
    return holding.groups, holding.numbers, holding.has_members


async def _copy_chunks(connection: Any, holding: Holding) -> None:
    columns = ("customer_id", "group_seq", "chunk", "phones")
    parts = ([row[column] for column in columns] for row in _chunks(holding))
    await connection.copy_records_to_table("group_phone_chunk", columns=columns, records=parts)


def _chunks(holding: Holding) -> Iterator[Params]:
    """Return the rows of group_phone_chunk: what a text has after its first chunk."""
    if holding.numbers <= PHONES_IN_CHUNK:
        return
    for place in range(holding.groups):
        first = place * holding.numbers
        phones = [f"8613{first + k:09}" for k in range(holding.numbers)]
        for statement in phone_chunks.write_chunks(holding.customer, place, phones):
            texts = zip(statement.params["chunks"], statement.params["texts"], strict=True)
            for chunk, text in texts:
                yield {**statement.params, "chunk": chunk, "phones": text}


async def fill_framework(url: str) -> None:
    """Copy everything that PostgreSQL holds into the tables of the framework peer."""
    connection = await _connect(url)
    try:
        await connection.execute(_FRAMEWORK + fill_bindings.PEER)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _connect(url: str) -> Any:
    settings = {"synchronous_commit": "off", "maintenance_work_mem": "512MB"}
    return await asyncpg.connect(url, server_settings=settings)


async def _drop_indexes(connection: Any) -> list[str]:
    """Drop the indexes of the large tables; return the statements that make them again.

    Built at the end they take a third of the time.
    """
    rebuild = []
    for table, name, constraint, index in await connection.fetch(_POSTGRES_INDEXES):
        if constraint is not None:
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            rebuild.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {constraint}")
        else:
            await connection.execute(f"DROP INDEX {name}")
            rebuild.append(index)
    return rebuild


_SQLITE_GROUPS = """
WITH RECURSIVE place (i) AS (
    SELECT 0 WHERE :groups > 0 UNION ALL SELECT i + 1 FROM place WHERE i + 1 < :groups
)
INSERT INTO number_group (
    customer_id, group_id, group_seq, group_name, folded_name, remark,
    phone_count, position_next, created_ms, updated_ms, phones
)
SELECT
    :customer, bench_group_id(:customer, i), i, printf('Group %07d', i),
    printf('group %07d', i), 'Number Group',
    :numbers, :numbers, :now_ms, :now_ms,
    (
        WITH RECURSIVE n (k) AS (
            SELECT 0 WHERE :in_text > 0 UNION ALL SELECT k + 1 FROM n WHERE k + 1 < :in_text
        )
        SELECT coalesce(group_concat(printf('8613%09d', i * :numbers + k), ','), '') FROM n
    )
FROM place
"""
_SQLITE_MEMBERS = """
WITH RECURSIVE place (i) AS (
    SELECT 0 WHERE :groups * :numbers > 0
    UNION ALL SELECT i + 1 FROM place WHERE i + 1 < :groups * :numbers
)
INSERT INTO group_member (customer_id, group_seq, phone, position)
SELECT :customer, i / :numbers, printf('8613%09d', i), i % :numbers FROM place
"""
_SQLITE_CHUNKS = """
INSERT INTO group_phone_chunk (customer_id, group_seq, chunk, phones)
VALUES (:customer_id, :group_seq, :chunk, :phones)
"""
_SQLITE_COUNTER = """
UPDATE customer_state
SET group_count = :groups, next_seq = :groups, phone_count = :groups * :numbers,
    -- the name and the remark have 13 and 12 bytes
    byte_count = :groups * (13 + 12 + 16 * :numbers)
WHERE customer_id = :customer
"""
_POSTGRES_INDEXES = """
SELECT
    t.relname, i.relname, pg_get_constraintdef(c.oid), pg_get_indexdef(i.oid)
FROM pg_index AS x
JOIN pg_class AS t ON t.oid = x.indrelid
JOIN pg_class AS i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint AS c ON c.conindid = i.oid AND c.conrelid = t.oid
WHERE t.relname IN ('number_group', 'group_member', 'binding', 'seat')
"""
_POSTGRES_GROUPS = """
INSERT INTO number_group (
    customer_id, group_id, group_seq, group_name, folded_name, remark,
    phone_count, position_next, created_ms, updated_ms, phones
)
SELECT
    c.name, md5(c.name || ':' || i), i, 'Group ' || lpad(i::text, 7, '0'),
    'group ' || lpad(i::text, 7, '0'), 'Number Group',
    $3::bigint, $3::bigint, $5::bigint, $5::bigint,
    coalesce((
        SELECT string_agg('8613' || lpad((i * $3::bigint + k)::text, 9, '0'), ',' ORDER BY k)
        FROM generate_series(0, $4::bigint - 1) AS k
    ), '')
FROM unnest($1::text[]) AS c (name), generate_series(0, $2::bigint - 1) AS i
"""
_POSTGRES_MEMBERS = """
INSERT INTO group_member (customer_id, group_seq, phone, position)
SELECT c.name, i / $3::bigint, '8613' || lpad(i::text, 9, '0'), i % $3::bigint
FROM unnest($1::text[]) AS c (name), generate_series(0, $2::bigint * $3::bigint - 1) AS i
"""
_POSTGRES_COUNTER = """
UPDATE customer_state SET group_count = $2, next_seq = $2, phone_count = $2 * $3::bigint,
    -- the name and the remark have 13 and 12 bytes
    byte_count = $2 * (13 + 12 + 16 * $3::bigint)
WHERE customer_id = ANY($1::text[])
"""
_FRAMEWORK = """
CREATE TABLE peer_access_key (
    access_key text PRIMARY KEY, secret text NOT NULL, customer_id text NOT NULL,
    disabled boolean NOT NULL
);
CREATE TABLE peer_group (
    group_id text PRIMARY KEY, seq bigint GENERATED BY DEFAULT AS IDENTITY,
    customer_id text NOT NULL, group_name text NOT NULL, phones text NOT NULL, remark text NOT NULL
);
CREATE TABLE peer_member (
    group_id text NOT NULL REFERENCES peer_group (group_id), phone text NOT NULL,
    position integer NOT NULL, PRIMARY KEY (group_id, phone)
);
INSERT INTO peer_access_key
SELECT access_key, 'secret-of-' || customer_id, customer_id, false FROM access_key;
INSERT INTO peer_group (group_id, customer_id, group_name, phones, remark)
SELECT group_id, customer_id, group_name, phones, remark FROM number_group
ORDER BY customer_id, group_seq;
INSERT INTO peer_member (group_id, phone, position)
SELECT g.group_id, m.phone, m.position
FROM group_member AS m JOIN number_group AS g USING (customer_id, group_seq);
CREATE INDEX peer_group_page ON peer_group (customer_id, seq);
"""
