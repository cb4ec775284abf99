"""`openpns groups find`: groups by what they hold. Only openpns can find groups."""

import sys
from typing import TYPE_CHECKING

import click

from openpns import limits
from openpns.cli.profile import Target, client_options, open_client

if TYPE_CHECKING:
    from openpns.client.group_types import Order


@click.command()
@click.option("--phone", help="Only groups that hold this number; - reads it from stdin.")
@click.option("--name", help="Only groups whose name begins so, in upper or lower case.")
@click.option("--id", "group_id", help="Only the group with this id.")
@click.option(
    "--order",
    type=click.Choice(["oldest", "newest", "name"]),
    help="Which come first; oldest where not given.",
)
@click.option("--limit", type=click.IntRange(min=0), help="At most so many; all where not given.")
@click.option("--json", "form", flag_value="json", help="Print a JSON array.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV, as groups import reads it.")
@click.option("-q", "--quiet", "form", flag_value="ids", help="Print ids only.")
@client_options
def find(
    phone: str | None,
    name: str | None,
    group_id: str | None,
    order: "Order | None",
    limit: int | None,
    form: str | None,
    target: Target,
) -> None:
    """Find groups by number, name or id; where several are given, all must fit."""
    from openpns.cli import group_list

    if phone == "-":
        phone = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    asked = min(limit or limits.GROUPS_IN_PAGE_MAX, limits.GROUPS_IN_PAGE_MAX)
    with open_client(target) as client:
        # Always sent with an order, so that a server that does not know these fields is an error.
        groups = client.groups.iterate(
            asked, phone=phone, name=name, group_id=group_id, order=order or "oldest"
        )
        pages = group_list.in_pages(groups, asked, limit)
        group_list.PRINTERS[form or "table"](pages, "no group fits")
