"""`openpns limits`: every bound that applies to the access key, and how much of it is used."""

import click

from openpns.cli.output import json_option, plain, print_json, print_table
from openpns.cli.profile import Target, client_options, open_client


@click.command()
@json_option
@client_options
def limits(*, as_json: bool, target: Target) -> None:
    """Show every bound that applies to the access key, and how much of it is used."""
    with open_client(target) as client:
        found = client.limits()
    if as_json:
        print_json(found)
        return
    print_table(
        ("limit", "max", "used"),
        [
            (
                plain(name),
                "-" if limit.max is None else str(limit.max),
                "-" if limit.used is None else str(limit.used),
            )
            for name, limit in found.items()
        ],
        empty="the server named no limits",
    )
