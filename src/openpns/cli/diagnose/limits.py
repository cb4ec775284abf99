"""`openpns limits`."""

import click

from openpns.cli.options import ServerOptions, json_option, server_options
from openpns.cli.output import print_json, print_table


@click.command()
@json_option
@server_options
def limits(*, as_json: bool, server: ServerOptions) -> None:
    """Show all limits of the access key, and their usage."""
    with server.open() as client:
        found = client.limits()
    if as_json:
        print_json(found)
        return
    print_table(
        ("limit", "max", "used"),
        [
            (
                name,
                "-" if limit.max is None else str(limit.max),
                "-" if limit.used is None else str(limit.used),
            )
            for name, limit in found.items()
        ],
        empty="the server reported no limits",
    )
