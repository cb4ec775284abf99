"""SQLite's write-ahead log: it holds pages as they were, deleted rows included."""

from contextlib import closing
from pathlib import Path
from typing import Final

from openpns.storage.sqlite.connections import open_file

_WAIT_MS: Final = 100
"""How long writes may wait for readers of older pages, and it for a write."""


def truncate(path: str) -> bool:
    """Copy the log to the database and empty it; return whether it is empty.

    It stays as it is while a longer read, such as of a large page or a backup, needs it.

    Raises:
        apsw.Error: It cannot be copied, such as to a full disk.
    """
    log = Path(f"{path}-wal")
    if not log.exists() or log.stat().st_size == 0:
        return True
    with closing(open_file(path, timeout_ms=_WAIT_MS)) as connection:
        connection.pragma("synchronous", "full")
        connection.pragma("fullfsync", True)
        is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
    return not is_busy
