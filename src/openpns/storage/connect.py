"""Open a store from a URL, and check its migrations and its schema."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from openpns import limits
from openpns.errors import ConfigError, InternalError
from openpns.storage import migrations
from openpns.storage.bounds import DEFAULT_BOUNDS, StorageBounds
from openpns.storage.migrations import Migration
from openpns.storage.statements import Engine
from openpns.storage.store import database_path

if TYPE_CHECKING:
    from openpns.storage.postgres.store import PostgresStore
    from openpns.storage.schema import Differences
    from openpns.storage.store import Guard, Store

_NO_RIGHT: Final = "42501"
"""PostgreSQL's code for a missing right."""

_NOT_DEFINED: Final = ("42P01", "42703", "42883")
"""Its codes for a missing table, column and function."""

_RIGHTS: Final = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE)\b")


def engine_of(url: str) -> Engine:
    """Return the engine that a URL names.

    Raises:
        ConfigError: It is not a URL of a database that openpns knows.
    """
    return "postgres" if database_path(url) is None else "sqlite"


async def open_store(
    url: str,
    *,
    create: bool = False,
    timeout_ms: int = limits.STORAGE_TIMEOUT_MS,
    connections_max: int = limits.POSTGRES_CONNECTIONS_MAX,
    cached_rows_max: int = 0,
    bounds: StorageBounds = DEFAULT_BOUNDS,
) -> "Store":
    """Open the database that a URL names; see `database_path`.

    Args:
        create: Create a missing SQLite file.
        timeout_ms: How long a statement, or the wait for a connection or lock, may take.
        connections_max: How many PostgreSQL connections this process may hold.
        cached_rows_max: How many rows of `get_cached` SQLite may cache.
        bounds: What one customer, and all together, may use at once.

    Raises:
        ConfigError: The URL is wrong, or the database cannot be opened.
    """
    path = database_path(url)
    # Each driver is imported only if it is used.
    if path is not None:
        from openpns.storage.sqlite.store import SQLiteStore  # noqa: PLC0415

        return SQLiteStore(
            path, timeout_ms, create=create, cached_rows_max=cached_rows_max, bounds=bounds
        )
    from openpns.storage.postgres.store import PostgresStore  # noqa: PLC0415

    return await PostgresStore.open(url, timeout_ms, connections_max, bounds)


@contextmanager
def explained_refusals() -> Iterator[None]:
    """Say what the database refuses: a missing right, or a table or column that it does not have.

    To a client of the server that is an internal error; an operator can do something about it.

    Raises:
        ConfigError: A statement of the block was refused for such a reason.
    """
    try:
        yield
    except InternalError as error:
        why = _refusal(error.__cause__)
        if why is None:
            raise
        raise ConfigError(f"database: {why}") from error


def _refusal(cause: BaseException | None) -> str | None:
    text = str(cause.args[0]) if cause is not None and cause.args else ""
    said = "".join(char if char.isprintable() else "\ufffd" for char in text)
    sqlstate = getattr(cause, "sqlstate", None)
    if sqlstate == _NO_RIGHT:
        # PostgreSQL names the table, but not the right.
        rights = set(_RIGHTS.findall(getattr(cause, "query", None) or ""))
        right = f" ({rights.pop()})" if len(rights) == 1 else ""
        return f"{said}{right}; grant that to the user of the URL, or use the owner of the tables"
    if sqlstate in _NOT_DEFINED or type(cause).__name__ == "SQLError":  # of SQLite's driver
        return f"{said}; its tables are not those of openpns: run openpns verify"
    return None


async def migrate(
    store: "Store", url: str, *, with_post: bool = False, guard: "Guard | None" = None
) -> list[Migration]:
    """Apply the missing migration steps and return them; see `Store.migrate`."""
    known = migrations.load_migrations(engine_of(url))
    return await store.migrate(known, with_post=with_post, guard=guard)


async def check_distribution(store: "Store", url: str) -> None:
    """Make sure that tables can be distributed over the nodes of Citus.

    Raises:
        ConfigError: The database is SQLite, or not the coordinator of Citus.
    """
    if engine_of(url) == "sqlite":
        raise ConfigError("--distribute: SQLite has no nodes; allowed with Citus only")
    await _as_postgres(store).check_distribution()


async def distribute(store: "Store", url: str, guard: "Guard | None" = None) -> bool:
    """Distribute the tables over the nodes of Citus; return whether any was not.

    The guard runs first if any is not, in the same transaction.

    Raises:
        ConfigError: See `check_distribution`; or Citus refuses.
    """
    await check_distribution(store, url)
    return await _as_postgres(store).distribute(guard)


async def can_distribute(store: "Store", url: str) -> bool:
    """Return whether the tables could be distributed over nodes of Citus, and are not."""
    return engine_of(url) == "postgres" and await _as_postgres(store).can_distribute()


def _as_postgres(store: "Store") -> "PostgresStore":
    from openpns.storage.postgres.store import PostgresStore  # noqa: PLC0415

    assert isinstance(store, PostgresStore)
    return store


async def check_current(store: "Store", url: str) -> None:
    """Make sure that a database has tables that this version can work with.

    `post` steps may be missing, and newer `pre` steps may be there.

    Raises:
        ConfigError: It is too old or too new; the text names the command to run.
    """
    known = migrations.load_migrations(engine_of(url))
    applied = await store.applied_migrations()
    migrations.refuse_marked(applied)
    unknown = migrations.find_unknown(known, applied)
    if unknown:
        raise ConfigError(
            f"database: has migration {unknown[-1].number}, which this version does not know; a "
            "newer openpns has been here: run that version or a later one"
        )
    keys = {(one.number, one.step) for one in applied}
    missing = [one.label for one in known if one.step != "post" and one.key not in keys]
    if missing:
        raise ConfigError(
            f"database: lacks migration {', '.join(missing)}; run: openpns migrate --database URL"
        )


async def grant_serving_role(url: str, role: str) -> None:
    """Give a PostgreSQL role exactly the rights that a server needs.

    Raises:
        ConfigError: The database is SQLite, or the role cannot be used.
    """
    if engine_of(url) == "sqlite":
        raise ConfigError("--serving-role: SQLite has no roles; allowed with PostgreSQL only")
    from openpns.storage.postgres import serving_role  # noqa: PLC0415

    await serving_role.grant(url, role)


async def find_schema_differences(store: "Store", url: str) -> "Differences":
    """Compare the database's objects with those that its migrations make."""
    return await store.find_schema_differences(migrations.load_migrations(engine_of(url)))


async def check_schema(store: "Store", url: str) -> list[str]:
    """Make sure that nothing was added to the tables, changed or removed, but by migrations.

    Returns:
        What an operator should know; a line of text for each.

    Raises:
        ConfigError: Something was; the text names the first object.
    """
    found = await find_schema_differences(store, url)
    if found.faults:
        more = len(found.faults) - 1
        raise ConfigError(
            f"database: {found.faults[0]}{f' (and {more} more)' if more else ''}; remove what is "
            "not made by openpns, or restore a backup; openpns verify lists everything"
        )
    notes = list(found.notes)
    if found.newer:
        notes.append(
            f"migration {', '.join(found.newer)} is of a newer version; what it added is unchecked"
        )
    return notes
