"""`openpns serve`."""

import os
from typing import Any

import click

from openpns.cli.server.options import config_option, settings_options
from openpns.server.config import load_settings
from openpns.server.settings import FIELDS


@click.command()
@config_option
@click.option("--no-cache", is_flag=True, help="The same as --cache-bytes-max 0.")
@settings_options(FIELDS)
def serve(config: str | None, *, no_cache: bool, **arguments: Any) -> None:
    """Run the server until Ctrl-C or SIGTERM."""
    from openpns.server.run import run  # needs the server's packages, --help does not

    if no_cache:
        arguments["cache_bytes_max"] = 0
    run(load_settings(arguments, os.environ, config))
