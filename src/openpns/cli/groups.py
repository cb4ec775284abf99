"""`openpns groups import|export`: in bulk, straight at the database, for the operator."""

import csv
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

from openpns.cli.database import database_option, with_store
from openpns.errors import ConfigError

if TYPE_CHECKING:
    from openpns.domain.bulk import BadRow, Imported
    from openpns.domain.calls import Services
    from openpns.storage.store import Store

_BAD_ROWS_SHOWN: Final = 20
_BULK_TIMEOUT_MS: Final = 120_000


@click.group()
def groups() -> None:
    """Import and export number groups in bulk."""


@groups.command("import")
@click.argument("file")
@click.option("--customer", "customer_id", required=True, help="Whose groups they become.")
@click.option("--dry-run", is_flag=True, help="Check every row and write nothing.")
@click.option("--keep-going", is_flag=True, help="Leave bad rows out and write the others.")
@database_option
def import_(file: str, customer_id: str, database: str, *, dry_run: bool, keep_going: bool) -> None:
    """Import groups from a CSV FILE (- for stdin) with columns groupId, groupName, phones, remark.

    Every row is checked first: one bad row, and nothing is written. groupId may be empty.
    """
    with _seekable(file) as source:
        found = None
        if dry_run or not keep_going:
            found = _pass(source, file, customer_id, database, dry_run=True)
        if dry_run and found is not None:
            click.echo(f"would import {_counts(found)}")
        elif found is not None and found.bad:
            click.echo("nothing was imported", err=True)
        else:
            found = _pass(source, file, customer_id, database, dry_run=False)
            click.echo(f"imported {_counts(found)}")
    if found is not None and found.bad:
        click.echo(f"bad rows: {found.bad}", err=True)
        sys.exit(1)


@groups.command("export")
@click.argument("file", default="-")
@click.option("--customer", "customer_id", required=True, help="Whose groups.")
@database_option
def export(file: str, customer_id: str, database: str) -> None:
    """Export a customer's groups to a CSV FILE (- for stdout), oldest first, in one snapshot."""
    from openpns.domain import bulk, customers

    async def work(store: "Store") -> int:
        await customers.get(store, customer_id)
        count = 0
        with _output(file) as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(bulk.COLUMNS)
            async for row in bulk.export_rows(services_for(store), customer_id):
                writer.writerow(row)
                count += 1
        return count

    count = with_store(database, work, timeout_ms=_BULK_TIMEOUT_MS)
    click.echo(f"exported {count} groups", err=True)


def _pass(
    source: IO[bytes], name: str, customer_id: str, database: str, *, dry_run: bool
) -> "Imported":
    """Go over the file once, with a progress bar."""
    import io

    from openpns.cli.group_file import read_csv
    from openpns.domain import bulk, customers

    size = source.seek(0, io.SEEK_END)
    source.seek(0)
    shown = 0

    def on_bad(row: "BadRow") -> None:
        nonlocal shown
        shown += 1
        if shown <= _BAD_ROWS_SHOWN:
            click.echo(f"{name}: line {row.line}: {row.why}", err=True)
        elif shown == _BAD_ROWS_SHOWN + 1:
            click.echo(f"{name}: more bad rows follow, not shown", err=True)

    async def work(store: "Store") -> "Imported":
        await customers.get(store, customer_id)
        text = io.TextIOWrapper(source, encoding="utf-8-sig", newline="")
        label = "checking" if dry_run else "importing"
        try:
            with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
                return await bulk.import_rows(
                    services_for(store),
                    customer_id,
                    read_csv(text, name),
                    on_bad=on_bad,
                    on_batch=lambda: bar.update(source.tell() - bar.pos),
                    dry_run=dry_run,
                )
        finally:
            text.detach()

    return with_store(database, work, timeout_ms=_BULK_TIMEOUT_MS)


def services_for(store: "Store") -> "Services":
    """Return what a bulk operation works with; bounds as the server's, from the environment.

    Args:
        store: The open database.
    """
    import os

    from openpns.clock import now_ms
    from openpns.domain.calls import Services
    from openpns.ids import Snowflake
    from openpns.server.config import load_settings

    settings = load_settings({"database": "-"}, os.environ)
    # No request id is made here, so that the node's number does not matter.
    return Services(
        store,
        Snowflake(now_ms, node=0),
        now_ms,
        settings.numbers_in_group_max,
        settings.numbers_in_request_max,
    )


def _counts(found: "Imported") -> str:
    return f"{found.groups} groups with {found.phones} numbers"


@contextmanager
def _seekable(file: str) -> Iterator[IO[bytes]]:
    """Open a file that is read twice; what comes from stdin is kept in one without a name."""
    if file != "-":
        try:
            with Path(file).open("rb") as source:
                yield source
        except OSError as error:
            raise ConfigError(f"{file}: cannot read it ({error.strerror})") from None
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        yield copy


@contextmanager
def _output(file: str) -> Iterator[IO[str]]:
    if file == "-":
        yield sys.stdout
        return
    try:
        with Path(file).open("w", encoding="utf-8", newline="") as out:
            yield out
    except OSError as error:
        raise ConfigError(f"{file}: cannot write it ({error.strerror})") from None
