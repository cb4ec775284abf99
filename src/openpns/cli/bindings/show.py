"""`openpns bindings get|query`."""

import click

from openpns.cli.bindings.options import ids_options, require_an_id
from openpns.cli.bindings.printing import as_dict, format_moment
from openpns.cli.options import ServerOptions, json_option, server_options
from openpns.cli.output import print_json, print_row
from openpns.kit.plain_text import plain


@click.command()
@ids_options
@json_option
@server_options
def get(bind_id: str | None, own_id: str | None, *, as_json: bool, server: ServerOptions) -> None:
    """Show one live binding."""
    require_an_id(bind_id, own_id)
    with server.open() as client:
        found = client.bindings.get(bind_id, customer_bind_id=own_id)
    if as_json:
        print_json(as_dict(found))
        return
    attributes = [
        ("bindId", found.bind_id),
        ("kind", found.kind),
        ("number", found.did),
        ("phone A", found.phone_a),
        ("phone B", found.phone_b or "-"),
        ("digits", found.extension or "-"),
        ("group", found.group_id or "-"),
        ("own id", found.customer_bind_id or "-"),
        ("business", found.business_id),
        ("record", "yes" if found.is_recorded else "no"),
        ("created", format_moment(found.created)),
        ("expires", format_moment(found.expires)),
        ("last call", format_moment(found.last_call)),
    ]
    cells_max = max(len(name) for name, _ in attributes)
    for name, value in attributes:
        print_row((name, plain(value)), (cells_max, 0))


@click.command()
@click.argument("caller")
@click.argument("did")
@click.option("--digits", help="The digits that the caller has dialled.")
@json_option
@server_options
def query(
    caller: str, did: str, digits: str | None, *, as_json: bool, server: ServerOptions
) -> None:
    """Print who is to be called if CALLER calls the virtual number DID.

    This is the question of a switch: it counts wrong digits. To look only, use openpns explain.
    """
    with server.open() as client:
        found = client.bindings.query(caller, did, digits)
    if as_json:
        values = {"callee": found.callee or "", "callId": found.call_id, "kind": found.kind}
        print_json(values | {"flag": int(found.is_recorded)})
    elif found.callee is None:
        click.echo("the caller is asked for digits; repeat with --digits", err=True)
    else:
        click.echo(plain(found.callee))
