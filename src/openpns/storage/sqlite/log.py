"""SQLite's write-ahead log: it holds pages as they were, deleted rows included."""

from contextlib import closing
from pathlib import Path
from typing import Final

from openpns.storage.bounds import StorageSizes
from openpns.storage.sqlite.connections import open_file

_WAIT_MS: Final = 100
"""How long it waits for a write, and for reads of older pages, which makes writes wait as long."""


def sizes(path: str) -> StorageSizes:
    """Return the sizes of a database and its log; 0 for a file that does not exist."""
    return StorageSizes(_size(path), _size(f"{path}-wal"))


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def truncate(path: str) -> bool:
    """Copy the log to the database and empty it; return whether it is empty.

    It stays as it is while a longer read, such as of a large page or a backup, needs it.

    Raises:
        apsw.Error: It cannot be copied, such as to a full disk.
    """
    if sizes(path).log == 0:
        return True
    with closing(open_file(path, timeout_ms=_WAIT_MS)) as connection:
        connection.pragma("synchronous", "full")
        connection.pragma("fullfsync", True)
        # Most is copied while writes go on; they wait for the rest only.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
    return not is_busy
