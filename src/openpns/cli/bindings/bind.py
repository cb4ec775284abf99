"""`openpns bindings axb|extension|axg`."""

from typing import Any

import click

from openpns.bindings.wire import Bound
from openpns.cli.bindings.options import Lifetime, own_id_option
from openpns.cli.options import ServerOptions, add_options, json_option, server_options
from openpns.cli.output import print_json
from openpns.cli.streams import change_result
from openpns.kit.plain_text import plain

_phone_b_option = click.option("--phone-b", metavar="PHONE", help="Whom A reaches.")
_business_option = click.option(
    "--business", "business_id", help="Choose among the virtual numbers of this business."
)
_common_options = add_options(
    click.option(
        "--expire",
        "expire_s",
        type=Lifetime(),
        required=True,
        help="How long it lives, e.g. 90s, 30m, 24h, 7d or never.",
    ),
    click.option("--record", is_flag=True, help="Record its calls."),
    own_id_option,
    click.option("--dry-run", is_flag=True, help="Print the virtual number that it would take."),
    json_option,
    server_options,
)


@click.command()
@click.argument("phone_a")
@click.argument("phone_b")
@_business_option
@_common_options
def axb(
    phone_a: str, phone_b: str, *, as_json: bool, server: ServerOptions, **options: Any
) -> None:
    """Bind PHONE_A and PHONE_B; print the bindId and the virtual number."""
    with server.open() as client:
        bound = client.bindings.bind_axb(phone_a, phone_b, **_arguments(options))
    _print(bound, as_json=as_json)


@click.command()
@click.argument("phone_a")
@click.argument("did")
@click.argument("digits")
@_phone_b_option
@_common_options
def extension(
    phone_a: str, did: str, digits: str, *, as_json: bool, server: ServerOptions, **options: Any
) -> None:
    """Bind PHONE_A to three DIGITS on the virtual number DID."""
    with server.open() as client:
        bound = client.bindings.bind_extension(phone_a, did, digits, **_arguments(options))
    _print(bound, as_json=as_json)


@click.command()
@click.argument("phone_a")
@click.argument("group_id")
@click.option("--did", help="The virtual number; the one with most room if not given.")
@_phone_b_option
@_business_option
@_common_options
def axg(
    phone_a: str, group_id: str, *, as_json: bool, server: ServerOptions, **options: Any
) -> None:
    """Bind PHONE_A and a number group; print the bindId and the virtual number."""
    with server.open() as client:
        bound = client.bindings.bind_axg(phone_a, group_id, **_arguments(options))
    _print(bound, as_json=as_json)


def _arguments(options: dict[str, Any]) -> dict[str, Any]:
    return {"customer_bind_id": options.pop("own_id"), **options}


def _print(bound: Bound, *, as_json: bool) -> None:
    with change_result():
        if as_json:
            print_json(bound)
        elif bound.bind_id:
            click.echo(plain(f"{bound.bind_id} {bound.did}"))
        else:
            click.echo(plain(bound.did))
    if not bound.bind_id:
        click.echo("dry run: nothing was bound", err=True)
