"""Options that the commands on bindings share."""

import re
from typing import Any, Final

import click

from openpns import limits
from openpns.cli.options import add_options

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_NEVER: Final = "never"


class Lifetime(click.ParamType[int]):
    """How long a binding lives: 90s, 30m, 24h, 7d, seconds without a unit, or never."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds; 0 for ever."""
        if value == _NEVER:
            return 0
        match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(value))
        seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
        if not 1 <= seconds <= limits.EXPIRE_SECOND_MAX:
            self.fail(
                f"{value!r}: allowed are 1s to 3650d, with s, m, h or d, and never", param, ctx
            )
        return seconds


own_id_option = click.option("--id", "own_id", metavar="TEXT", help="Your own id of the binding.")
ids_options = add_options(click.argument("bind_id", required=False), own_id_option)
"""What selects one binding; the command gets `bind_id` and `own_id`."""


def require_an_id(bind_id: str | None, own_id: str | None) -> None:
    """Raise UsageError if no binding is selected."""
    if not (bind_id or own_id):
        raise click.UsageError("Missing BIND_ID: give it, or --id with your own id.")
