"""Groups of commands that are imported only when one of them runs.

This is the LazyGroup of click's documentation, with the overview's help next to each name: click's
own overview would import every command.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """A group whose commands are attributes of modules.

    Args:
        package: The package of the modules.
        lazy: By the name of a command, its place and its short help. The place is
            `module:attribute`, or only `module` if the attribute has the module's name.
    """

    def __init__(
        self, *args: Any, package: str, lazy: Mapping[str, tuple[str, str]], **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.lazy = lazy
        self._package = package
        self._places = {name: place for name, (place, _) in lazy.items()}
        for name, (_, short_help) in lazy.items():
            self.add_command(click.Command(name, help=short_help))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported."""
        if place := self._places.pop(cmd_name, None):
            module, _, attribute = place.partition(":")
            found = import_module(f"{self._package}.{module}")
            self.commands[cmd_name] = getattr(found, attribute or module.rpartition(".")[2])
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview without importing commands."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self.commands[name].get_short_help_str(limit)) for name in names]
            )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without importing commands."""
        names = [
            CompletionItem(name, help=self.commands[name].get_short_help_str())
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)
