"""Named statements: reads the `.sql` files and prepares them for an engine.

A statement is a `-- name` line, a line that says its purpose, option lines, then the SQL with
`:name` parameters. `groups.sql` is for both engines; `groups.sqlite.sql` and `groups.postgres.sql`
hold what the engines need to write differently. `groups.citus.sql` holds what replaces statements
of PostgreSQL on Citus, because it cannot run them or would ask every node.

Options of a statement:

- `-- rows: json`: many small rows without bytes. SQLite returns them as one JSON text.
- `-- cached: name`: finds one row by one value, the parameter and column `name`; for
  `Store.get_cached`. On PostgreSQL the statement takes many values at once.
- `-- owner: statement`: on Citus, for one that is `cached`. The named statement finds the customers
  of its values, which it takes as the parameter `customer_ids`.
- `-- batch: name`: a small read that comes very often. On PostgreSQL those with the same value of
  the parameter `name`, a customer, share round trips.
- `-- search: name`: may read very many rows. It runs where it stalls nothing else, and only so
  many at once for each value of the parameter `name`.
- `-- search-far: name`: the statement is also named `statement:far`, and is a search by that name:
  for parameters with which it reads very many rows.
- `-- function: module:attribute`: the attribute registers SQL functions that the statement calls
  with an SQLite connection.
- `-- fragments: module:attribute`: the attribute is a mapping from variant to fragments, which
  replace `{name}` in the SQL. Each variant is a statement, named `statement:variant`; the
  variant "" keeps the statement's name.
- `-- until-migration: number`: reads tables as they were before a migration.
"""

import importlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Engine = Literal["sqlite", "postgres"]
Dialect = Literal["sqlite", "postgres", "citus"]
"""What statements are written for: Citus takes those of PostgreSQL, but for some."""

_NAME: Final = re.compile(r"^-- ([a-z][a-z0-9_]*)$", re.MULTILINE)
_OPTION: Final = re.compile(
    r"^-- (rows|cached|owner|batch|search|search-far|function|fragments|until-migration): (\S+)$",
    re.MULTILINE,
)
_FRAGMENT: Final = re.compile(r"\{([a-z_]+)\}")
# `::` is a cast in PostgreSQL, not a parameter.
_PARAMETER: Final = re.compile(r"(?<!:):([a-z][a-z0-9_]*)")
_ARGUMENT: Final = re.compile(r"\$([0-9]+)")
_ROWS: Final = re.compile(r"\s*(SELECT|WITH)\b|.*\bRETURNING\b", re.DOTALL)


class NamedStatement(msgspec.Struct, frozen=True):
    """A statement as an engine runs it."""

    name: str
    sql: str
    """With `:name` parameters for SQLite, `$n` for PostgreSQL."""
    parameters: tuple[str, ...]
    """The parameters' names, in the order of their `$n`."""
    has_rows: bool = True
    """Whether it returns rows; else it only changes some."""
    has_json_rows: bool = False
    cache_key: str | None = None
    """The parameter and column of a statement for `Store.get_cached`."""
    owner_of: str | None = None
    """The statement that finds the customers of the values."""
    batch_owner: str | None = None
    """The parameter that names whose reads share round trips; None if they do not."""
    search_owner: str | None = None
    """The parameter that names whose search it is; None if it is not a search."""
    function: str | None = None
    """`module:attribute` that registers the SQLite functions which the statement calls."""
    until_migration: int | None = None


def load_statements(dialect: Dialect) -> dict[str, NamedStatement]:
    """Return the statements of an engine by name, in a dict of the caller's own.

    Raises:
        ValueError: Two statements have the same name, or an option does not fit its statement.
    """
    root: Any = resources.files("openpns")  # hashable, which its type does not say
    if dialect == "citus":
        return _load("postgres", root) | _load("postgres", root, "citus")
    return dict(_load(dialect, root))


