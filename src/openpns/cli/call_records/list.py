"""`openpns call-records list`."""

import click

from openpns.cli.call_records import printing
from openpns.cli.call_records.source import (
    filter_options,
    filters_of,
    place_of,
    place_options,
    read_pages,
)
from openpns.cli.options import ServerOptions, limit_option, server_options


@click.command("list")
@limit_option
@filter_options
@printing.format_options
@server_options
@place_options
@click.pass_context
def list_(
    context: click.Context,
    /,
    limit: int | None,
    form: str,
    server: ServerOptions,
    customer_id: str | None,
    database: str | None,
    bind_id: str | None,
    did: str | None,
    phone: str | None,
    since: int | None,
    until: int | None,
) -> None:
    """List call records, newest first.

    With --customer, those in the database; without, yours, through the API.
    """
    place = place_of(context, server, customer_id, database)
    filters = filters_of(bind_id=bind_id, did=did, phone=phone, since=since, until=until)
    printer = printing.Printer(form)
    read_pages(place, filters, printer.page, at_most=limit)
    printer.end()
