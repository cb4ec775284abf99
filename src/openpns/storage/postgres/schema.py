"""The objects of a PostgreSQL database, and those that the migrations make.

The latter are recorded in `schema.txt` by `tools/postgres_schema.py`, because a server may not have
the right to make tables and compare.
"""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

from openpns.storage import schema
from openpns.storage.migrations import STOP_LAST, Applied, Migration
from openpns.storage.postgres import distribution, migrate
from openpns.storage.postgres.capture import is_capture
from openpns.storage.schema import Differences, Found, Key
from openpns.storage.statements import parse

_STEP: Final = "step "
_ATTEMPTS: Final = 5


async def find_differences(connection: Any, known: Sequence[Migration]) -> Differences:
    """Compare a database with what the applied steps make."""
    before = await migrate.read_applied(connection)
    for _ in range(_ATTEMPTS):
        expected = expected_objects(before)
        tables = sorted({key.table for key in expected} | {"schema_migration"})
        found = await read_objects(connection, tables)
        if await distribution.is_distributed(connection):
            expected |= distribution.expected_objects(tables)
            found += await distribution.read_objects(connection, tables)
        after = await migrate.read_applied(connection)
        if before == after:
            break
        before = after  # a migration ran meanwhile
    return schema.compare(expected, found, schema.find_newer(known, before))


async def read_objects(connection: Any, tables: Sequence[str]) -> list[Found]:
    """Read the objects of tables from the catalog."""
    rows = await connection.fetch(_query(), tables)
    return [
        Found(
            Key(kind, table, name),
            definition,
            label,
            harmless,
            kind == "trigger" and is_capture(table, name, definition),
        )
        for kind, table, name, definition, label, harmless in rows
    ]


def expected_objects(applied: Sequence[Applied]) -> dict[Key, str]:
    """Return the definition of each object that applied steps make, from migration 8 on."""
    labels = {f"{one.number} {one.step}" for one in applied}
    objects: dict[Key, str] = {}
    for step, lines in _recorded().items():
        if step not in labels:
            continue
        for sign, kind, table, name, definition in lines:
            if sign == "+":
                objects[Key(kind, table, name)] = definition
            else:
                objects.pop(Key(kind, table, name), None)
    return objects


def to_text(steps: Sequence[tuple[Migration, dict[Key, str]]]) -> str:
    """Return the text of `schema.txt`: what each step adds and removes.

    Args:
        steps: Each step with the objects that there are after it, in order.
    """
    lines, before = [], dict[Key, str]()
    for step, objects in steps:
        if step.number < STOP_LAST:
            continue
        lines.append(f"{_STEP}{step.number} {step.step}")
        gone = sorted(key for key in before if key not in objects)
        lines += ["\t".join(("-", key.kind, key.table, key.name, "")) for key in gone]
        new = sorted(key for key in objects if objects[key] != before.get(key))
        lines += ["\t".join(("+", key.kind, key.table, key.name, objects[key])) for key in new]
        before = objects
    return "".join(f"{line.rstrip()}\n" for line in lines)


@cache
def _query() -> str:
    text = resources.files(__package__).joinpath("schema.sql").read_text("utf-8")
    return parse(text, "postgres")[0].sql


@cache
def _recorded() -> dict[str, list[list[str]]]:
    """Return the lines of each step, by its number and kind."""
    text = resources.files(__package__).joinpath("schema.txt").read_text("utf-8")
    steps: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        if line.startswith(_STEP):
            lines = steps[line.removeprefix(_STEP)] = []
        else:
            lines.append([*line.split("\t"), "", ""][:5])
    return steps
