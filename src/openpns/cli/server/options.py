"""Options for settings."""

from collections.abc import Callable, Sequence

import click
from msgspec.structs import FieldInfo

from openpns.cli.lazy import FILE_NAME
from openpns.kit.environment import PREFIX
from openpns.protocol.fields import describe, meaning

Function = Callable[..., None]


def settings_options(fields: Sequence[FieldInfo]) -> Callable[[Function], Function]:
    """Return a decorator that adds an option for each setting, and `--config`.

    `openpns.process.config` checks the values.
    """

    def add(function: Function) -> Function:
        for field in reversed(fields):
            allowed, _ = describe(field)
            is_open = field.required or field.default is None
            default = "" if is_open else f"; default {field.default}"
            text = f"{meaning(field)} Allowed: {allowed}{default}."
            function = click.option(
                f"--{field.name.replace('_', '-')}",
                field.name,
                metavar="VALUE",
                help=f"{text}  [{PREFIX}{field.name.upper()}]",
            )(function)
        return function

    return add


def config_option(function: Function) -> Function:
    """Add `--config`."""
    return click.option(
        "--config",
        type=FILE_NAME,
        metavar="FILE",
        help="A TOML file of settings.  [OPENPNS_CONFIG]",
    )(function)
