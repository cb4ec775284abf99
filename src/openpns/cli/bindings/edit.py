"""`openpns bindings unbind|update`."""

import click

from openpns.cli.bindings.options import Lifetime, ids_options, require_an_id
from openpns.cli.options import ServerOptions, server_options
from openpns.kit.plain_text import plain


@click.command()
@ids_options
@server_options
def unbind(bind_id: str | None, own_id: str | None, server: ServerOptions) -> None:
    """End a binding: no further call is connected."""
    require_an_id(bind_id, own_id)
    with server.open() as client:
        client.bindings.unbind(bind_id, customer_bind_id=own_id)
    click.echo(plain(f"{bind_id or own_id}: ended"), err=True)


@click.command()
@ids_options
@click.option(
    "--expire", "expire_s", type=Lifetime(), help="How long it lives from now on, e.g. 24h."
)
@click.option("--phone-b", metavar="PHONE", help="The new second phone; empty for none.")
@click.option("--record/--no-record", default=None, help="Record its calls, or do not.")
@server_options
def update(
    bind_id: str | None,
    own_id: str | None,
    expire_s: int | None,
    phone_b: str | None,
    *,
    record: bool | None,
    server: ServerOptions,
) -> None:
    """Change a binding; what is not given stays as it is."""
    require_an_id(bind_id, own_id)
    if expire_s is None and phone_b is None and record is None:
        raise click.UsageError("Give --expire, --phone-b, --record or --no-record.")
    with server.open() as client:
        client.bindings.update(
            bind_id, customer_bind_id=own_id, expire_s=expire_s, phone_b=phone_b, record=record
        )
    click.echo(plain(f"{bind_id or own_id}: changed"), err=True)
