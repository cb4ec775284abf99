"""Copy an SQLite database while it is written to, and replace a database by a copy.

A copy is a single file. It is written in the target's folder under another name, and renamed once
it is on disk: a file with the target's name is complete.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw

from openpns.errors import ConfigError, ReadFailed
from openpns.kit import atomic_file

_PAGES_EACH: Final = 256
"""How much is copied at once: 1 MiB."""

_SIDE_FILES: Final = ("-wal", "-shm", "-journal")
_ALLOWED: Final = "allowed is a file in a folder that exists and can be written"


@contextmanager
def draft_beside(target: Path) -> Iterator[Path]:
    """Create an empty file in the target's folder, with mode 0600; deleted after the block.

    Raises:
        ConfigError: No file can be created there.
    """
    try:
        with atomic_file.draft_beside(target, _SIDE_FILES) as draft:
            yield draft
    except OSError as error:
        raise ConfigError(f"cannot create {target}: {error.strerror}; {_ALLOWED}") from None


def copy(source: Path, target: Path) -> None:
    """Copy a snapshot of a database, in steps.

    Other processes may read and write it meanwhile. They do not wait for the copy, and their
    writes are not in it. The write-ahead log of the source grows until the copy is done. The
    target is an empty file.

    Raises:
        ConfigError: The source is not a database, or the target cannot be written.
        ReadFailed: The source is damaged.
    """
    if not source.is_file():
        raise ConfigError(f"{source}: there is no such file; allowed is an SQLite database")
    try:
        with closing(_open(source)) as origin, closing(_open(target)) as made:
            # One snapshot for all steps: without it, each write of another process would restart
            # the copy, and under steady writes it would never end.
            with _transaction(origin, "BEGIN"):
                origin.execute("SELECT count(*) FROM sqlite_schema").fetchall()
                with made.backup("main", origin, "main") as steps:
                    while not steps.done:
                        steps.step(_PAGES_EACH)
                        time.sleep(0)
            # The copy is in WAL mode, as the source is. In another mode it can also be read from a
            # read-only medium.
            made.pragma("journal_mode", "delete")
    except apsw.CorruptError:
        raise ReadFailed(f"{source}: the storage is damaged") from None
    except apsw.Error as error:
        raise ConfigError(f"{source}: cannot copy it: {error}") from None


def check_integrity(file: Path) -> list[str]:
    """Let SQLite read every page of a database; return what it found wrong."""
    try:
        with closing(_open(file)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
            found += [
                f"row of {table} refers to a missing row of {other}"
                for table, _, other, _ in connection.execute("PRAGMA foreign_key_check")
            ]
    except apsw.Error as error:
        return [str(error)]
    return [line for line in found if line != "ok"]


def seal(file: Path) -> int:
    """Make an opened database a single file again, on disk; return its bytes."""
    with closing(_open(file)) as connection:
        connection.pragma("journal_mode", "delete")
    atomic_file.sync(file)
    return file.stat().st_size


def put_in_place(draft: Path, target: Path, aside: Path) -> bool:
    """Replace a database by a draft, a single file on disk; return whether there was an old one.

    The old database gets the name `aside`.

    Raises:
        ConfigError: A process has the old database open.
    """
    with _exclusive(target):
        # SQLite would take what is left of an old log as the new database's.
        for suffix in _SIDE_FILES:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{target}{suffix}").rename(f"{aside}{suffix}")
        was_there = target.exists()
        if was_there:
            os.link(target, aside)  # so that there is always one
        atomic_file.publish(draft, target)
    return was_there


@contextmanager
def _exclusive(file: Path) -> Iterator[None]:
    """Make a database a single file, and lock out every other process."""
    if not file.exists():
        yield
        return
    with closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
        try:
            # Refused while any other connection is open, even one that does nothing.
            connection.pragma("journal_mode", "delete")
            connection.execute("BEGIN EXCLUSIVE")
        except (apsw.BusyError, apsw.LockedError):
            raise ConfigError(
                f"{file}: is open in another process; stop every server and command that uses it"
            ) from None
        except apsw.Error:
            pass  # damaged, or not a database: no process works with it
        yield


@contextmanager
def _transaction(connection: apsw.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def _open(file: Path) -> apsw.Connection:
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(5000)
    return connection
