"""Opening a store from a URL, and bringing its tables up to date."""

from typing import TYPE_CHECKING

from openpns import limits
from openpns.errors import ConfigError
from openpns.storage import migrations
from openpns.storage.statements import Engine
from openpns.storage.store import database_path

if TYPE_CHECKING:
    from openpns.storage.store import Store


def engine_of(url: str) -> Engine:
    """Return the engine that a URL names.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`.

    Raises:
        ConfigError: The URL is another one.
    """
    return "postgres" if database_path(url) is None else "sqlite"


async def open_store(
    url: str,
    *,
    create: bool = False,
    timeout_ms: int = limits.STORAGE_TIMEOUT_MS,
    connections_max: int = limits.POSTGRES_CONNECTIONS_MAX,
    cached_rows_max: int = 0,
) -> "Store":
    """Open the database that a URL names.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`.
        create: Make an SQLite file where it is missing.
        timeout_ms: How long a statement, or waiting for one's turn, may take.
        connections_max: How many PostgreSQL connections this process may hold.
        cached_rows_max: How many rows that were looked up SQLite may keep while nothing changes.

    Raises:
        ConfigError: The URL is wrong, or the database cannot be opened.
    """
    path = database_path(url)
    # Each driver is loaded only where it is used.
    if path is not None:
        from openpns.storage.sqlite.store import SQLiteStore  # noqa: PLC0415

        return SQLiteStore(path, timeout_ms, create=create, cached_rows_max=cached_rows_max)
    from openpns.storage.postgres.store import PostgresStore  # noqa: PLC0415

    return await PostgresStore.open(url, timeout_ms, connections_max)


async def migrate(store: "Store", url: str) -> list[int]:
    """Apply the migrations that a database lacks; return their numbers.

    Args:
        store: The open database.
        url: Its URL; tells the engine.
    """
    return await store.migrate(migrations.load_migrations(engine_of(url)))


async def check_current(store: "Store", url: str) -> None:
    """Make sure that a database has the tables that this version works with.

    Args:
        store: The open database.
        url: Its URL; tells the engine.

    Raises:
        ConfigError: It is older or newer; the text has the command to run.
    """
    have, want = await store.schema_version(), migrations.newest(engine_of(url))
    if have < want:
        raise ConfigError(
            f"database: its migrations stand at {have}, this version needs {want}; run: "
            "openpns migrate --database URL"
        )
    if have > want:
        raise ConfigError(
            f"database: its migrations stand at {have}, this version knows {want}; a newer "
            "openpns has been here: run that version or a later one"
        )
