"""`openpns serve`."""

import os
from collections.abc import Callable
from typing import Any

import click

from openpns.cli.lazy import FILE_NAME
from openpns.kit.environment import PREFIX
from openpns.protocol.fields import describe, meaning
from openpns.server.config import load_settings
from openpns.server.settings import FIELDS


def _settings_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each setting. `openpns.server.config` checks the values."""
    for field in reversed(FIELDS):
        allowed, _ = describe(field)
        default = "" if field.required or field.default is None else f"; default {field.default}"
        function = click.option(
            f"--{field.name.replace('_', '-')}",
            field.name,
            metavar="VALUE",
            help=f"{meaning(field)} Allowed: {allowed}{default}.  [{PREFIX}{field.name.upper()}]",
        )(function)
    return function


@click.command()
@click.option(
    "--config",
    type=FILE_NAME,
    metavar="FILE",
    help="A TOML file of settings.  [OPENPNS_CONFIG]",
)
@click.option("--no-cache", is_flag=True, help="The same as --cache-bytes-max 0.")
@_settings_options
def serve(config: str | None, *, no_cache: bool, **arguments: Any) -> None:
    """Run the server until Ctrl-C or SIGTERM."""
    from openpns.server.run import run  # needs the server's packages, --help does not

    if no_cache:
        arguments["cache_bytes_max"] = 0
    run(load_settings(arguments, os.environ, config))
