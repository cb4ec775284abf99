"""Import and export of groups on the database, for operators."""

import os
import sys
from collections.abc import Iterator
from typing import Final

import click

from openpns.accounts import customers
from openpns.bulk.files import open_target, row_writer
from openpns.bulk.report import Report, count_text
from openpns.cli.groups.transfer import GroupFile
from openpns.cli.options import with_store
from openpns.cli.progress import progress
from openpns.cli.streams import change_result
from openpns.clock import now_ms
from openpns.core.context import Services
from openpns.errors import WireError
from openpns.groups import transfer
from openpns.groups.rows import RawRow
from openpns.groups.transfer import Imported
from openpns.ids import Snowflake
from openpns.kit.plain_text import plain
from openpns.server.config import load_settings
from openpns.storage.store import Store

_TIMEOUT_MS: Final = 120_000


class DatabaseImporter:
    """Writes rows as new groups of a customer."""

    def __init__(self, database: str, customer_id: str, report: Report) -> None:
        self._database = database
        self._customer_id = customer_id
        self._report = report
        self._line = 0
        self._done_before = 0
        """Rows before this line are written; 0 if none is."""

    def check(self, file: GroupFile, *, show: bool) -> str:  # noqa: ARG002
        """Check all rows, also against the database; return what would be done."""
        found = self._read(file, dry_run=True)
        return f"import {count_text(found.groups, found.phones)}"

    def write(self, file: GroupFile) -> None:
        """Write all good rows in batches, and print what was done."""
        try:
            found = self._read(file, dry_run=False)
        except (WireError, KeyboardInterrupt) as error:
            if self._done_before == 0:
                raise
            why = f" interrupted: {error.text};" if isinstance(error, WireError) else ""
            click.echo(
                plain(
                    f"openpns: {file.name}:{why} the good rows before line {self._done_before} are "
                    "imported"
                ),
                err=True,
            )
            if isinstance(error, WireError):
                sys.exit(error.exit_code)
            raise
        with change_result():
            click.echo(f"imported {count_text(found.groups, found.phones)}")

    def _read(self, file: GroupFile, *, dry_run: bool) -> Imported:
        def on_batch() -> None:
            # A batch is written after the row that follows it was read.
            self._done_before = 0 if dry_run else self._line

        async def work(store: Store) -> Imported:
            await customers.get(store, self._customer_id)
            with file.read("checking" if dry_run else "importing") as rows:
                return await transfer.import_rows(
                    services_for(store),
                    self._customer_id,
                    self._track(rows),
                    on_bad=lambda row: self._report.refuse(row.line, row.why),
                    on_batch=on_batch,
                    dry_run=dry_run,
                )

        return with_store(self._database, work, timeout_ms=_TIMEOUT_MS)

    def _track(self, rows: Iterator[RawRow]) -> Iterator[RawRow]:
        for line, columns in rows:
            self._line = line
            yield line, columns


def export_database(file: str, form: str, database: str, customer_id: str, *, guard: bool) -> int:
    """Write a customer's groups to a file, oldest first, in one snapshot; return how many."""

    async def work(store: Store) -> int:
        await customers.get(store, customer_id)
        with open_target(file) as out, progress("exporting") as shown:
            write = row_writer(out, form, guard=guard)
            async for row in transfer.export_rows(services_for(store), customer_id):
                write(row)
                shown.done += 1
        return shown.done

    return with_store(database, work, timeout_ms=_TIMEOUT_MS)


def services_for(store: Store) -> Services:
    """Return the services of a bulk operation, with the server's bounds from the environment."""
    settings = load_settings({"database": "-"}, os.environ)
    return Services(
        store,
        Snowflake(now_ms, worker_id=0),  # no request id is created: any worker id will do
        now_ms,
        settings.phones_in_group_max,
        settings.phones_in_request_max,
    )
