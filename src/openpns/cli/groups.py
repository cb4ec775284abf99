"""`openpns groups import|export`: in bulk, straight at the database, for the operator."""

import csv
import sys
from typing import IO, TYPE_CHECKING, Final

import click

from openpns.cli.database import database_option, with_store
from openpns.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openpns.domain.bulk import BadRow, Imported, RawRow
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
    from openpns.cli.group_file import open_rows, open_source

    with open_source(file) as source:
        found = None
        if dry_run or not keep_going:
            found = _pass(source, file, customer_id, database, dry_run=True)
        else:  # a file that is no CSV in its middle must not be found so half imported
            with open_rows(source, file) as rows:
                for _ in rows:
                    pass
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
    from openpns.cli.group_file import open_target
    from openpns.domain import bulk, customers

    async def work(store: "Store") -> int:
        await customers.get(store, customer_id)
        count = 0
        with open_target(file) as out:
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

    from openpns.cli.group_file import open_rows
    from openpns.domain import bulk, customers

    size = source.seek(0, io.SEEK_END)
    progress = _Progress(name)

    async def work(store: "Store") -> "Imported":
        await customers.get(store, customer_id)
        label = "checking" if dry_run else "importing"
        with (
            open_rows(source, name) as rows,
            click.progressbar(length=size, label=label, file=sys.stderr) as bar,
        ):

            def on_batch() -> None:
                progress.on_batch()
                bar.update(source.tell() - bar.pos)

            return await bulk.import_rows(
                services_for(store),
                customer_id,
                progress.follow(rows),
                on_bad=progress.on_bad,
                on_batch=on_batch,
                dry_run=dry_run,
            )

    try:
        return with_store(database, work, timeout_ms=_BULK_TIMEOUT_MS)
    except WireError as error:
        if dry_run or progress.done_before == 0:
            raise
        raise click.ClickException(
            f"{name}: broken off: {error.text}; the good rows before line {progress.done_before} "
            "are imported"
        ) from error


class _Progress:
    """Tells the bad rows of an import as they come, and knows how far it got."""

    def __init__(self, name: str) -> None:
        self.done_before = 0
        """Rows before this line are written; 0 where none is."""
        self._name = name
        self._line = 0
        self._shown = 0

    def follow(self, rows: "Iterator[RawRow]") -> "Iterator[RawRow]":
        for line, columns in rows:
            self._line = line
            yield line, columns

    def on_bad(self, row: "BadRow") -> None:
        self._shown += 1
        if self._shown <= _BAD_ROWS_SHOWN:
            click.echo(f"{self._name}: line {row.line}: {row.why}", err=True)
        elif self._shown == _BAD_ROWS_SHOWN + 1:
            click.echo(f"{self._name}: more bad rows follow, not shown", err=True)

    def on_batch(self) -> None:
        # A batch is written when the row after it was read.
        self.done_before = self._line


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
