"""Changes of a group's numbers: --detail tells what one did, --dry-run what it would do."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import click
import msgspec

from openpns.cli.output import print_json
from openpns.cli.profile import Target, open_client

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_DONE = {"add": "added", "remove": "removed", "replace": "replaced"}


class How(msgspec.Struct, frozen=True):
    """What a change is to tell.

    Attributes:
        detail: Whether to tell what it did.
        dry_run: Whether to tell what it would do, and to change nothing.
        as_json: Whether to tell it as JSON.
    """

    detail: bool
    dry_run: bool
    as_json: bool


def change_options(command: CommandT) -> CommandT:
    """Give a command the options that say what to tell of a change, as its argument `how`.

    Args:
        command: The command's function.
    """
    from functools import wraps

    @wraps(command)
    def with_how(*args: Any, detail: bool, dry_run: bool, as_json: bool, **others: Any) -> Any:
        return command(*args, how=How(detail or as_json, dry_run, as_json), **others)

    decorated: Any = with_how
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print it as JSON."),
        click.option("--dry-run", is_flag=True, help="Print what it would do; change nothing."),
        click.option("--detail", is_flag=True, help="Print what it did."),
    ):
        decorated = option(decorated)
    made: CommandT = decorated
    return made


def change(
    target: Target,
    group_id: str,
    verb: Literal["add", "remove", "replace"],
    numbers: Sequence[str],
    how: How,
) -> None:
    """Change a group's numbers, and print what that did where it was asked for.

    Args:
        target: Which server, as whom.
        group_id: The group.
        verb: What to do with the numbers.
        numbers: The numbers.
        how: What to tell.
    """
    with open_client(target) as client:
        if not (how.detail or how.dry_run):
            send = {
                "add": client.groups.add_phones,
                "remove": client.groups.remove_phones,
                "replace": client.groups.replace_phones,
            }
            send[verb](group_id, numbers)
            click.echo(f"{group_id}: {_DONE[verb]}", err=True)
            return
        given: dict[str, Any] = {verb: numbers}
        told = client.groups.change(group_id, dry_run=how.dry_run, **given)
    if how.as_json:
        print_json(told)
    else:
        click.echo(
            f"{group_id}: +{told.added} -{told.removed} ={told.unchanged}, {told.count} numbers"
        )
    if how.dry_run:
        click.echo("dry run: nothing was changed", err=True)
