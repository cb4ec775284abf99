"""`openpns serve`."""

from collections.abc import Callable
from typing import Any

import click


def _settings_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each setting.

    Values are checked with those of the other sources, in `openpns.server.config`.
    """
    from openpns.protocol.fields import describe, meaning
    from openpns.server.config import FIELDS, PREFIX

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
@click.option("--config", metavar="FILE", help="A TOML file of settings.  [OPENPNS_CONFIG]")
@click.option("--no-cache", is_flag=True, help="Keep no answers: the same as --cache-bytes-max 0.")
@_settings_options
def serve(config: str | None, *, no_cache: bool, **arguments: Any) -> None:
    """Run the server until Ctrl-C or SIGTERM."""
    import os

    from openpns.server.config import load_settings
    from openpns.server.run import run

    if no_cache:
        arguments["cache_bytes_max"] = 0
    run(load_settings(arguments, os.environ, config))
