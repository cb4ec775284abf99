"""`openpns groups show|phones|rename`: one group. Only openpns has these actions."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from openpns.cli.database import when
from openpns.cli.output import json_option, plain, print_json
from openpns.cli.profile import Target, client_options, open_client

if TYPE_CHECKING:
    from openpns.client.group_types import GroupDetails


@click.command()
@click.argument("group_id")
@json_option
@client_options
def show(group_id: str, *, as_json: bool, target: Target) -> None:
    """Show what is known of a group: its name, how many numbers, when it was made and changed."""
    from openpns.cli.group_list import print_facts

    with open_client(target) as client:
        found = client.groups.get(group_id)
    facts = _as_dict(found)
    if as_json:
        print_json(facts)
        return
    print_facts(
        (
            ("groupId", found.group_id),
            ("name", found.name),
            ("remark", found.remark),
            ("customer", found.customer_id),
            ("numbers", str(found.count)),
            ("created", when(facts["createdMs"])),
            ("changed", when(facts["updatedMs"])),
        )
    )


@click.command()
@click.argument("group_id")
@json_option
@client_options
def phones(group_id: str, *, as_json: bool, target: Target) -> None:
    """Print a group's numbers, one a line, in the order they were added."""
    with open_client(target) as client:
        numbers = client.groups.phones(group_id)
        if as_json:
            _print_array(numbers)
            return
        for number in numbers:
            click.echo(plain(number))


@click.command()
@click.argument("group_id")
@click.option("--name", help="Its new name; its id where empty.")
@click.option("--remark", help="Its new remark.")
@client_options
def rename(group_id: str, name: str | None, remark: str | None, target: Target) -> None:
    """Give a group another name or remark."""
    if name is None and remark is None:
        raise click.UsageError("Give --name, --remark or both.")
    with open_client(target) as client:
        client.groups.rename(group_id, name=name, remark=remark)
    click.echo(f"{group_id}: renamed", err=True)


def _as_dict(group: "GroupDetails") -> dict[str, Any]:
    return {
        "groupId": group.group_id,
        "groupName": group.name,
        "remark": group.remark,
        "customerId": group.customer_id,
        "count": group.count,
        "createdMs": round(group.created.timestamp() * 1000),
        "updatedMs": round(group.updated.timestamp() * 1000),
    }


def _print_array(texts: Iterable[str]) -> None:
    """Print a JSON array as it comes."""
    before = "["
    for text in texts:
        click.echo(f"{before}\n  {json.dumps(text)}", nl=False)
        before = ","
    click.echo("[]" if before == "[" else "\n]")
