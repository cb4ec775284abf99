"""The audit trail is append-only: the database itself refuses to change or delete an entry."""

import pytest
from tests import direct
from tests.helpers import on_sqlite_only

from openpns.core import audit
from openpns.core.audit import Entry, Filter
from openpns.storage.store import Store

ROW = "VALUES ('cus_1', 7, 1, 'createGroup', NULL, 'key', NULL, NULL, '{}')"
UPSERT = "ON CONFLICT (customer_id, at_ms, entry_id) DO UPDATE SET action = 'other'"
APPEND_ONLY = "audit_entry is append-only"


async def entries(store: Store) -> list[Entry]:
    return [entry async for slice_ in audit.find(store, Filter()) for entry in slice_]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_entry SET action = 'other'",
        "UPDATE audit_entry SET details = '{}' WHERE at_ms = 7",
        "DELETE FROM audit_entry",
        "DELETE FROM audit_entry WHERE at_ms = 7",
        f"INSERT INTO audit_entry {ROW} {UPSERT}",
    ],
)
async def test_database_refuses_to_change_or_delete_an_entry(
    store: Store, database_url: str, sql: str
) -> None:
    await direct.run(database_url, f"INSERT INTO audit_entry {ROW}")
    with pytest.raises(Exception, match=APPEND_ONLY):
        await direct.run(database_url, sql)
    assert [(entry.at_ms, entry.action) for entry in await entries(store)] == [(7, "createGroup")]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_postgresql_refuses_to_truncate_the_audit_trail(
    store: Store, database_url: str
) -> None:
    await direct.run(database_url, f"INSERT INTO audit_entry {ROW}")
    for more in ("", " CASCADE"):
        with pytest.raises(Exception, match=APPEND_ONLY):
            await direct.run(database_url, f"TRUNCATE audit_entry{more}")
    assert len(await entries(store)) == 1


@on_sqlite_only
async def test_sqlite_refuses_to_replace_an_entry(store: Store, database_url: str) -> None:
    await direct.run(database_url, f"INSERT INTO audit_entry {ROW}")
    with pytest.raises(Exception, match=APPEND_ONLY):
        await direct.run(database_url, f"INSERT OR REPLACE INTO audit_entry {ROW}")
    assert len(await entries(store)) == 1
