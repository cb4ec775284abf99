"""`openpns bindings list`."""

from collections.abc import Iterator, Sequence
from itertools import islice

import click

from openpns import limits
from openpns.bindings.wire import KINDS
from openpns.cli.bindings import printing
from openpns.cli.bindings.options import own_id_option
from openpns.cli.options import ServerOptions, limit_option, server_options
from openpns.client.binding_types import Binding


@click.command("list")
@limit_option
@click.option("--phone", help="Only those that name this phone in any role.")
@click.option("--did", help="Only those on this virtual number.")
@click.option("--group", "group_id", help="Only those of this group.")
@click.option("--kind", type=click.Choice(KINDS), help="Only those of this kind.")
@own_id_option
@printing.format_options
@server_options
def list_(
    limit: int | None,
    own_id: str | None,
    form: str,
    server: ServerOptions,
    **filters: str | None,
) -> None:
    """List live bindings, oldest first."""
    size = min(limit or limits.BINDINGS_IN_PAGE_MAX, limits.BINDINGS_IN_PAGE_MAX)
    with server.open() as client:
        found = client.bindings.iterate(
            size,
            customer_bind_id=own_id,
            **filters,  # type: ignore[arg-type]
        )
        printing.PRINTERS[form](
            _in_pages(islice(found, limit), size),
            "no live bindings; make one with: openpns bindings axb",
        )


def _in_pages(found: Iterator[Binding], size: int) -> Iterator[Sequence[Binding]]:
    while page := [*islice(found, size)]:
        yield page
