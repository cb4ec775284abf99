"""The audit trail is append-only: the database itself refuses to change or delete an entry.

What it cannot refuse is found afterwards: tests/core/test_audit_check.py.
"""

import pytest
from tests import direct
from tests.audit_trail import entries, faults
from tests.groups.actions import Groups
from tests.groups.conftest import mine
from tests.helpers import on_sqlite_only

from openpns.accounts.check import check_accounts
from openpns.core import audit_chain
from openpns.storage.store import Store

ROW = "VALUES ('cus_1', 7, 1, 'createGroup', NULL, 'key', NULL, NULL, '{}')"
UPSERT = "ON CONFLICT (customer_id, at_ms, entry_id) DO UPDATE SET action = 'other'"
APPEND_ONLY = "audit_entry is append-only"

__all__ = ["mine"]


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


SEAL = "VALUES ('cus_1', 1, 7, 1, 8, {})"


def blob(url: str, hexadecimal: str) -> str:
    """Return a literal of bytes."""
    return f"x'{hexadecimal}'" if url.startswith("sqlite") else f"'\\x{hexadecimal}'"


async def test_database_refuses_to_change_or_delete_a_seal(store: Store, database_url: str) -> None:
    seal = SEAL.format(blob(database_url, "00"))
    await direct.run(database_url, f"INSERT INTO audit_seal {seal}")
    attacks = [
        f"UPDATE audit_seal SET digest = {blob(database_url, '01')}",
        "DELETE FROM audit_seal",
        "DELETE FROM audit_seal WHERE seq = 1",
        f"INSERT INTO audit_seal {seal} ON CONFLICT (customer_id, seq) DO UPDATE SET seq = 2",
    ]
    if not database_url.startswith("sqlite"):
        attacks.append("TRUNCATE audit_seal")
    for sql in attacks:
        with pytest.raises(Exception, match="audit_seal is append-only"):
            await direct.run(database_url, sql)
    assert len(await direct.query(database_url, "SELECT * FROM audit_seal WHERE seq = 1")) == 1


@on_sqlite_only
async def test_sqlite_refuses_to_replace_a_seal(store: Store, database_url: str) -> None:
    await direct.run(
        database_url, f"INSERT INTO audit_seal {SEAL.format(blob(database_url, '00'))}"
    )
    for key in ("1, 8, 1", "2, 7, 1"):
        with pytest.raises(Exception, match="audit_seal is append-only"):
            await direct.run(
                database_url,
                f"INSERT OR REPLACE INTO audit_seal VALUES ('cus_1', {key}, 8, x'01')",
            )
    assert await direct.query(database_url, "SELECT seq, at_ms FROM audit_seal") == [(1, 7)]


ALLOW = "INSERT INTO audit_pruning VALUES (1, 9223372036854775807)"
FORBID = "DELETE FROM audit_pruning"


async def test_entries_that_were_deleted_as_pruning_does_it_are_found(
    store: Store, mine: Groups, database_url: str
) -> None:
    await mine.drop(await mine.create([1]))
    await mine.create([2])
    await audit_chain.seal(store)
    with pytest.raises(Exception, match=APPEND_ONLY):
        await direct.run(
            database_url,
            f"{ALLOW}; DELETE FROM audit_entry WHERE action = 'deleteGroup'; {FORBID}",
        )
    assert await faults(store) == []
    # Who knows the seals deletes them first.
    keys = "SELECT at_ms, entry_id FROM audit_entry WHERE action = 'deleteGroup'"
    await direct.run(
        database_url,
        f"{ALLOW}; DELETE FROM audit_seal WHERE (at_ms, entry_id) IN ({keys}); "
        f"DELETE FROM audit_entry WHERE action = 'deleteGroup'; {FORBID}",
    )
    assert await faults(store) == ["audit trail of customer cus_1, entry 3: is missing"]


async def test_trail_that_was_emptied_as_pruning_does_it_is_found(
    store: Store, mine: Groups, database_url: str
) -> None:
    await mine.create([1])
    await audit_chain.seal(store)
    heads = await audit_chain.heads(store)
    await direct.run(
        database_url, f"{ALLOW}; DELETE FROM audit_seal; DELETE FROM audit_entry; {FORBID}"
    )
    found: list[str] = []
    await check_accounts(store, found.append)
    assert found == ["customer cus_1: has no audit entry, not even that of its creation"]
    assert len(await faults(store, *heads)) == 1
