"""Groups of commands that are imported only when one of them runs.

This is the LazyGroup of click's documentation, with the overview's help next to each name: click's
own overview would import every command.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click
from click.shell_completion import CompletionItem


class Utf8Text(click.types.StringParamType):
    """A text in UTF-8. The error does not show it: it may be a secret."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        try:
            # In the C locale, Python reads the bytes of an argument as ASCII.
            return os.fsencode(super().convert(value, param, ctx)).decode()
        except UnicodeError:
            self.fail("must be UTF-8", param, ctx)


UTF8_TEXT: Final = Utf8Text()
FILE_NAME: Final = click.Path(readable=False)
"""The name of a file, of any bytes. Whoever opens it reports what is wrong with it."""


def check_texts(command: click.Command) -> None:
    """Make a command and its subcommands accept only UTF-8 as a text.

    Names of files have another type.
    """
    for parameter in command.params:
        if parameter.type is click.STRING:
            parameter.type = UTF8_TEXT
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            check_texts(subcommand)


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
            command = getattr(found, attribute or module.rpartition(".")[2])
            check_texts(command)
            self.commands[cmd_name] = command
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
