"""`openpns explain`: who would be called, through the API or on the database."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from openpns.cli.exit_codes import ExitCode
from openpns.cli.moments import Moment
from openpns.cli.options import (
    ServerOptions,
    json_option,
    optional_database_option,
    server_options,
    with_store,
)
from openpns.cli.output import print_json
from openpns.errors import ConfigError, EntryNotFound
from openpns.kit.plain_text import plain
from openpns.phones import mask_phone
from openpns.routing.wire import Explanation

if TYPE_CHECKING:
    from openpns.storage.store import Store


@click.command()
@click.argument("caller")
@click.argument("did")
@click.option("--digits", help="The digits that the caller dials.")
@click.option("--at", "at_ms", type=Moment(), help="When, e.g. 2027-01-31T18:00; now if not given.")
@click.option("--customer", "customer_id", help="Work on the database, for this customer.")
@optional_database_option
@json_option
@server_options
@click.pass_context
def explain(
    context: click.Context,
    /,
    caller: str,
    did: str,
    digits: str | None,
    at_ms: int | None,
    customer_id: str | None,
    database: str | None,
    *,
    as_json: bool,
    server: ServerOptions,
) -> None:
    """Say who would be called if CALLER calls DID, and if nobody, why.

    Nothing is counted or recorded. With --customer or --database, the database is asked; without,
    the server. Exit code 3 if nobody would be called.
    """
    is_given = context.get_parameter_source("database") is ParameterSource.COMMANDLINE
    if customer_id is None and not is_given:
        found = _ask_server(server, caller, did, digits, at_ms)
    elif server.is_given:
        raise click.UsageError("--customer and --database cannot be combined with a server.")
    elif database is None:
        raise ConfigError("--customer: needs --database, or OPENPNS_DATABASE")
    else:
        found = _ask_database(database, customer_id, caller, did, digits, at_ms)
    if as_json:
        print_json(found)
    elif found.callee:
        click.echo(plain(found.callee))
    if not as_json:
        binding = f" (binding {found.bind_id})" if found.bind_id else ""
        click.echo(plain(f"{found.reason}: {found.details}{binding}"), err=True)
    if not found.callee:
        context.exit(ExitCode.NOT_FOUND)


def _ask_server(
    server: ServerOptions, caller: str, did: str, digits: str | None, at_ms: int | None
) -> Explanation:
    at = None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)
    with server.open() as client:
        found = client.bindings.explain(caller, did, digits, at=at)
    return Explanation(found.callee or "", found.bind_id or "", found.reason, found.details)


def _ask_database(
    database: str,
    customer_id: str | None,
    caller: str,
    did: str,
    digits: str | None,
    at_ms: int | None,
) -> Explanation:
    from openpns.accounts import customers
    from openpns.clock import now_ms
    from openpns.core.context import Context, Services
    from openpns.core.principal import Principal
    from openpns.ids import Snowflake
    from openpns.routing.explain import explain_call

    async def ask(store: "Store") -> Explanation:
        owner = customer_id or await _owner(store, did)
        await customers.get(store, owner)
        services = Services(store, Snowflake(now_ms, worker_id=0), now_ms)
        return await explain_call(
            Context(services, Principal("", owner)),
            caller=caller,
            did=did,
            extension=digits,
            at=None if at_ms is None else at_ms // 1000,
        )

    return with_store(database, ask)


async def _owner(store: "Store", did: str) -> str:
    """Return the customer who has a virtual number.

    Raises:
        EntryNotFound: No customer has it, or it rests.
    """
    from openpns.numbers import service as numbers

    stored = await numbers.get(store, did)
    if stored.state == numbers.RESTING:
        raise EntryNotFound(
            f"virtual number {mask_phone(stored.did)}: it was removed and rests; no customer has "
            "it, and no call to it is connected"
        )
    return stored.customer_id
