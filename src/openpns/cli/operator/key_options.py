"""The values of the options of `openpns keys`."""

from typing import Any

import click

from openpns.api.registry import ACTIONS
from openpns.cli.moments import Duration, Moment, MomentOrNever

__all__ = ["Actions", "Addresses", "Duration", "Moment", "MomentOrNever"]


class Addresses(click.ParamType[list[str]]):
    """Addresses and networks, with commas between them."""

    name = "networks"

    def convert(self, value: Any, *_: Any) -> list[str]:
        """Return the items; the rule that stores them checks them."""
        return str(value).split(",")


class Actions(click.ParamType[list[str]]):
    """Names of actions, with commas between them."""

    name = "actions"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        """Return the names, which are known."""
        names = [name.strip() for name in str(value).split(",")]
        for name in names:
            if name not in ACTIONS:
                self.fail(f"{name!r}: allowed are {', '.join(ACTIONS)}", param, ctx)
        return names
