"""`openpns webhooks deliveries get`, through the API or on the database."""

from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from openpns.cli.masking import masked
from openpns.cli.options import (
    ServerOptions,
    json_option,
    optional_database_option,
    server_options,
    with_store,
)
from openpns.cli.output import print_json, to_json
from openpns.cli.webhooks.options import choose_database, require_customer
from openpns.cli.webhooks.printing import as_info, attributes_of, print_attributes
from openpns.deliveries.wire import WEBHOOK_ID_PREFIX, DeliveryInfo
from openpns.errors import NotFound

if TYPE_CHECKING:
    from openpns.storage.store import Store

_ID_CHARS_MAX: Final = 20


@click.command()
@click.argument("delivery_id", metavar="ID")
@click.option("--customer", "customer_id", help="Work on the database: one of this customer.")
@optional_database_option
@json_option
@server_options
@click.pass_context
def get(
    context: click.Context,
    /,
    delivery_id: str,
    customer_id: str | None,
    database: str | None,
    *,
    as_json: bool,
    server: ServerOptions,
) -> None:
    """Show the delivery ID, which may also be its webhook-id.

    With --customer, one in the database, with its event; phones are masked. Without, one of yours,
    through the API.
    """
    delivery_id = delivery_id.removeprefix(WEBHOOK_ID_PREFIX)
    chosen = choose_database(context, customer_id, database, server)
    details: dict[str, Any] = {}
    if chosen is None:
        found = _find_own(server, delivery_id)
    else:
        found, details = _get_stored(chosen, require_customer(customer_id), delivery_id)
    if as_json:
        print_json(msgspec.to_builtins(found) | details)
        return
    attributes = attributes_of(found)
    if details:
        attributes += [
            ("tries since queued", str(details["roundTries"])),
            ("taken by a worker", "yes" if details["isLeased"] else "no"),
            ("event", to_json(details["event"])),
        ]
    print_attributes(attributes)


def _find_own(server: ServerOptions, delivery_id: str) -> DeliveryInfo:
    """Return a delivery: that of the list which stands behind the next larger id."""
    is_id = delivery_id.isascii() and delivery_id.isdigit() and len(delivery_id) <= _ID_CHARS_MAX
    if is_id:
        with server.open() as client:
            page = client.deliveries.list(1, str(int(delivery_id) + 1))
        if page.deliveries and page.deliveries[0].id == delivery_id:
            return as_info(page.deliveries[0])
    raise NotFound("you have no such delivery" if is_id else "the id of a delivery is digits")


def _get_stored(
    database: str, customer_id: str, delivery_id: str
) -> tuple[DeliveryInfo, dict[str, Any]]:
    from openpns.accounts import customers
    from openpns.deliveries.operations import StoredDelivery, get_with_event

    async def work(store: "Store") -> StoredDelivery:
        await customers.get(store, customer_id)
        return await get_with_event(store, customer_id, delivery_id)

    stored = with_store(database, work)
    event = masked(msgspec.json.decode(stored.body), is_known=True)
    return stored.info, {
        "roundTries": stored.round_tries,
        "isLeased": stored.is_leased,
        "event": event,
    }
