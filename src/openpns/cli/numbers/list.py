"""`openpns numbers list`, through the API or on the database."""

import click
import msgspec
from click.core import ParameterSource

from openpns.cli.numbers.printing import print_stored
from openpns.cli.options import (
    ServerOptions,
    json_option,
    optional_database_option,
    server_options,
    with_store,
)
from openpns.cli.output import print_json, print_table
from openpns.errors import ConfigError
from openpns.numbers.wire import STATES, Number


@click.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option(
    "--customer", "customer_id", help="Work on the database: only those of this customer."
)
@optional_database_option
@json_option
@server_options
@click.pass_context
def list_(
    context: click.Context,
    /,
    state: str | None,
    customer_id: str | None,
    database: str | None,
    *,
    as_json: bool,
    server: ServerOptions,
) -> None:
    """List virtual numbers, by number.

    With --customer or --database, those in the database; without, yours, through the API.
    """
    is_given = context.get_parameter_source("database") is ParameterSource.COMMANDLINE
    if customer_id is None and not is_given:
        _list_own(state, server, as_json=as_json)
        return
    if server.is_given:
        raise click.UsageError("--customer and --database cannot be combined with a server.")
    if database is None:
        raise ConfigError("--customer: needs --database, or OPENPNS_DATABASE")
    _list_stored(database, customer_id, state, as_json=as_json)


def _list_own(state: str | None, server: ServerOptions, *, as_json: bool) -> None:
    with server.open() as client:
        found = [*client.numbers.iterate(state=state)]  # type: ignore[arg-type]
    if as_json:
        print_json([Number(*msgspec.structs.astuple(number)) for number in found])
        return
    rows = [(n.did, n.business_id, n.state, n.country, str(n.bindings), str(n.room)) for n in found]
    head = ("number", "business", "state", "country", "bindings", "room")
    print_table(head, rows, empty="no virtual numbers; the operator adds them")


def _list_stored(
    database: str, customer_id: str | None, state: str | None, *, as_json: bool
) -> None:
    from openpns.numbers.service import list_stored

    found = with_store(database, lambda store: list_stored(store, customer_id, state))
    print_stored(found, as_json=as_json)
