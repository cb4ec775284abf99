"""`openpns webhooks show`, through the API or on the database."""

from typing import TYPE_CHECKING

import click

from openpns.cli.options import (
    ServerOptions,
    json_option,
    optional_database_option,
    server_options,
    with_store,
)
from openpns.cli.output import print_json
from openpns.cli.webhooks.options import choose_database
from openpns.cli.webhooks.printing import print_attributes, print_webhook, print_webhooks
from openpns.deliveries.wire import NONE

if TYPE_CHECKING:
    from openpns.deliveries.rows import Webhook
    from openpns.storage.store import Store


@click.command()
@click.option("--customer", "customer_id", help="Work on the database: only that of this customer.")
@optional_database_option
@json_option
@server_options
@click.pass_context
def show(
    context: click.Context,
    /,
    customer_id: str | None,
    database: str | None,
    *,
    as_json: bool,
    server: ServerOptions,
) -> None:
    """Show a webhook: of a customer with --customer, of all with --database, else yours."""
    chosen = choose_database(context, customer_id, database, server)
    if chosen is None:
        _show_own(server, as_json=as_json)
    else:
        _show_stored(chosen, customer_id, as_json=as_json)


def _show_own(server: ServerOptions, *, as_json: bool) -> None:
    with server.open() as client:
        found = client.webhook.get()
    if as_json:
        url, kinds, state = (
            ("", (), NONE) if found is None else (found.url, found.kinds, found.state)
        )
        print_json({"url": url, "kinds": [*kinds], "state": state})
    elif found is None:
        click.echo("there is no webhook; the operator sets it", err=True)
    else:
        kinds_text = ",".join(found.kinds)
        print_attributes([("url", found.url), ("kinds", kinds_text), ("state", found.state)])


def _show_stored(database: str, customer_id: str | None, *, as_json: bool) -> None:
    from openpns.deliveries import endpoints

    if customer_id is None:
        print_webhooks(with_store(database, endpoints.list_webhooks), as_json=as_json)
        return

    async def work(store: "Store") -> "tuple[Webhook, endpoints.Usage]":
        found = await endpoints.get(store, customer_id)
        return found.shown(), await endpoints.get_usage(store, customer_id)

    print_webhook(*with_store(database, work), as_json=as_json)
