"""`openpns bindings confirm|end|hold`, on the database."""

from typing import Final

import click

from openpns.bindings import operations
from openpns.call_records import retention
from openpns.cli.moments import Moment
from openpns.cli.options import database_option, with_store
from openpns.cli.streams import change_result
from openpns.clock import now_ms
from openpns.storage.store import Store

_TIMEOUT_MS: Final = 600_000

_customer_option = click.option("--customer", "customer_id", required=True, help="Whose bindings.")


@click.command()
@_customer_option
@database_option
def confirm(customer_id: str, database: str) -> None:
    """Connect the calls of a customer again.

    After a restore no call is connected, because bindings that had ended since the backup live
    again. First end those, or make sure that there are none.
    """
    was_held = with_store(database, lambda store: operations.confirm(store, customer_id))
    what = "calls are connected again" if was_held else "calls were not held"
    click.echo(f"{customer_id}: {what}", err=True)


@click.command()
@_customer_option
@click.option(
    "--created-before",
    "created_before_ms",
    type=Moment(),
    required=True,
    help="Only those that were made before, e.g. 2027-01-31T18:00.",
)
@database_option
def end(customer_id: str, created_before_ms: int, database: str) -> None:
    """End the bindings of a customer that were made before a time."""
    count = with_store(
        database,
        lambda store: operations.end_bindings(
            store, now_ms, customer_id, created_before_ms=created_before_ms
        ),
        timeout_ms=_TIMEOUT_MS,
        label="ending",
    )
    with change_result():
        click.echo(f"{customer_id}: {count} bindings ended")


@click.command()
@click.option("--customer", "customer_id", help="Whose calls; those of all if not given.")
@database_option
def hold(customer_id: str | None, database: str) -> None:
    """Connect no calls until openpns bindings confirm.

    For a PostgreSQL database that was restored with its own tools: openpns restore does this. For
    all customers, ids of call records that may have been used since the backup are skipped, too.
    """

    async def work(store: Store) -> int:
        if customer_id is None:
            await retention.skip_ids(store)
        return await operations.hold(store, now_ms, customer_id)

    count = with_store(database, work)
    with change_result():
        click.echo(f"calls of {count} customers are held")
