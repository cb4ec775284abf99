"""The triggers of a copy's source in SQLite: they note changes, and later refuse writes."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from openpns.storage.copying import CAPTURE, LOG_TABLE, REFUSE, REFUSED, STATE_TABLE, TABLES

FIND_TRIGGERS: Final = (
    "SELECT name FROM sqlite_schema WHERE type = 'trigger' "
    f"AND (name GLOB '{CAPTURE}*' OR name GLOB '{REFUSE}*')"
)

_TABLES: Final = {
    STATE_TABLE: (
        f"CREATE TABLE {STATE_TABLE} (only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1), "
        "copy_id TEXT NOT NULL, origin TEXT NOT NULL, round TEXT NOT NULL) STRICT"
    ),
    LOG_TABLE: (
        f"CREATE TABLE {LOG_TABLE} (place INTEGER PRIMARY KEY, table_name TEXT NOT NULL, "
        "key TEXT NOT NULL) STRICT"
    ),
}


def install_sql() -> Iterator[str]:
    """Return the statements that let the key of each row that changes be noted."""
    yield from made_objects().values()


@cache
def made_objects() -> dict[str, str]:
    """Return the definition of each table and trigger with which changes are noted, by its name."""
    found = {**_TABLES}
    for table in TABLES:
        for event, rows in (("insert", ("NEW",)), ("update", ("OLD", "NEW")), ("delete", ("OLD",))):
            noted = " UNION ".join(_noted(table.name, table.key, row) for row in rows)
            name = f"{CAPTURE}{table.name}_{event}"
            found[name] = (
                f"CREATE TRIGGER {name} AFTER {event.upper()} ON {table.name} BEGIN "
                f"INSERT INTO {LOG_TABLE} (table_name, key) {noted}; END"
            )
    return found


def refuse_sql() -> Iterator[str]:
    """Return the statements that make every write fail."""
    for table in TABLES:
        for event in ("INSERT", "UPDATE", "DELETE"):
            yield (
                f"CREATE TRIGGER {REFUSE}_{table.name}_{event.lower()} BEFORE {event} "
                f"ON {table.name} BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
            )


def _noted(table: str, key: Sequence[str], row: str) -> str:
    values = ", ".join(f"{row}.{column}" for column in key)
    return f"SELECT '{table}', json_array({values})"
