"""What the role cannot do. That it can serve, the tests of promises and of the contract show."""

import asyncpg
import pytest
from tests import direct
from tests.audit_trail import row
from tests.databases import serving_url

from openpns.storage.postgres.serving_role import grants

FORBIDDEN = [
    "INSERT INTO audit_pruning VALUES (1, 9223372036854775807)",
    "DELETE FROM audit_entry",
    "UPDATE audit_entry SET action = 'other'",
    "TRUNCATE audit_entry",
    "DELETE FROM audit_seal",
    "UPDATE audit_seal SET seq = 2",
    "UPDATE audit_unsealed SET added_ms = 1",
    "INSERT INTO audit_backlog VALUES (1, '', -1, -1)",
    "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "DROP TABLE audit_entry",
    "CREATE TABLE mine (a text)",
    "UPDATE access_key SET read_only_ms = NULL",
    "INSERT INTO access_key SELECT * FROM access_key",
    "INSERT INTO customer VALUES ('cus_9', '', 1, NULL)",
    "DELETE FROM customer",
    "UPDATE customer_state SET group_quota = NULL",
    "UPDATE customer_state SET phone_quota = 0, phone_count = 0",
    "UPDATE customer_state SET byte_quota = 9223372036854775807",
    "INSERT INTO customer_state (customer_id, group_count, next_seq) VALUES ('cus_9', 0, 0)",
    "DELETE FROM customer_state",
    "DELETE FROM worker_lease",
    "DELETE FROM schema_migration",
    "UPDATE master_key_check SET ciphertext = ''",
]


async def test_role_adds_entries_and_changes_nothing_that_only_operators_change(
    migrated: None, postgres_url: str
) -> None:
    url = serving_url(postgres_url)
    assert url != postgres_url
    await direct.run(url, row())
    for sql in FORBIDDEN:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await direct.run(url, sql)
    assert len(await direct.query(postgres_url, "SELECT * FROM audit_unsealed")) == 1


def test_grants_quote_the_name_of_the_role() -> None:
    assert grants('a"; DROP')[0] == 'REVOKE ALL ON access_key FROM "a""; DROP"'
