"""Options that the commands on webhooks share."""

from typing import Any, Final

import click
from click.core import ParameterSource

from openpns.cli.options import ServerOptions
from openpns.deliveries.wire import KINDS
from openpns.errors import ConfigError

customer_option: Final = click.option(
    "--customer", "customer_id", required=True, help="Whose webhook."
)


class Kinds(click.ParamType[list[str]]):
    """Kinds of events, with commas between them."""

    name = "kinds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        """Return the kinds, which are known."""
        kinds = [kind.strip() for kind in str(value).split(",")]
        for kind in kinds:
            if kind not in KINDS:
                self.fail(f"{kind!r}: allowed are {', '.join(KINDS)}", param, ctx)
        return kinds


def choose_database(
    context: click.Context,
    customer_id: str | None,
    database: str | None,
    server: ServerOptions,
) -> str | None:
    """Return the database that a command works on; None for a server.

    OPENPNS_DATABASE alone does not select the database.

    Raises:
        UsageError: Both a database and a server are selected.
        ConfigError: A customer is given, but no database.
    """
    is_given = context.get_parameter_source("database") is ParameterSource.COMMANDLINE
    if customer_id is None and not is_given:
        return None
    if server.is_given:
        raise click.UsageError("--customer and --database cannot be combined with a server.")
    if database is None:
        raise ConfigError("--customer: needs --database, or OPENPNS_DATABASE")
    return database


def require_customer(customer_id: str | None) -> str:
    """Return the customer of a command on the database; raise UsageError without one."""
    if customer_id is None:
        raise click.UsageError("Missing option '--customer'.")
    return customer_id
