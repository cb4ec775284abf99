"""The rights of a role that serves: it cannot change what only operators change.

Source: docs/operating/databases.md, "A role for serving".
"""

from collections.abc import Sequence
from typing import Any, Final

from openpns.errors import ConfigError
from openpns.storage.postgres import distribution
from openpns.storage.postgres.errors import DRIVER
from openpns.storage.postgres.hosts import Hosts
from openpns.storage.postgres.reasons import CONNECTING, cannot_connect, explain

_READ: Final = ("SELECT",)
_ADD: Final = ("SELECT", "INSERT")
_WRITE: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")

_COUNTS: Final = (
    "group_count, next_seq, groups_revision, phone_count, phone_count_revision, byte_count, "
    "byte_count_revision, bindings_revision, binding_count, binding_next_seq"
)

_TIMEOUT_S: Final = 60.0
"""For each statement: it may wait for a table, and on Citus it runs on every shard."""

RIGHTS: Final[dict[str, Sequence[str]]] = {
    "access_key": ("SELECT", "UPDATE (last_used_ms)"),
    "audit_backlog": ("SELECT", "UPDATE", "DELETE"),
    "audit_entry": _ADD,
    "audit_pruning": (),
    "audit_seal": _ADD,
    "audit_unsealed": ("SELECT", "INSERT", "DELETE"),
    "binding": _WRITE,
    "call_record": ("SELECT", "INSERT", "DELETE"),
    "call_audio": _READ,
    "call_trace": _WRITE,
    "customer": _READ,
    "customer_state": ("SELECT", f"UPDATE ({_COUNTS})"),
    "customer_usage": ("SELECT", "INSERT", "UPDATE"),
    "delivery": _WRITE,
    "digit_guard": _WRITE,
    "ended_binding": _WRITE,
    "group_member": _WRITE,
    "group_order_gap": _WRITE,
    "group_phone_chunk": _WRITE,
    "group_tombstone": _WRITE,
    "idempotency_record": _WRITE,
    "master_key_check": _ADD,
    "number_group": _WRITE,
    "number_load": ("SELECT", "UPDATE (binding_count, extension_count)"),
    "routing_sequence": ("SELECT", "INSERT", "UPDATE"),
    "schema_migration": _READ,
    "seat": _WRITE,
    "virtual_number": _READ,
    "webhook": ("SELECT", "UPDATE (state, changed_ms, failing_ms)"),
    "worker_lease": ("SELECT", "INSERT", "UPDATE"),
}
"""What `openpns serve` does with each table."""

_ALLOWED: Final = (
    "allowed is a role that is no superuser, does not own the tables and is in no group with more "
    "rights"
)

_FIND: Final = "SELECT rolsuper FROM pg_roles WHERE rolname = $1"

_OWNED: Final = """
SELECT c.relname FROM pg_class AS c
WHERE c.oid = ANY(CAST($2 AS regclass[])) AND pg_has_role($1, c.relowner, 'MEMBER')
ORDER BY c.relname LIMIT 1
"""
"""A table whose owner a role is or can become, also with SET ROLE."""

_HELD: Final = """
WITH role AS (SELECT m.oid FROM pg_roles AS m WHERE pg_has_role($1, m.oid, 'MEMBER'))
SELECT DISTINCT t.name, r.name, a.attname
FROM role CROSS JOIN unnest(CAST($2 AS text[])) AS t (name)
CROSS JOIN unnest(
    ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']
) AS r (name)
LEFT JOIN pg_attribute AS a ON a.attrelid = CAST(t.name AS regclass)
    AND a.attnum > 0 AND NOT a.attisdropped
    AND r.name IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
    AND NOT has_table_privilege(role.oid, t.name, r.name)
WHERE CASE WHEN a.attnum IS NULL THEN has_table_privilege(role.oid, t.name, r.name)
    ELSE has_column_privilege(role.oid, t.name, a.attnum, r.name) END
ORDER BY t.name, r.name, a.attname
"""
"""Which rights a role has on tables (NULL) and columns, also those it gets with SET ROLE."""


def grants(role: str, *, on_citus: bool = False) -> list[str]:
    """Return the SQL that gives a role exactly these rights.

    Args:
        on_citus: Whether the tables are distributed: see `_rights_on`.
    """
    name = '"' + role.replace('"', '""') + '"'
    found = []
    for table in RIGHTS:
        rights = _rights_on(table, on_citus=on_citus)
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
    timeout_s = _TIMEOUT_S
    try:
        connection = await Hosts(url).connect(None, timeout=timeout_s, command_timeout=timeout_s)
    except CONNECTING as error:
        raise cannot_connect(error) from None
    try:
        async with connection.transaction():
            await _grant(connection, role)
    except DRIVER as error:
        raise ConfigError(
            f"--serving-role: cannot grant rights to it: {explain(error)}; run this as the owner "
            "of the tables"
        ) from None
    finally:
        await connection.close()


async def _grant(connection: Any, role: str) -> None:
    is_superuser = await connection.fetchval(_FIND, role)
    if is_superuser is None:
        raise ConfigError(
            f"--serving-role: there is no role {role!r}; create one with: createuser --pwprompt"
        )
    # First: revoking the owner's rights leaves no right in excess, and the owner without any.
    owned = await connection.fetchval(_OWNED, role, [*RIGHTS])
    if owned is not None:
        raise ConfigError(
            f"--serving-role: {role!r} owns {owned}, is a member of its owner or a superuser; "
            f"{_ALLOWED}"
        )
    on_citus = await distribution.is_distributed(connection)
    if on_citus:
        await distribution.change_one_by_one(connection)
    for sql in grants(role, on_citus=on_citus):
        await connection.execute(sql)
    for table, right, column in await connection.fetch(_HELD, role, [*RIGHTS]):
        if not _is_allowed(table, right, column, on_citus=on_citus):
            place = table if column is None else f"{table} ({column})"
            raise ConfigError(
                f"--serving-role: {role!r} would still have {right} on {place}; {_ALLOWED}"
            )


def _rights_on(table: str, *, on_citus: bool) -> Sequence[str]:
    """Return the rights on a table.

    Citus knows no rights on columns: the role has those on the whole table there. To add to a
    reference table it locks the copies, which needs the right to change them. To change one it
    also locks the copies of those that it refers to: access keys refer to customers. The right to
    truncate is enough for that, and useless: PostgreSQL truncates no table that others refer to.
    """
    rights = RIGHTS[table]
    if not on_citus:
        return rights
    if table == "customer":
        return [*rights, "TRUNCATE"]
    whole = [right.partition(" ")[0] for right in rights]
    is_locked = table in distribution.REFERENCE and "INSERT" in whole and "UPDATE" not in whole
    return [*whole, "UPDATE"] if is_locked else whole


def _is_allowed(table: str, right: str, column: str | None, *, on_citus: bool) -> bool:
    """Return whether a serving role may have a right on a table, or on one column of it."""
    for allowed in _rights_on(table, on_citus=on_citus):
        name, _, columns = allowed.partition(" ")
        if name == right and (not columns or column in columns.strip("()").split(", ")):
            return True
    return False
