"""`openpns groups get|show|phones`: one group."""

from typing import Any

import click

from openpns.cli.groups import printing
from openpns.cli.options import ServerOptions, format_time, json_option, server_options
from openpns.cli.output import plain, print_json, print_json_array
from openpns.client.group_types import Group, GroupDetails
from openpns.client.http import Client
from openpns.errors import GroupNotFound, ParameterError
from openpns.groups.wire import GROUP_ID


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
        printing.print_group(found)


@click.command()
@click.argument("group_id")
@json_option
@server_options
def show(group_id: str, *, as_json: bool, server: ServerOptions) -> None:
    """Show a group's attributes without its phones."""
    with server.open() as client:
        found = client.groups.get(group_id)
    facts = _as_dict(found)
    if as_json:
        print_json(facts)
        return
    printing.print_facts(
        (
            ("groupId", found.group_id),
            ("name", found.name),
            ("remark", found.remark),
            ("customer", found.customer_id),
            ("phones", str(found.count)),
            ("created", format_time(facts["createdMs"])),
            ("changed", format_time(facts["updatedMs"])),
        )
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


def _as_dict(group: GroupDetails) -> dict[str, Any]:
    return {
        "groupId": group.group_id,
        "groupName": group.name,
        "remark": group.remark,
        "customerId": group.customer_id,
        "count": group.count,
        "createdMs": round(group.created.timestamp() * 1000),
        "updatedMs": round(group.updated.timestamp() * 1000),
    }
