"""`openpns groups get|show|phones`: one group."""

import click

from openpns.cli.groups import printing
from openpns.cli.options import ServerOptions, format_time, json_option, server_options
from openpns.cli.output import GAP, print_json, print_json_array
from openpns.client.group_types import Group
from openpns.client.http import Client
from openpns.errors import GroupNotFound, ParameterError
from openpns.groups.wire import GROUP_ID
from openpns.kit.plain_text import plain


@click.command()
@click.argument("group_id")
@json_option
@server_options
def get(group_id: str, *, as_json: bool, server: ServerOptions) -> None:
    """Show one group with all its phones.

    With another server than openpns, all groups are read until this one is found.
    """
    with server.open() as client:
        try:
            found: Group = client.groups.get(group_id)
        except ParameterError:  # the server does not know the action
            found = _search(client, group_id)
    if as_json:
        print_json(printing.as_dict(found))
    else:
        printing.print_attributes(found, len(found.phones))
        for phone in found.phones:
            click.echo(GAP + plain(phone))


@click.command()
@click.argument("group_id")
@json_option
@server_options
def show(group_id: str, *, as_json: bool, server: ServerOptions) -> None:
    """Show a group's attributes without its phones."""
    with server.open() as client:
        found = client.groups.get(group_id)
    created_ms, updated_ms = (
        round(time.timestamp() * 1000) for time in (found.created, found.updated)
    )
    if as_json:
        print_json(
            {
                "groupId": found.group_id,
                "groupName": found.name,
                "remark": found.remark,
                "customerId": found.customer_id,
                "count": found.count,
                "createdMs": created_ms,
                "updatedMs": updated_ms,
            }
        )
        return
    printing.print_attributes(
        found,
        found.count,
        ("created", format_time(created_ms)),
        ("changed", format_time(updated_ms)),
    )


@click.command()
@click.argument("group_id")
@json_option
@server_options
def phones(group_id: str, *, as_json: bool, server: ServerOptions) -> None:
    """Print a group's phones, one per line, in the order they were added."""
    with server.open() as client:
        found = client.groups.phones(group_id)
        if as_json:
            print_json_array(found)
            return
        for phone in found:
            click.echo(plain(phone))


def _search(client: Client, group_id: str) -> Group:
    for group in client.groups.iterate():
        if group.group_id == group_id:
            return group
    is_id = GROUP_ID.fullmatch(group_id)
    raise GroupNotFound("" if is_id else "a groupId is 32 lower-case hex characters")