# A process may open many stores, as tests with emulators do.
@cache
def _load(
    engine: Engine, root: "Traversable", only: Dialect | None = None
) -> dict[str, NamedStatement]:
    """Return the statements of an engine, or those of the files of one dialect only."""
    statements: dict[str, NamedStatement] = {}
    packages = [entry for entry in root.iterdir() if entry.is_dir()]
    files = [
        file
        for package in packages
        for file in package.iterdir()
        if file.name.endswith(".sql") and file.is_file()
    ]
    wanted = ("", engine) if only is None else (only,)
    for file in sorted(files, key=lambda entry: entry.name):
        if "".join(file.name.split(".")[1:-1]) not in wanted:
            continue
        for statement in parse(file.read_text("utf-8"), engine):
            if statement.name in statements:
                raise ValueError(f"two statements have the name {statement.name}")
            statements[statement.name] = statement
    return statements


def parse(text: str, engine: Engine) -> list[NamedStatement]:
    """Return the statements of a file's text."""
    pieces = _NAME.split(text)[1:]
    found = []
    for name, block in zip(pieces[::2], pieces[1::2], strict=True):
        options = dict(_OPTION.findall(block))
        for variant, sql in _variants(_without_comments(block), options):
            found.append(prepare(f"{name}:{variant}" if variant else name, sql, engine, options))
        if "search-far" in options:
            as_search = options | {"search": options["search-far"]}
            found.append(prepare(f"{name}:far", _without_comments(block), engine, as_search))
    return found


def prepare(
    name: str, sql: str, engine: Engine, options: dict[str, str] | None = None
) -> NamedStatement:
    """Rewrite a statement's `:name` parameters for an engine.

    Raises:
        ValueError: An option does not fit the statement.
    """
    options = options or {}
    cache_key = options.get("cached")
    if cache_key is not None:
        one = f"= :{cache_key}"
        if sql.count(one) != 1:
            raise ValueError(f"statement {name} must contain {one!r} once")
        if engine == "postgres":
            sql = sql.replace(one, f"= ANY(CAST(:{cache_key} AS text[]))")
    parameters = tuple(dict.fromkeys(_PARAMETER.findall(sql)))
    if engine == "postgres":
        sql = _PARAMETER.sub(lambda match: f"${parameters.index(match[1]) + 1}", sql)
    until = options.get("until-migration")
    return NamedStatement(
        name,
        sql,
        parameters,
        has_rows=_ROWS.match(sql) is not None,
        has_json_rows=options.get("rows") == "json",
        cache_key=cache_key,
        owner_of=options.get("owner"),
        batch_owner=options.get("batch"),
        search_owner=options.get("search"),
        function=options.get("function"),
        until_migration=None if until is None else int(until),
    )


def combine(statements: Sequence[NamedStatement]) -> NamedStatement:
    """Return one PostgreSQL statement that runs several.

    It returns one row, with an array of the rows of each; NULL stands for no rows, and true for a
    statement that never returns any. Those that return rows run first, in their order. All of them
    see the snapshot from before the first.
    """
    parts, results = [], []
    parameters: list[str] = []
    for place, one in enumerate(statements, 1):
        first = len(parameters)
        # The lambda is called in this turn of the loop.
        sql = _ARGUMENT.sub(lambda match: f"${first + int(match[1])}", one.sql)  # noqa: B023
        parts.append(f"s{place} AS ({sql})")
        # What changes rows runs when its result is read, or at the end if that is never read.
        rows = f"(SELECT array_agg(s{place}) FROM s{place})"  # noqa: S608 - ours
        results.append(rows if one.has_rows else "true")
        parameters += one.parameters
    name = "+".join(one.name for one in statements)
    return NamedStatement(
        name, f"WITH {', '.join(parts)}\nSELECT {', '.join(results)}", tuple(parameters)
    )


def load_attribute(path: str) -> Any:
    """Return what a `module:attribute` of an option names."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _variants(sql: str, options: dict[str, str]) -> list[tuple[str, str]]:
    if "fragments" not in options:
        return [("", sql)]
    return [
        (variant, _FRAGMENT.sub(lambda match: fragments[match[1]], sql))  # noqa: B023
        for variant, fragments in load_attribute(options["fragments"]).items()
    ]


def _without_comments(block: str) -> str:
    return "\n".join(line for line in block.splitlines() if line and not line.startswith("--"))
