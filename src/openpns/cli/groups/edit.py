"""`openpns groups create|add|remove|replace|rename|delete`."""

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
import msgspec

from openpns.cli.options import ServerOptions, json_option, phones_file_option, server_options
from openpns.cli.output import print_json
from openpns.errors import ConfigError

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_DONE = {"add": "added", "remove": "removed", "replace": "replaced"}


class ChangeOptions(msgspec.Struct, frozen=True):
    """What `add`, `remove` and `replace` print, and whether they change anything."""

    detail: bool
    dry_run: bool
    as_json: bool


def change_options(command: CommandT) -> CommandT:
    """Add the arguments and options of a change; the command gets `phones` and `options`."""

    @functools.wraps(command)
    def with_options(
        *args: Any,
        phones: tuple[str, ...],
        phones_file: str | None,
        detail: bool,
        dry_run: bool,
        as_json: bool,
        **others: Any,
    ) -> Any:
        return command(
            *args,
            phones=read_phones(phones, phones_file),
            options=ChangeOptions(detail or as_json, dry_run, as_json),
            **others,
        )

    decorated: Any = with_options
    for option in (
        server_options,
        click.option("--json", "as_json", is_flag=True, help="Print the change as JSON."),
        click.option(
            "--dry-run", is_flag=True, help="Print what would change, and change nothing."
        ),
        click.option("--detail", is_flag=True, help="Print what changed."),
        phones_file_option,
        click.argument("phones", nargs=-1),
        click.argument("group_id"),
    ):
        decorated = option(decorated)
    made: CommandT = decorated
    return made


@click.command()
@click.argument("phones", nargs=-1)
@phones_file_option
@click.option("--name", help="The group's name; its id if not given.")
@click.option("--remark", help="A remark.")
@click.option(
    "--client-token",
    metavar="TEXT",
    help="An idempotency key: a rerun with it within 24 hours creates no second group.",
)
@json_option
@server_options
def create(
    phones: tuple[str, ...],
    phones_file: str | None,
    name: str | None,
    remark: str | None,
    client_token: str | None,
    *,
    as_json: bool,
    server: ServerOptions,
) -> None:
    """Create a group of PHONES (- for stdin) and print its id."""
    given = read_phones(phones, phones_file)
    with server.open() as client:
        group_id = client.groups.create(given, name=name, remark=remark, client_token=client_token)
    if as_json:
        print_json({"groupId": group_id})
    else:
        click.echo(group_id)


@click.command()
@change_options
def add(group_id: str, phones: list[str], options: ChangeOptions, server: ServerOptions) -> None:
    """Add PHONES (- for stdin) to a group; phones already in it change nothing."""
    _change(server, group_id, "add", phones, options)


@click.command()
@change_options
def remove(group_id: str, phones: list[str], options: ChangeOptions, server: ServerOptions) -> None:
    """Remove PHONES (- for stdin) from a group; phones not in it change nothing."""
    _change(server, group_id, "remove", phones, options)


@click.command()
@change_options
def replace(
    group_id: str, phones: list[str], options: ChangeOptions, server: ServerOptions
) -> None:
    """Replace all phones of a group with PHONES (- for stdin)."""
    _change(server, group_id, "replace", phones, options)


@click.command()
@click.argument("group_id")
@click.option("--name", help="The new name; if empty, the id.")
@click.option("--remark", help="The new remark.")
@server_options
def rename(group_id: str, name: str | None, remark: str | None, server: ServerOptions) -> None:
    """Change a group's name or remark."""
    if name is None and remark is None:
        raise click.UsageError("Give --name, --remark or both.")
    with server.open() as client:
        client.groups.rename(group_id, name=name, remark=remark)
    click.echo(f"{group_id}: renamed", err=True)


@click.command()
@click.argument("group_ids", nargs=-1, required=True)
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask for confirmation.")
@server_options
def delete(group_ids: tuple[str, ...], *, is_sure: bool, server: ServerOptions) -> None:
    """Delete groups with all their phones, after confirmation."""
    if not is_sure:
        _confirm(group_ids)
    with server.open() as client:
        for group_id in group_ids:
            client.groups.delete(group_id)
            click.echo(f"{group_id}: deleted", err=True)


def read_phones(phones: Sequence[str], file: str | None) -> list[str]:
    """Return the phones of arguments and of a file.

    Args:
        phones: One or several phones joined with commas each; "-" stands for stdin.
        file: Its phones are separated by commas, spaces or line ends.

    Raises:
        ConfigError: The file cannot be read.
    """
    found: list[str] = []
    for item in phones:
        found += _read_file("-") if item == "-" else [item]
    if file is not None:
        found += _read_file(file)
    if not found:
        raise click.UsageError("Missing PHONES: give phones, --phones-file FILE, or - for stdin.")
    return found


def _change(
    server: ServerOptions,
    group_id: str,
    verb: Literal["add", "remove", "replace"],
    phones: Sequence[str],
    options: ChangeOptions,
) -> None:
    with server.open() as client:
        if not (options.detail or options.dry_run):
            send = {
                "add": client.groups.add_phones,
                "remove": client.groups.remove_phones,
                "replace": client.groups.replace_phones,
            }
            send[verb](group_id, phones)
            click.echo(f"{group_id}: {_DONE[verb]}", err=True)
            return
        given: dict[str, Any] = {verb: phones}
        change = client.groups.change(group_id, dry_run=options.dry_run, **given)
    if options.as_json:
        print_json(change)
    else:
        click.echo(
            f"{group_id}: +{change.added} -{change.removed} ={change.unchanged}, "
            f"{change.count} phones"
        )
    if options.dry_run:
        click.echo("dry run: nothing was changed", err=True)


def _read_file(file: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return content.decode("utf-8-sig").replace(",", " ").split()
    except OSError as error:
        raise ConfigError(f"{file}: cannot read it ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8") from None


def _confirm(group_ids: Sequence[str]) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("Without a terminal for the confirmation, --yes is needed.")
    what = f"the group {group_ids[0]}" if len(group_ids) == 1 else f"{len(group_ids)} groups"
    click.confirm(f"Delete {what} with all phones?", abort=True, err=True)
