"""Fill a database with virtual numbers and bindings by SQL; a part of `fill`.

Binding number i of a customer stands on its virtual number i modulo their count, and names two
phones that no other one names. It ends in one to two days, on a second of its own.
"""

from dataclasses import asdict, dataclass
from typing import Any

import apsw

COUNTRY = "86"


@dataclass(frozen=True)
class Bound:
    """The virtual numbers and bindings of a customer.

    Attributes:
        customer: Its id.
        dids: How many virtual numbers.
        first_did: The place of the first of them among those of all customers.
        bindings: How many bindings.
        now_ms: When they were made.
    """

    customer: str
    dids: int
    first_did: int
    bindings: int
    now_ms: int


def did_of(place: int) -> str:
    """Return a virtual number, by its place among those of all customers."""
    return f"{COUNTRY}18{place:09}"


def phones_of(binding: int) -> tuple[str, str]:
    """Return both phones of a binding, by its place among those of its customer."""
    return f"{COUNTRY}17{2 * binding:09}", f"{COUNTRY}17{2 * binding + 1:09}"


def fill_sqlite(connection: apsw.Connection, bound: Bound) -> None:
    """Fill an SQLite database; `bench_group_id` is a function of the connection."""
    params = asdict(bound)
    for statement in (_SQLITE_NUMBERS, _SQLITE_LOADS, _SQLITE_BINDINGS, _SQLITE_SEATS, _COUNTER):
        connection.execute(statement, params)


async def fill_postgres(connection: Any, bound: Bound) -> None:
    """Fill a PostgreSQL database; its indexes may be missing."""
    values = (bound.customer, bound.dids, bound.first_did)
    await connection.execute(_POSTGRES_NUMBERS, *values, bound.now_ms)
    await connection.execute(_POSTGRES_LOADS, *values, bound.bindings)
    await connection.execute(_POSTGRES_BINDINGS, *values, bound.bindings, bound.now_ms)
    await connection.execute(_POSTGRES_SEATS, bound.customer)
    await connection.execute(_POSTGRES_COUNTER, bound.customer, bound.bindings)


