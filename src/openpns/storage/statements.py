"""Named statements: reading the `.sql` files and preparing them for an engine.

A statement is a `-- name` line, a line that says what it is for, then the SQL, with `:name`
parameters. `groups.sql` is shared; `groups.sqlite.sql` and `groups.postgres.sql` hold what the
engines write differently. A statement may stand for several; see `openpns.storage.variants`.
"""

import re
from importlib import resources
from typing import Final, Literal

import msgspec

from openpns.storage.variants import variants

Engine = Literal["sqlite", "postgres"]

_NAME: Final = re.compile(r"^-- ([a-z][a-z0-9_]*)$", re.MULTILINE)
# `::` is PostgreSQL's cast and no parameter.
_PARAMETER: Final = re.compile(r"(?<!:):([a-z][a-z0-9_]*)")


class NamedStatement(msgspec.Struct, frozen=True):
    """A statement as an engine runs it."""

    name: str
    sql: str
    """With `:name` parameters for SQLite, `$n` for PostgreSQL."""
    parameters: tuple[str, ...]
    """The parameters' names, in the order of their `$n`."""


def load_statements(engine: Engine) -> dict[str, NamedStatement]:
    """Return the statements of an engine by name.

    Args:
        engine: "sqlite" or "postgres".

    Raises:
        ValueError: A name stands twice.
    """
    statements: dict[str, NamedStatement] = {}
    packages = [entry for entry in resources.files("openpns").iterdir() if entry.is_dir()]
    files = [
        file
        for package in packages
        for file in package.iterdir()
        if file.name.endswith(".sql") and file.is_file()
    ]
    for file in sorted(files, key=lambda entry: entry.name):
        parts = file.name.split(".")
        if len(parts) == 3 and parts[1] != engine:  # noqa: PLR2004
            continue
        for name, sql in parse(file.read_text("utf-8")):
            if name in statements:
                raise ValueError(f"statement {name} stands twice")
            statements[name] = prepare(name, sql, engine)
    return statements


def parse(text: str) -> list[tuple[str, str]]:
    """Split a file into names and statements, comment lines left out.

    Args:
        text: The file's text.
    """
    pieces = _NAME.split(text)[1:]
    return [
        (
            variant,
            "\n".join(line for line in sql.splitlines() if line and not line.startswith("--")),
        )
        for name, text in zip(pieces[::2], pieces[1::2], strict=True)
        for variant, sql in variants(name, text)
    ]


def prepare(name: str, sql: str, engine: Engine) -> NamedStatement:
    """Rewrite `:name` parameters as the engine wants them.

    Args:
        name: The statement's name.
        sql: The statement with `:name` parameters.
        engine: "sqlite" or "postgres".
    """
    parameters = tuple(dict.fromkeys(_PARAMETER.findall(sql)))
    if engine == "postgres":
        sql = _PARAMETER.sub(lambda match: f"${parameters.index(match[1]) + 1}", sql)
    return NamedStatement(name, sql, parameters)
