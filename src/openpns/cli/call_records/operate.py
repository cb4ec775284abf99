"""`openpns call-records prune`, on the database."""

from typing import Final

import click

from openpns.call_records import retention
from openpns.cli.confirmation import confirm
from openpns.cli.moments import PastMoment
from openpns.cli.options import database_option, format_time, with_store
from openpns.cli.streams import change_result
from openpns.clock import now_ms

_TIMEOUT_MS: Final = 600_000


@click.command()
@click.option(
    "--before", type=PastMoment(), required=True, help="e.g. 2027-01-31 or 365d (365 days ago)."
)
@click.option("--customer", "customer_id", help="Only those of this customer; all if not given.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@database_option
def prune(before: int, customer_id: str | None, database: str, *, yes: bool) -> None:
    """Delete the records of calls that began before a time permanently.

    The audit trail says how many of each customer. A run that was interrupted can be repeated.
    """
    if before > now_ms():
        raise click.BadParameter("must be in the past", param_hint="'--before'")
    if not yes:
        whose = f"of {customer_id} " if customer_id else ""
        confirm(f"Delete every call record {whose}before {format_time(before)}?")
    pruned = with_store(
        database,
        lambda store: retention.prune(store, before // 1000, customer_id),
        timeout_ms=_TIMEOUT_MS,
        label="deleting",
    )
    with change_result():
        click.echo(f"call records deleted: {pruned}")
