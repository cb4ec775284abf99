"""`openpns bindings export|import`, on the database."""

from typing import Final

import click

from openpns.accounts import customers
from openpns.bindings.transfer import export_rows, import_binding
from openpns.bulk.binding_files import read_rows, write_row
from openpns.bulk.files import open_source, open_target
from openpns.bulk.report import Report
from openpns.cli.exit_codes import ExitCode
from openpns.cli.groups.database_transfer import services_for
from openpns.cli.lazy import FILE_NAME
from openpns.cli.options import database_option, with_store
from openpns.cli.progress import progress
from openpns.cli.streams import change_result
from openpns.errors import WireError
from openpns.kit.plain_text import plain
from openpns.storage.store import Store

_TIMEOUT_MS: Final = 600_000

_customer_option = click.option("--customer", "customer_id", required=True, help="Whose bindings.")


@click.command()
@click.argument("file", type=FILE_NAME, metavar="FILE")
@_customer_option
@database_option
def export(file: str, customer_id: str, database: str) -> None:
    """Write the live bindings of a customer to a file (- for stdout), one JSON object per line."""

    async def work(store: Store) -> int:
        await customers.get(store, customer_id)
        with open_target(file) as out, progress("exporting") as shown:
            async for row in export_rows(services_for(store), customer_id):
                write_row(out, row)
                shown.done += 1
        return shown.done

    count = with_store(database, work, timeout_ms=_TIMEOUT_MS)
    click.echo(f"exported {count} bindings", err=True)


@click.command("import")
@click.argument("file", type=FILE_NAME, metavar="FILE")
@_customer_option
@database_option
def import_(file: str, customer_id: str, database: str) -> None:
    """Store bindings of a file (- for stdin) with their ids, virtual numbers and ends.

    The groups and virtual numbers must be there. Each binding is stored by itself: those that
    cannot be are reported by line, and the command can be run again.
    """
    report = Report(plain(file), lambda text: click.echo(plain(text), err=True))
    done = {"new": 0, "changed": 0, "same": 0}

    async def work(store: Store) -> None:
        await customers.get(store, customer_id)
        services = services_for(store)
        with open_source(file) as source, progress("importing") as shown:
            for line, row in read_rows(source, services.clock(), report.refuse):
                try:
                    done[await import_binding(services, customer_id, row)] += 1
                except WireError as error:
                    report.refuse(line, str(error))
                shown.done += 1

    try:
        with_store(database, work, timeout_ms=_TIMEOUT_MS)
    finally:
        with change_result():
            click.echo(
                f"bindings: {done['new']} new, {done['changed']} changed, {done['same']} the same"
            )
    if report.bad_lines:
        click.echo(f"bad rows: {len(report.bad_lines)}", err=True)
        raise SystemExit(ExitCode.FAILED)