_SQLITE_NUMBERS = """
WITH RECURSIVE place (i) AS (
    SELECT 0 UNION ALL SELECT i + 1 FROM place WHERE i + 1 < :dids
)
INSERT INTO virtual_number (
    did, customer_id, business_id, country, state, added_ms, changed_ms
)
SELECT printf('8618%09d', :first_did + i), :customer, 'default', '86', 'active', :now_ms, :now_ms
FROM place
"""
_SQLITE_LOADS = """
WITH RECURSIVE place (i) AS (
    SELECT 0 UNION ALL SELECT i + 1 FROM place WHERE i + 1 < :dids
)
INSERT INTO number_load (
    customer_id, did, business_id, country, is_open, binding_count, extension_count
)
SELECT
    :customer, printf('8618%09d', :first_did + i), 'default', '86', 1,
    :bindings / :dids + (i < :bindings % :dids), 0
FROM place
"""
_SQLITE_BINDINGS = """
WITH RECURSIVE place (i) AS (
    SELECT 0 WHERE :bindings > 0 UNION ALL SELECT i + 1 FROM place WHERE i + 1 < :bindings
)
INSERT INTO binding (
    customer_id, binding_seq, bind_id, customer_bind_id, kind, business_id, did, phone_a, phone_b,
    extension, group_id, group_seq, flag, live_until_ms, created_ms, last_call_ms, body_digest
)
SELECT
    :customer, i, bench_group_id(:customer, 'binding ' || i), 'order ' || i, 'axb', 'default',
    printf('8618%09d', :first_did + i % :dids), printf('8617%09d', 2 * i),
    printf('8617%09d', 2 * i + 1), '', '', NULL, i % 2,
    (:now_ms / 1000 + 86400 + i % 86400) * 1000, :now_ms, 0,
    bench_group_id(:customer, 'body ' || i)
FROM place
"""
_SQLITE_SEATS = """
INSERT INTO seat (customer_id, phone, did, binding_seq, live_until_ms, ended_ms)
SELECT
    b.customer_id, CASE side.is_b WHEN 0 THEN b.phone_a ELSE b.phone_b END, b.did, b.binding_seq,
    b.live_until_ms, 0
FROM binding AS b JOIN (SELECT 0 AS is_b UNION ALL SELECT 1) AS side
WHERE b.customer_id = :customer
"""
_COUNTER = """
UPDATE customer_state SET binding_count = :bindings, binding_next_seq = :bindings
WHERE customer_id = :customer
"""
_POSTGRES_NUMBERS = """
INSERT INTO virtual_number (
    did, customer_id, business_id, country, state, added_ms, changed_ms
)
SELECT
    '8618' || lpad(($3::bigint + i)::text, 9, '0'), $1::text, 'default', '86', 'active',
    $4::bigint, $4::bigint
FROM generate_series(0, $2::bigint - 1) AS i
"""
_POSTGRES_LOADS = """
INSERT INTO number_load (
    customer_id, did, business_id, country, is_open, binding_count, extension_count
)
SELECT
    $1::text, '8618' || lpad(($3::bigint + i)::text, 9, '0'), 'default', '86', 1,
    $4::bigint / $2::bigint + CASE WHEN i < $4::bigint % $2::bigint THEN 1 ELSE 0 END, 0
FROM generate_series(0, $2::bigint - 1) AS i
"""
_POSTGRES_BINDINGS = """
INSERT INTO binding (
    customer_id, binding_seq, bind_id, customer_bind_id, kind, business_id, did, phone_a, phone_b,
    extension, group_id, group_seq, flag, live_until_ms, created_ms, last_call_ms, body_digest
)
SELECT
    $1::text, i, md5($1::text || ':binding ' || i), 'order ' || i, 'axb', 'default',
    '8618' || lpad(($3::bigint + i % $2::bigint)::text, 9, '0'),
    '8617' || lpad((2 * i)::text, 9, '0'), '8617' || lpad((2 * i + 1)::text, 9, '0'),
    '', '', NULL, i % 2, ($5::bigint / 1000 + 86400 + i % 86400) * 1000, $5::bigint, 0,
    md5($1::text || ':body ' || i)
FROM generate_series(0, $4::bigint - 1) AS i
"""
_POSTGRES_SEATS = """
INSERT INTO seat (customer_id, phone, did, binding_seq, live_until_ms, ended_ms)
SELECT
    b.customer_id, CASE side.is_b WHEN 0 THEN b.phone_a ELSE b.phone_b END, b.did, b.binding_seq,
    b.live_until_ms, 0
FROM binding AS b CROSS JOIN (VALUES (0), (1)) AS side (is_b)
WHERE b.customer_id = $1::text
"""
_POSTGRES_COUNTER = """
UPDATE customer_state SET binding_count = $2::bigint, binding_next_seq = $2::bigint
WHERE customer_id = $1::text
"""
PEER = """
CREATE TABLE peer_number (
    did text PRIMARY KEY, customer_id text NOT NULL, country text NOT NULL,
    binding_count bigint NOT NULL
);
CREATE TABLE peer_binding (
    bind_id text PRIMARY KEY, customer_id text NOT NULL, customer_bind_id text, did text NOT NULL,
    phone_a text NOT NULL, phone_b text NOT NULL, flag integer NOT NULL, expires_at bigint NOT NULL,
    UNIQUE (customer_id, customer_bind_id)
);
CREATE TABLE peer_seat (
    phone text NOT NULL, did text NOT NULL,
    bind_id text NOT NULL REFERENCES peer_binding (bind_id), PRIMARY KEY (phone, did)
);
INSERT INTO peer_number
SELECT did, customer_id, country, binding_count FROM number_load;
INSERT INTO peer_binding
SELECT bind_id, customer_id, customer_bind_id, did, phone_a, phone_b, flag, live_until_ms / 1000
FROM binding;
INSERT INTO peer_seat
SELECT s.phone, s.did, b.bind_id
FROM seat AS s JOIN binding AS b USING (customer_id, binding_seq);
CREATE INDEX peer_number_choice ON peer_number (customer_id, country, binding_count, did);
"""
"""The framework peer's own tables, with the same bindings."""
