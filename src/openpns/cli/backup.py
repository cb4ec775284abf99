"""`openpns backup` and `openpns restore`: an SQLite database as one file, and back."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import click

from openpns.cli.database import database_option, master_key_variable, with_store
from openpns.cli.verify import in_words, read_every_row, require_sound
from openpns.errors import ConfigError

_file = click.Path(dir_okay=False, path_type=Path)


@click.command()
@database_option
@click.option("--to", "target", required=True, type=_file, help="The file to make.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def backup(database: str, target: Path, *, force: bool) -> None:
    """Copy an SQLite database to a file, also while it is served, and read the copy through.

    The copy is the database as it was at one moment. It gets its name only once every row of it
    was read and it is on disk. It holds phone numbers in clear, and access secrets that only the
    master key opens. The master key is not in it: keep that in another place.
    """
    from openpns.accounts import master_key
    from openpns.storage.sqlite import backup

    source = _sqlite_file(database)
    if target.exists() and not force:
        raise ConfigError(f"--to: {target} is there already; --force replaces it")
    with backup.draft_beside(target) as draft:
        backup.copy(source, draft)
        counts = _check_copy(draft, source)
        size = backup.seal(draft)
        backup.publish(draft, target)
    click.echo(f"backed up to {target}: {size} bytes, every row read: {in_words(counts)}")
    key = master_key.key_file_of(database)
    where = master_key.VARIABLE if master_key_variable() or not (key and key.exists()) else key
    click.echo(f"the master key ({where}) is not in it: keep a copy in another place", err=True)


@click.command()
@click.option("--from", "source", required=True, type=_file, help="The file that backup made.")
@database_option
@click.option("--force", is_flag=True, help="Take the place of a database, which is kept aside.")
def restore(source: Path, database: str, *, force: bool) -> None:
    """Put a backup in its place, after every row of it was read.

    Stop every server that uses the database first: while one has it open, nothing is done. A
    database that is there already is left alone; with --force it gets another name and is kept.
    The master key is not in a backup: put the one back that belongs to it.
    """
    from openpns.storage.sqlite import backup

    target = _sqlite_file(database)
    if target.exists() and not force:
        raise ConfigError(
            f"database: {target} is there already; --force keeps it under another name"
        )
    aside = Path(f"{target}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    with backup.draft_beside(target) as draft:
        backup.copy(source, draft)
        counts = _check_copy(draft, source)
        _note_restore(draft, source)
        backup.seal(draft)
        was_there = backup.put_in_place(draft, target, aside)
    click.echo(f"restored {target}; every row read: {in_words(counts)}")
    if was_there:
        click.echo(f"the old database is kept as {aside}")
    _tell_what_is_left(database)


def _sqlite_file(database: str) -> Path:
    from openpns.storage.store import database_path

    path = database_path(database)
    if path is None:
        raise ConfigError(
            "database: allowed is an SQLite one; for PostgreSQL use its own tools, as "
            "docs/operating/backup.md shows"
        )
    return Path(path)


def _check_copy(file: Path, name: Path) -> Mapping[str, int]:
    """Read every row of a copy; one of an older version by way of another copy, migrated."""
    from openpns.storage import connect, migrations
    from openpns.storage.sqlite import backup

    have = _schema_version(file)
    if have == 0:
        raise ConfigError(f"{name}: is no database of openpns")
    if have >= migrations.newest():
        return _read(file)

    async def migrate(url: str) -> None:
        store = await connect.open_store(url)
        try:
            await connect.migrate(store, url)
        finally:
            await store.close()

    with backup.draft_beside(file) as scratch:
        backup.copy(file, scratch)
        asyncio.run(migrate(f"sqlite:///{scratch}"))
        return _read(scratch)


def _read(file: Path) -> Mapping[str, int]:
    counts = read_every_row(f"sqlite:///{file}")
    require_sound(counts)
    return counts


def _note_restore(draft: Path, source: Path) -> None:
    """Add an entry to the audit trail; a copy of an older version may not have one yet."""
    from openpns.core import audit
    from openpns.storage import migrations

    if _schema_version(draft) >= migrations.newest():
        with_store(
            f"sqlite:///{draft}",
            lambda store: audit.record(store, "database.restore", {"file": source.name}),
        )


def _schema_version(file: Path) -> int:
    from openpns.storage import connect

    async def read() -> int:
        store = await connect.open_store(f"sqlite:///{file}")
        try:
            return max((one.number for one in await store.applied_migrations()), default=0)
        finally:
            await store.close()

    return asyncio.run(read())


def _tell_what_is_left(database: str) -> None:
    """Say what a restored database needs before it can be served."""
    from openpns.accounts import master_key

    try:
        mistake = with_store(
            database,
            lambda store: master_key.find_mistake(store, database, master_key_variable()),
        )
    except ConfigError as error:  # its migrations are not current; the text has the command
        mistake = str(error)
    if mistake is not None:
        click.echo(f"before it can be served: {mistake}", err=True)
