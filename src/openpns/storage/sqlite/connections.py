"""The settings that every connection to an SQLite file has."""

import os
import time
from typing import Final

import apsw

from openpns.errors import ConfigError

_BUSY_TIMEOUT_MS: Final = 5000


def open_file(
    path: str, *, flags: int = apsw.SQLITE_OPEN_READWRITE, timeout_ms: int = _BUSY_TIMEOUT_MS
) -> apsw.Connection:
    """Open a database and secure the connection.

    Raises:
        apsw.Error: It cannot be opened.
        ConfigError: Its name is not UTF-8.
    """
    connection = apsw.Connection(sqlite_name(path), flags=flags)
    try:
        connection.set_busy_timeout(timeout_ms)
        secure(connection)
    except BaseException:
        connection.close(True)
        raise
    return connection


def enter_wal(connection: apsw.Connection, timeout_ms: int) -> None:
    """Turn WAL on; if two do so at once in a new file, SQLite fails one without waiting."""
    give_up_s = time.monotonic() + timeout_ms / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(0.01)
        else:
            return


def sqlite_name(path: str) -> str:
    """Return SQLite's name of a file: it writes names in UTF-8, Python as the locale says.

    Raises:
        ConfigError: It has none.
    """
    try:
        return os.fsencode(path).decode()
    except UnicodeError:
        raise ConfigError(f"{path}: the name of an SQLite file must be UTF-8") from None


def secure(connection: apsw.Connection) -> None:
    """Trust nothing that a file brings, and leave nothing behind that was deleted.

    - Views, triggers, defaults and indexes of the file may call harmless functions only.
    - No statement can write to the file past SQLite's own rules.
    - Cells of a page are checked before they are used.
    - Deleted rows are overwritten with zeros. FAST would leave them in pages that became free.
    """
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.pragma("cell_size_check", True)
    connection.pragma("secure_delete", True)


def keep_in_memory(connection: apsw.Connection) -> apsw.Connection:
    """Keep in memory what statements of a connection materialise, which must be little.

    For a temporary file SQLite allocates and clears a cache of 100 pages in each statement, even if
    nothing is ever written to it. That may take ten times as long as the statement.
    """
    connection.pragma("temp_store", "memory")
    return connection
