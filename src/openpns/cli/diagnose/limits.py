"""`openpns limits`."""

import click

from openpns.cli.options import ServerOptions, json_option, server_options
from openpns.cli.output import print_json, print_table
from openpns.kit.plain_text import plain


@click.command()
@json_option
@server_options
def limits(*, as_json: bool, server: ServerOptions) -> None:
    """Show all limits of the access key, their usage, and the schemes that it may use."""
    with server.open() as client:
        found = client.limits()
    if as_json:
        print_json({"limits": found, "schemes": found.schemes})
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
    if found.schemes:
        click.echo(f"schemes: {plain(', '.join(found.schemes))}")
