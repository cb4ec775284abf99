"""`openpns groups find`. Only openpns can find groups."""

import sys

import click

from openpns.cli.groups import printing
from openpns.cli.groups.list import in_pages, page_size
from openpns.cli.options import ServerOptions, limit_option, server_options
from openpns.client.group_types import Order


@click.command()
@click.option("--phone", help="Only groups with this phone; - reads it from stdin.")
@click.option("--name", help="Only groups whose name begins so, in upper or lower case.")
@click.option("--id", "group_id", help="Only the group with this id.")
@click.option(
    "--order",
    type=click.Choice(["oldest", "newest", "name"]),
    default="oldest",
    show_default=True,
    help="Which groups come first.",
)
@limit_option
@printing.format_options
@server_options
def find(
    phone: str | None,
    name: str | None,
    group_id: str | None,
    order: Order,
    limit: int | None,
    form: str,
    server: ServerOptions,
) -> None:
    """Find groups by phone, name or id; if several are given, all must match."""
    if phone == "-":
        phone = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    with server.open() as client:
        # An order is always sent, so that a server that does not know these fields answers 1002.
        groups = client.groups.iterate(
            page_size(limit), phone=phone, name=name, group_id=group_id, order=order
        )
        printing.PRINTERS[form](in_pages(groups, limit), "no group matches")
