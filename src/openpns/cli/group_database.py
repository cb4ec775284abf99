"""Import and export of groups straight at the database, for the operator."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from openpns.cli.database import with_store
from openpns.cli.exit_codes import exit_code_of
from openpns.cli.group_file import open_target, row_writer
from openpns.cli.group_report import GroupFile, Report, counts
from openpns.errors import WireError
from openpns.groups.rows import RawRow

if TYPE_CHECKING:
    from openpns.core.context import Services
    from openpns.groups.transfer import Imported
    from openpns.storage.store import Store

_BULK_TIMEOUT_MS: Final = 120_000


class DatabaseImporter:
    """Writes rows as new groups of a customer.

    Args:
        database: The database's URL.
        customer_id: Whose groups they become.
    """

    def __init__(self, database: str, customer_id: str) -> None:
        self._database = database
        self._customer_id = customer_id
        self._line = 0
        self._done_before = 0
        """Rows before this line are written; 0 where none is."""

    def check(self, file: GroupFile, report: Report, *, show: bool) -> str:  # noqa: ARG002
        """Check every row against the database too.

        Args:
            file: The file.
            report: Told the bad rows.
            show: Nothing more is shown: every good row becomes a new group.
        """
        found = self._pass(file, report, dry_run=True)
        return f"import {counts(found.groups, found.phones)}"

    def write(self, file: GroupFile, report: Report) -> None:
        """Write every good row, in batches.

        Args:
            file: The file.
            report: Told rows that are found bad only now.
        """
        try:
            found = self._pass(file, report, dry_run=False)
        except WireError as error:
            if self._done_before == 0:
                raise
            click.echo(
                f"openpns: {file.name}: broken off: {error.text}; the good rows before line "
                f"{self._done_before} are imported",
                err=True,
            )
            sys.exit(exit_code_of(error))
        click.echo(f"imported {counts(found.groups, found.phones)}")

    def _pass(self, file: GroupFile, report: Report, *, dry_run: bool) -> "Imported":
        from openpns.accounts import customers
        from openpns.groups import transfer

        async def work(store: "Store") -> "Imported":
            await customers.get(store, self._customer_id)
            with file.go_over("checking" if dry_run else "importing") as (rows, move):

                def on_batch() -> None:
                    # A batch is written when the row after it was read.
                    self._done_before = 0 if dry_run else self._line
                    move()

                return await transfer.import_rows(
                    services_for(store),
                    self._customer_id,
                    self._follow(rows),
                    on_bad=lambda row: report.refuse(row.line, row.why),
                    on_batch=on_batch,
                    dry_run=dry_run,
                )

        return with_store(self._database, work, timeout_ms=_BULK_TIMEOUT_MS)

    def _follow(self, rows: Iterator[RawRow]) -> Iterator[RawRow]:
        for line, columns in rows:
            self._line = line
            yield line, columns


def export_database(file: str, form: str, database: str, customer_id: str) -> int:
    """Write a customer's groups to a file, oldest first, in one snapshot; return how many.

    Args:
        file: Its name; - for stdout.
        form: "csv" or "jsonl".
        database: The database's URL.
        customer_id: Whose groups.
    """
    from openpns.accounts import customers
    from openpns.groups import transfer

    async def work(store: "Store") -> int:
        await customers.get(store, customer_id)
        count = 0
        with open_target(file) as out:
            write = row_writer(out, form)
            async for row in transfer.export_rows(services_for(store), customer_id):
                write(row)
                count += 1
        return count

    return with_store(database, work, timeout_ms=_BULK_TIMEOUT_MS)


def services_for(store: "Store") -> "Services":
    """Return what a bulk operation works with; bounds as the server's, from the environment.

    Args:
        store: The open database.
    """
    import os

    from openpns.clock import now_ms
    from openpns.core.context import Services
    from openpns.ids import Snowflake
    from openpns.server.config import load_settings

    settings = load_settings({"database": "-"}, os.environ)
    # No request id is made here, so that the node's number does not matter.
    return Services(
        store,
        Snowflake(now_ms, worker_id=0),
        now_ms,
        settings.phones_in_group_max,
        settings.phones_in_request_max,
    )
