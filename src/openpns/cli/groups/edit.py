"""`openpns groups create|add|remove|replace|rename|delete`."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import click

from openpns.cli.confirmation import confirm
from openpns.cli.groups.phones_file import read_phones
from openpns.cli.options import ServerOptions, json_option, phones_file_option, server_options
from openpns.cli.output import print_json
from openpns.cli.streams import change_result
from openpns.kit.plain_text import plain


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
    with change_result():
        if as_json:
            print_json({"groupId": group_id})
        else:
            click.echo(plain(group_id))


def _change_command(
    verb: Literal["add", "remove", "replace"], done: str, help_text: str
) -> click.Command:
    @click.command(verb, help=help_text)
    @click.argument("group_id")
    @click.argument("phones", nargs=-1)
    @phones_file_option
    @click.option("--detail", is_flag=True, help="Print what changed.")
    @click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
    @click.option("--json", "as_json", is_flag=True, help="Print the change as JSON.")
    @server_options
    def change(
        group_id: str,
        phones: tuple[str, ...],
        phones_file: str | None,
        *,
        detail: bool,
        dry_run: bool,
        as_json: bool,
        server: ServerOptions,
    ) -> None:
        given = read_phones(phones, phones_file)
        with server.open() as client:
            if not (detail or as_json or dry_run):
                getattr(client.groups, f"{verb}_phones")(group_id, given)
                click.echo(f"{group_id}: {done}", err=True)
                return
            arguments: dict[str, Any] = {verb: given}
            made = client.groups.change(group_id, dry_run=dry_run, **arguments)
        with nullcontext() if dry_run else change_result():
            if as_json:
                print_json(made)
            else:
                counts = f"+{made.added} -{made.removed} ={made.unchanged}, {made.count} phones"
                click.echo(f"{group_id}: {counts}")
        if dry_run:
            click.echo("dry run: nothing was changed", err=True)

    return change


add = _change_command(
    "add", "added", "Add PHONES (- for stdin) to a group; phones already in it change nothing."
)
remove = _change_command(
    "remove",
    "removed",
    "Remove PHONES (- for stdin) from a group; phones not in it change nothing.",
)
replace = _change_command(
    "replace", "replaced", "Replace all phones of a group with PHONES (- for stdin)."
)


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


def _confirm(group_ids: Sequence[str]) -> None:
    what = f"the group {group_ids[0]}" if len(group_ids) == 1 else f"{len(group_ids)} groups"
    confirm(f"Delete {what} with all phones?")
