"""`openpns groups list`."""

from collections.abc import Iterator, Sequence
from itertools import islice

import click

from openpns import limits
from openpns.cli.groups import printing
from openpns.cli.options import ServerOptions, limit_option, server_options
from openpns.client.group_types import Group
from openpns.client.http import Client


@click.command("list")
@limit_option
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Skip this many groups.")
@printing.format_options
@server_options
def list_(limit: int | None, offset: int, form: str, server: ServerOptions) -> None:
    """List groups, oldest first."""
    with server.open() as client:
        pages = fetch_pages(client, limit, offset)
        printing.PRINTERS[form](pages, "no groups; create one with: openpns groups create")


def fetch_pages(client: Client, limit: int | None, offset: int) -> Iterator[Sequence[Group]]:
    """Return up to `limit` groups page by page, oldest first."""
    if not offset:
        yield from in_pages(client.groups.iterate(page_size(limit)), limit)
        return
    left = limit
    while left is None or left > 0:
        page = client.groups.list(limit=page_size(left), offset=offset)
        offset += len(page.groups)
        if page.groups:
            yield page.groups
        if not page.groups or offset >= page.total:
            return
        left = None if left is None else left - len(page.groups)


def page_size(limit: int | None) -> int:
    """Return how many groups to request at once."""
    return min(limit or limits.GROUPS_IN_PAGE_MAX, limits.GROUPS_IN_PAGE_MAX)


def in_pages(groups: Iterator[Group], limit: int | None) -> Iterator[Sequence[Group]]:
    """Return up to `limit` groups page by page, each page as soon as it is complete."""
    chosen = islice(groups, limit)
    while page := [*islice(chosen, page_size(limit))]:
        yield page
