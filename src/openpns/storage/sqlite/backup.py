"""Copy an SQLite database while it is written to, and replace a database by a copy.

A copy is a single file. It is written in the target's folder under another name, and renamed once
it is on disk: a file with the target's name is complete.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw

from openpns.errors import ConfigError, ReadFailed
from openpns.kit import atomic_file
from openpns.storage.sqlite.connections import open_file, sqlite_name
from openpns.storage.sqlite.errors import FAILURES, describe

_STEPS_EACH: Final = 100_000
"""Steps of SQLite's virtual machine, some ms, after which a long statement looks for a signal."""

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


def copy(source: Path, target: Path, *, read_only: bool = False) -> None:
    """Copy a snapshot of a database, without what was deleted from it.

    Other processes may read and write it meanwhile. They do not wait for the copy, and their
    writes are not in it. The write-ahead log of the source grows until the copy is done. The
    target is an empty file, and stays as private as it is.

    Args:
        read_only: Open the source for reading only, also if it may be written.

    Raises:
        ConfigError: The source is not a database, or the target cannot be written.
        ReadFailed: The source is damaged.
    """
    if not source.is_file():
        raise ConfigError(f"{source}: there is no such file; allowed is an SQLite database")
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    try:
        with (
            closing(open_file(str(source), flags=flags)) as connection,
            contextlib.ExitStack() as stack,
        ):
            connection.set_progress_handler(lambda: _go_on(), _STEPS_EACH)  # noqa: PLW0108
            # Private, even if SQLite made a file of its own.
            stack.callback(os.umask, os.umask(0o077))
            # It writes rows, not pages: a page that is free or half empty may hold deleted phones.
            connection.execute("VACUUM INTO ?", (sqlite_name(str(target)),))
    except (apsw.CorruptError, UnicodeDecodeError):
        raise ReadFailed(f"{source}: the storage is damaged") from None
    except apsw.Error as error:
        raise ConfigError(f"{source}: cannot copy it: {describe(error)}") from None
    if target.stat().st_size == 0:
        raise ReadFailed(f"{source}: the copy is empty")


def _go_on() -> bool:
    """Let Python act on Ctrl-C, which it does when a function of it is called."""
    return False


def check_integrity(file: Path) -> list[str]:
    """Let SQLite read every page of a database; return what it found wrong."""
    try:
        with closing(open_file(str(file))) as connection:
            connection.set_progress_handler(_go_on, _STEPS_EACH)
            rows = connection.execute("PRAGMA integrity_check(20)")
            found = [line for row in rows for line in str(row[0]).splitlines()]
            found += [
                f"row of {table} refers to a missing row of {other}"
                for table, _, other, _ in connection.execute("PRAGMA foreign_key_check")
            ]
    except FAILURES as error:
        return [describe(error)]
    return [line for line in found if line != "ok"]


def seal(file: Path) -> int:
    """Make an opened database a single file again, on disk; return its bytes."""
    with closing(open_file(str(file))) as connection:
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
    with closing(open_file(str(file), timeout_ms=0)) as connection:
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
