"""The rights of a role that serves: it cannot change what only operators change.

Source: docs/operating/databases.md, "A role for serving".
"""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from openpns import limits
from openpns.errors import ConfigError
from openpns.storage.postgres.hosts import Hosts

_READ: Final = ("SELECT",)
_ADD: Final = ("SELECT", "INSERT")
_WRITE: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")

RIGHTS: Final[dict[str, Sequence[str]]] = {
    "access_key": ("SELECT", "UPDATE (last_used_ms)"),
    "audit_backlog": ("SELECT", "UPDATE", "DELETE"),
    "audit_entry": _ADD,
    "audit_pruning": (),
    "audit_seal": _ADD,
    "audit_unsealed": ("SELECT", "INSERT", "DELETE"),
    "customer": _READ,
    "customer_state": ("SELECT", "UPDATE"),
    "group_member": _WRITE,
    "group_order_gap": _WRITE,
    "group_phone_chunk": _WRITE,
    "group_tombstone": _WRITE,
    "idempotency_record": _WRITE,
    "master_key_check": _ADD,
    "number_group": _WRITE,
    "schema_migration": _READ,
    "worker_lease": ("SELECT", "INSERT", "UPDATE"),
}
"""What `openpns serve` does with each table."""

_FIND: Final = "SELECT rolsuper FROM pg_roles WHERE rolname = $1"

_EXCESS: Final = """
SELECT t.name, r.name FROM unnest(CAST($2 AS text[])) AS t (name)
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS r (name)
WHERE has_table_privilege($1, t.name, r.name)
"""
"""Which rights a role has, also as a member of another one."""


def grants(role: str) -> list[str]:
    """Return the SQL that gives a role exactly these rights."""
    name = '"' + role.replace('"', '""') + '"'
    found = []
    for table, rights in RIGHTS.items():
        found.append(f"REVOKE ALL ON {table} FROM {name}")
        if rights:
            found.append(f"GRANT {', '.join(rights)} ON {table} TO {name}")
    return found


async def grant(url: str, role: str) -> None:
    """Give a role exactly these rights.

    Raises:
        ConfigError: The role does not exist, has further rights from elsewhere, or may not be
            granted rights by the user of the URL.
    """
    timeout_s = limits.STORAGE_TIMEOUT_MS / 1000
    try:
        connection = await Hosts(url).connect(None, timeout=timeout_s, command_timeout=timeout_s)
        try:
            async with connection.transaction():
                await _grant(connection, role)
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InternalClientError, ValueError) as error:
        raise ConfigError(
            f"--serving-role: cannot grant rights to it ({type(error).__name__}); run this as the "
            "owner of the tables"
        ) from None


async def _grant(connection: Any, role: str) -> None:
    is_superuser = await connection.fetchval(_FIND, role)
    if is_superuser is None:
        raise ConfigError(
            f"--serving-role: there is no role {role!r}; create one with: createuser --pwprompt"
        )
    for sql in grants(role):
        await connection.execute(sql)
    for table, right in await connection.fetch(_EXCESS, role, [*RIGHTS]):
        if right not in RIGHTS[table]:
            raise ConfigError(
                f"--serving-role: {role!r} would still have {right} on {table}; allowed is a role "
                "that is no superuser, does not own the tables and is in no group with more rights"
            )
