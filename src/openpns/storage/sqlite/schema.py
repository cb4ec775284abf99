"""The objects of an SQLite database, and those that the migrations make."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib import resources
from typing import Final

import apsw

from openpns.storage import schema
from openpns.storage.migrations import STOP_LAST, Migration
from openpns.storage.schema import Differences, Found, Key
from openpns.storage.sqlite import migrate
from openpns.storage.sqlite.capture import made_objects
from openpns.storage.sqlite.connections import open_file

_OBJECTS: Final = "SELECT type, tbl_name, name, sql FROM sqlite_schema"
_APPLIED: Final = "SELECT number, step FROM schema_migration ORDER BY applied_ms, number, step DESC"
_STATISTICS: Final = {
    ("table", f"sqlite_stat{number}", f"CREATE TABLE sqlite_stat{number} ( {columns} )")
    for number, columns in ((1, "tbl , idx , stat"), (4, "tbl , idx , neq , nlt , ndlt , sample"))
}
"""Tables that ANALYZE makes, with their definitions; they change plans, not results."""

_TOKEN: Final = re.compile(
    r"""(?P<text>'(?:[^']|'')*')|"(?P<name>\w+)"|(?P<gap>--[^\n]*|/\*.*?\*/|\s+)|\w+|.""",
    re.DOTALL,
)


def find_differences(connection: apsw.Connection, known: Sequence[Migration]) -> Differences:
    """Compare a database with one in memory to which the same steps are applied.

    Applying them takes most of the time. A database to which every step was applied is nearly
    always equal to what `schema.sha256` was made of, and then it is not necessary. A table to which
    a newer version may have added columns is not compared.
    """
    connection.execute("BEGIN")  # one snapshot: a migration may run meanwhile
    try:
        applied = migrate.read_applied(connection)
        is_whole = {(one.number, one.step) for one in applied} == {one.key for one in known}
        if is_whole and digest(connection, known) == _recorded_digest():
            return Differences([], [], [])
        newer = schema.find_newer(known, applied)
        steps = _steps_in_order(connection, known)
        found = list(_read(connection))
    finally:
        connection.execute("ROLLBACK")
    with closing(open_file(":memory:")) as reference:
        _apply(reference, steps)
        expected = {one.key: one.definition for one in _read(reference)}
    if newer:
        found = [
            Found(one.key, expected.get(one.key, "")) if one.key.kind == "table" else one
            for one in found
        ]
    return schema.compare(expected, found, newer)


def digest(connection: apsw.Connection, known: Sequence[Migration]) -> str:
    """Return SHA-256, in hex, of the steps and of all objects with their definitions."""
    steps = [(one.label, one.checksum) for one in known]
    objects = sorted(_objects(connection))
    return hashlib.sha256(json.dumps((steps, objects)).encode()).hexdigest()


def _recorded_digest() -> str:
    """Return the digest of a new database with all steps; a test compares it."""
    return resources.files(__package__).joinpath("schema.sha256").read_text("ascii").strip()


def _steps_in_order(connection: apsw.Connection, known: Sequence[Migration]) -> list[Migration]:
    """Return the steps that were applied, in that order: columns are added at the end."""
    if int(connection.pragma("user_version")) < STOP_LAST:
        return list(known[: len(migrate.read_applied(connection))])
    by_key = {one.key: one for one in known}
    return [by_key[key] for key in connection.execute(_APPLIED) if key in by_key]


def _apply(reference: apsw.Connection, steps: Sequence[Migration]) -> None:
    for one in steps:
        if one.before is not None:
            one.before(reference)
        reference.execute(one.sql)
        if one.after is not None:
            one.after(reference)


def _objects(connection: apsw.Connection) -> Iterator[tuple[str, str, str, str]]:
    """Return kind, table, name and definition of all objects but statistics."""
    for kind, table, name, sql in connection.execute(_OBJECTS):
        definition = _normalised(sql or "")
        if (kind, name, definition) not in _STATISTICS:  # the name alone may be a trigger's
            yield kind, table, name, definition


def _read(connection: apsw.Connection) -> Iterator[Found]:
    for kind, table, name, definition in _objects(connection):
        key = Key(kind, name) if kind == "table" else Key(kind, table, name)
        is_harmless = (kind == "index" and _is_plain(connection, name)) or (
            kind == "table" and _is_apart(connection, name)
        )
        yield Found(
            key, definition, is_harmless=is_harmless, is_of_copy=_is_of_copy(name, definition)
        )


def _is_of_copy(name: str, definition: str) -> bool:
    """Return whether an object is one with which a copy notes the changes of its source."""
    made = made_objects().get(name)
    return made is not None and definition == _normalised(made)


def _is_apart(connection: apsw.Connection, table: str) -> bool:
    """Return whether no write to another table reaches a table, as those of a replicator."""
    keys = connection.execute("SELECT count(*) FROM pragma_foreign_key_list(?)", (table,)).get
    kind = connection.execute(
        "SELECT type FROM pragma_table_list(?) WHERE schema = 'main'", (table,)
    ).get
    return (keys, kind) == (0, "table")  # a virtual one runs code


def _is_plain(connection: apsw.Connection, index: str) -> bool:
    """Return whether an index refuses nothing and calls nothing: it is of columns only."""
    row = connection.execute(
        'SELECT "unique", partial FROM sqlite_schema AS s, pragma_index_list(s.tbl_name) AS i '
        "WHERE s.name = ? AND s.type = 'index' AND i.name = s.name",
        (index,),
    ).fetchone()
    columns = connection.execute("SELECT min(cid) FROM pragma_index_xinfo(?)", (index,)).get
    return row == (0, 0) and columns is not None and columns >= -1  # -2 is an expression


def _normalised(sql: str) -> str:
    """Return the tokens of a definition: versions of SQLite rename with other quotes and gaps."""
    return " ".join(
        match["name"] or match[0] for match in _TOKEN.finditer(sql) if match["gap"] is None
    )
