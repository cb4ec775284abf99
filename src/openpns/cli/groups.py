"""`openpns groups`: number groups through the API; in bulk also straight at the database."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openpns.cli import group_bulk, group_find, group_show
from openpns.cli.group_change import How, change, change_options
from openpns.cli.output import json_option, print_json
from openpns.cli.profile import Target, client_options, open_client
from openpns.errors import ConfigError, GroupNotFound, ParameterError

if TYPE_CHECKING:
    from openpns.client.group_types import Group
    from openpns.client.http import Client

phones_file_option = click.option(
    "--phones-file", metavar="FILE", help="Take numbers from a file too; - for stdin."
)


@click.group()
def groups() -> None:
    """List, change, import and export number groups."""


groups.add_command(group_bulk.import_)
groups.add_command(group_bulk.export)
groups.add_command(group_find.find)
groups.add_command(group_show.show)
groups.add_command(group_show.phones)
groups.add_command(group_show.rename)


@groups.command("list")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many; all where not given.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Pass over so many first.")
@click.option("--json", "form", flag_value="json", help="Print a JSON array.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV, as groups import reads it.")
@click.option("-q", "--quiet", "form", flag_value="ids", help="Print ids only.")
@client_options
def list_(limit: int | None, offset: int, form: str | None, target: Target) -> None:
    """List groups, oldest first."""
    from openpns.cli import group_list

    with open_client(target) as client:
        pages = group_list.fetch_pages(client, limit, offset)
        group_list.PRINTERS[form or "table"](pages, "no groups; openpns groups create makes one")


@groups.command()
@click.argument("group_id")
@json_option
@client_options
def get(group_id: str, *, as_json: bool, target: Target) -> None:
    """Show one group with all its numbers.

    A server that is not openpns cannot be asked for one group: there it is looked for page by page.
    """
    from openpns.cli import group_list

    with open_client(target) as client:
        try:
            found: Group = client.groups.get(group_id)
        except ParameterError:  # the server does not know the action
            found = _look_for(client, group_id)
    if as_json:
        print_json(group_list.as_dict(found))
    else:
        group_list.print_group(found)


@groups.command()
@click.argument("phones", nargs=-1)
@phones_file_option
@click.option("--name", help="Its name; its id where not given.")
@click.option("--remark", help="A remark.")
@click.option(
    "--client-token",
    metavar="TEXT",
    help="Your own name for this group: with the same one within 24 hours none is made again.",
)
@json_option
@client_options
def create(
    phones: tuple[str, ...],
    phones_file: str | None,
    name: str | None,
    remark: str | None,
    client_token: str | None,
    *,
    as_json: bool,
    target: Target,
) -> None:
    """Create a group of PHONES (- for stdin), and print its id."""
    numbers = read_phones(phones, phones_file)
    with open_client(target) as client:
        group_id = client.groups.create(
            numbers, name=name, remark=remark, client_token=client_token
        )
    if as_json:
        print_json({"groupId": group_id})
    else:
        click.echo(group_id)


@groups.command()
@click.argument("group_id")
@click.argument("phones", nargs=-1)
@phones_file_option
@change_options
@client_options
def add(
    group_id: str, phones: tuple[str, ...], phones_file: str | None, how: How, target: Target
) -> None:
    """Add PHONES (- for stdin) to a group; those that are there already change nothing."""
    change(target, group_id, "add", read_phones(phones, phones_file), how)


@groups.command()
@click.argument("group_id")
@click.argument("phones", nargs=-1)
@phones_file_option
@change_options
@client_options
def remove(
    group_id: str, phones: tuple[str, ...], phones_file: str | None, how: How, target: Target
) -> None:
    """Take PHONES (- for stdin) out of a group; those that are not there change nothing."""
    change(target, group_id, "remove", read_phones(phones, phones_file), how)


@groups.command()
@click.argument("group_id")
@click.argument("phones", nargs=-1)
@phones_file_option
@change_options
@client_options
def replace(
    group_id: str, phones: tuple[str, ...], phones_file: str | None, how: How, target: Target
) -> None:
    """Put PHONES (- for stdin) in the place of all numbers of a group."""
    change(target, group_id, "replace", read_phones(phones, phones_file), how)


@groups.command()
@click.argument("group_ids", nargs=-1, required=True)
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
@client_options
def delete(group_ids: tuple[str, ...], *, is_sure: bool, target: Target) -> None:
    """Delete groups with their numbers; asks first."""
    if not is_sure:
        _ask(group_ids)
    with open_client(target) as client:
        for group_id in group_ids:
            client.groups.delete(group_id)
            click.echo(f"{group_id}: deleted", err=True)


def read_phones(phones: Sequence[str], file: str | None) -> list[str]:
    """Return the numbers of arguments and of a file.

    Args:
        phones: Numbers, each with country code, or several joined with commas; - for stdin.
        file: A file of numbers, with commas, spaces or line ends between them; - for stdin.

    Raises:
        ConfigError: The file cannot be read.
    """
    numbers: list[str] = []
    for item in phones:
        numbers += _read_file("-") if item == "-" else [item]
    if file is not None:
        numbers += _read_file(file)
    if not numbers:
        raise click.UsageError("Missing PHONES: give numbers, --phones-file FILE, or - for stdin.")
    return numbers


def _read_file(file: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return content.decode("utf-8-sig").replace(",", " ").split()
    except OSError as error:
        raise ConfigError(f"{file}: cannot read it ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8") from None


def _ask(group_ids: Sequence[str]) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask at; give --yes to delete unasked.")
    what = f"the group {group_ids[0]}" if len(group_ids) == 1 else f"{len(group_ids)} groups"
    click.confirm(f"Delete {what} with all numbers?", abort=True, err=True)


def _look_for(client: "Client", group_id: str) -> "Group":
    for group in client.groups.iterate():
        if group.group_id == group_id:
            return group
    raise GroupNotFound(_hint(group_id))


def _hint(group_id: str) -> str:
    from openpns.groups.wire import GROUP_ID

    return "" if GROUP_ID.fullmatch(group_id) else "a groupId is 32 lower-case hex characters"
