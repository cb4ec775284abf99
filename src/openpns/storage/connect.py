"""Open a store from a URL, and check its migrations."""

from typing import TYPE_CHECKING

from openpns import limits
from openpns.errors import ConfigError
from openpns.storage import migrations
from openpns.storage.bounds import DEFAULT_BOUNDS, StorageBounds
from openpns.storage.migrations import Migration
from openpns.storage.statements import Engine
from openpns.storage.store import database_path

if TYPE_CHECKING:
    from openpns.storage.store import Guard, Store


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


async def migrate(
    store: "Store", url: str, *, with_post: bool = False, guard: "Guard | None" = None
) -> list[Migration]:
    """Apply the missing migration steps and return them; see `Store.migrate`."""
    known = migrations.load_migrations(engine_of(url))
    return await store.migrate(known, with_post=with_post, guard=guard)


async def check_current(store: "Store", url: str) -> None:
    """Make sure that a database has tables that this version can work with.

    `post` steps may be missing, and newer `pre` steps may be there.

    Raises:
        ConfigError: It is too old or too new; the text names the command to run.
    """
    known = migrations.load_migrations(engine_of(url))
    applied = await store.applied_migrations()
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
