"""`openpns backup` and `openpns restore`, for SQLite."""

import itertools
import time
from collections.abc import Mapping
from pathlib import Path

import click

from openpns.accounts import master_key
from openpns.bindings import operations
from openpns.call_records import retention
from openpns.cli.lazy import UTF8_TEXT
from openpns.cli.operator.verify import format_counts, read_every_row, require_sound
from openpns.cli.options import DatabaseFile, database_option, master_key_variable, with_store
from openpns.cli.progress import progress
from openpns.cli.streams import change_result
from openpns.clock import now_ms
from openpns.copying import ends
from openpns.core import audit
from openpns.errors import ConfigError
from openpns.kit import atomic_file
from openpns.kit.interrupts import run_loop
from openpns.kit.plain_text import plain
from openpns.numbers.service import BINDINGS_MIGRATION
from openpns.storage import connect, migrations
from openpns.storage.sqlite import backup as files
from openpns.storage.store import database_path, database_url

_file = DatabaseFile()


@click.command()
@database_option
@click.option("--to", "target", required=True, type=_file, help="The file to create.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def backup(database: str, target: Path, *, force: bool) -> None:
    """Copy an SQLite database to a file.

    Servers may run meanwhile. The copy is one snapshot; it gets its name after every row was
    checked and it is on disk. Phones are in clear text, access secrets are encrypted. The master
    key is not in it: store it in another place.
    """
    source = _sqlite_file(database)
    if target.exists() and not force:
        raise ConfigError(f"--to: {target} exists; --force replaces it")
    with files.draft_beside(target) as draft:
        with progress("copying"):
            files.copy(source, draft)
        counts = _check_copy(draft, source, accept_newer=True)
        size = files.seal(draft)
        atomic_file.publish(draft, target)
    with change_result():
        click.echo(
            f"backed up to {plain(str(target))}: {size} bytes, every row checked: "
            f"{format_counts(counts)}"
        )
    key = master_key.key_file_of(database)
    place = master_key.VARIABLE if master_key_variable() or not (key and key.exists()) else key
    click.echo(f"the master key ({place}) is not in it: store a copy in another place", err=True)


def _free_name(name: str) -> Path:
    """Return a name that no file has: this one, or with a number after it."""
    numbers = itertools.count(2)
    path = Path(name)
    while path.exists():  # two restores in a second
        path = Path(f"{name}-{next(numbers)}")
    return path


@click.command()
@click.option("--from", "source", required=True, type=_file, help="The backup.")
@database_option
@click.option("--force", is_flag=True, help="Replace an existing database, which is renamed.")
def restore(source: Path, database: str, *, force: bool) -> None:
    """Restore a backup of an SQLite database, after checking every row of it.

    First stop every server that uses the database: the command fails while one has it open. An
    existing database needs --force; it gets another name. The master key is not in a
    backup: restore the one that belongs to it.
    """
    target = _sqlite_file(database)
    if target.exists() and not force:
        raise ConfigError(f"database: {target} exists; --force renames it first")
    aside = _free_name(f"{target}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    with files.draft_beside(target) as draft:
        with progress("copying"):
            files.copy(source, draft, read_only=True)
        counts = _check_copy(draft, source, accept_newer=False)
        _note_restore(draft, source)
        held = _hold_calls(draft)
        _skip_ids(draft)
        _forget_copy(draft)
        files.seal(draft)
        was_there = files.put_in_place(draft, target, aside)
    with change_result():
        click.echo(f"restored {plain(str(target))}; every row checked: {format_counts(counts)}")
        if was_there:
            click.echo(f"the old database is now {plain(str(aside))}")
    if held:
        click.echo(
            f"calls are held, customers: {held}: bindings that ended since the backup live "
            "again. End old ones with openpns bindings end, then run openpns bindings confirm",
            err=True,
        )
    if counts.get("deliveries"):
        click.echo(
            "deliveries to webhooks that were pending are sent again when a server starts; to "
            "check first: openpns webhooks disable",
            err=True,
        )
    _print_remaining_steps(database)


def _sqlite_file(database: str) -> Path:
    path = database_path(database)
    if path is None:
        raise ConfigError(
            "database: must be SQLite; for PostgreSQL use its own tools, see "
            "docs/operating/backup.md"
        )
    return Path(path)


def _check_copy(file: Path, name: Path, *, accept_newer: bool) -> Mapping[str, int]:
    """Check the schema and every row of a copy; rows of an older version in a migrated copy of it.

    Args:
        accept_newer: Steps of a newer version are not a problem, although they cannot be checked.
    """
    have = _schema_version(file)
    if have == 0:
        raise ConfigError(f"{name}: is not a database of openpns")
    if have >= migrations.newest():
        return _read(file, accept_newer=accept_newer)
    url = database_url(file)
    # First of all: migrating would run the triggers of the copy.
    with_store(url, lambda store: connect.check_schema(store, url), migrated=False)
    with files.draft_beside(file) as scratch:
        files.copy(file, scratch)
        scratch_url = database_url(scratch)
        with_store(scratch_url, lambda store: connect.migrate(store, scratch_url), migrated=False)
        return _read(scratch, accept_newer=accept_newer)


def _read(file: Path, *, accept_newer: bool) -> Mapping[str, int]:
    counts = read_every_row(database_url(file), accept_newer=accept_newer)
    require_sound(counts)
    return counts


def _note_restore(draft: Path, source: Path) -> None:
    """Add an audit entry, unless the copy is of an older version, which may have no trail."""
    if _schema_version(draft) >= migrations.newest():
        details = {"file": UTF8_TEXT.convert(source.name, None, None)}
        with_store(
            database_url(draft), lambda store: audit.record(store, "database.restore", details)
        )


def _hold_calls(draft: Path) -> int:
    """Let no call be connected; return how many customers have bindings."""
    if _schema_version(draft) < BINDINGS_MIGRATION:
        return 0
    return with_store(
        database_url(draft), lambda store: operations.hold(store, now_ms), migrated=False
    )


def _skip_ids(draft: Path) -> None:
    """Let no call record get the id of another one that was stored after the backup."""
    if _schema_version(draft) >= retention.CALL_RECORDS_MIGRATION:
        with_store(database_url(draft), retention.skip_ids, migrated=False)


def _forget_copy(draft: Path) -> None:
    """Let no copy of the old database go on with the restored one."""
    if _schema_version(draft) >= migrations.newest():
        run_loop(ends.forget_copy(draft))


def _schema_version(file: Path) -> int:
    applied = with_store(
        database_url(file), lambda store: store.applied_migrations(), migrated=False
    )
    return max((one.number for one in applied), default=0)


def _print_remaining_steps(database: str) -> None:
    """Print what a restored database needs before a server can use it."""
    try:
        mistake = with_store(
            database, lambda store: master_key.find_mistake(store, database, master_key_variable())
        )
    except ConfigError as error:  # not migrated; the text names the command
        mistake = str(error)
    if mistake is not None:
        click.echo(f"before a server can use it: {mistake}", err=True)
