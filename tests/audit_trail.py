"""Reading the audit trail, and changing it as somebody with rights in the database could."""

from typing import Any

from tests import direct

from openpns.core import audit
from openpns.core.audit import Entry, Filter
from openpns.core.audit_chain import Head
from openpns.core.audit_check import check_audit, check_heads
from openpns.storage.store import Store


async def entries(store: Store, **wanted: Any) -> list[Entry]:
    """Return the entries of requests and commands, newest first."""
    return [entry async for slice_ in audit.find(store, Filter(**wanted)) for entry in slice_]


async def of_requests(store: Store) -> list[Entry]:
    """Return the entries of requests, oldest first."""
    return [entry for entry in (await entries(store))[::-1] if not is_operators(entry)]


def is_operators(entry: Entry) -> bool:
    """Return whether a command of the operator added an entry."""
    return entry.actor.startswith("operator:")


def refuse_entries(url: str) -> str:
    """Return the SQL that lets a database refuse every new entry."""
    if url.startswith("sqlite"):
        return (
            "CREATE TRIGGER refuse BEFORE INSERT ON audit_entry "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    return (
        "CREATE TRIGGER refuse BEFORE INSERT ON audit_entry "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_refuse()"
    )


def row(customer_id: str = "cus_1", at_ms: int = 7, entry_id: int = 1, details: str = "{}") -> str:
    """Return the SQL that adds an entry without openpns."""
    return (
        f"INSERT INTO audit_entry VALUES ('{customer_id}', {at_ms}, {entry_id}, 'createGroup', "
        f"NULL, 'key', NULL, NULL, '{details}')"
    )


async def tamper(url: str, sql: str) -> None:
    """Run SQL as the owner of the tables, who can switch the triggers off."""
    if url.startswith("sqlite"):
        triggers = await direct.query(
            url, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        )
        off = "; ".join(f"DROP TRIGGER {name}" for name, _ in triggers)
        on = "; ".join(text for _, text in triggers)
    else:
        tables = ("audit_entry", "audit_seal")
        # By themselves: Citus sends the whole text of a change of a table to its shards.
        for table in tables:
            await direct.run(url, f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await direct.run(url, sql)
        for table in tables:
            await direct.run(url, f"ALTER TABLE {table} ENABLE TRIGGER USER")
        return
    await direct.run(url, f"{off}; {sql}; {on}")


async def faults(store: Store, *heads: Head) -> list[str]:
    """Return what the check of the audit trail finds, sorted."""
    found: list[str] = []
    await check_audit(store, found.append)
    await check_heads(heads, store, found.append)
    return sorted(found)


def deletion(where: str) -> str:
    """Return the SQL that deletes seals of cus_1 and their entries."""
    seals = f"FROM audit_seal WHERE customer_id = 'cus_1' AND {where}"
    return (
        "DELETE FROM audit_entry WHERE customer_id = 'cus_1' "
        f"AND (at_ms, entry_id) IN (SELECT at_ms, entry_id {seals}); DELETE {seals}"
    )
