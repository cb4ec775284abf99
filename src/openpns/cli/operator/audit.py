"""`openpns audit`."""

import json
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

import click
import msgspec

from openpns.accounts import customers
from openpns.cli.confirmation import confirm
from openpns.cli.moments import PastMoment
from openpns.cli.options import database_option, format_time, optional_database_option, with_store
from openpns.cli.output import Table
from openpns.cli.streams import change_result
from openpns.clock import now_ms
from openpns.core import audit as trail
from openpns.core import audit_chain, audit_prune
from openpns.core.audit import UNBOUNDED, Entry, Filter
from openpns.core.audit_chain import Head
from openpns.kit.plain_text import plain_json
from openpns.storage.store import Store

_HEAD: Final = ("time", "customer", "actor", "action", "about", "details")
_TIMEOUT_MS: Final = 600_000


@click.group(invoke_without_command=True)
@click.option("--customer", "customer_id", help="Only changes of this customer.")
@click.option(
    "--since", type=PastMoment(), help="Entries from then on, e.g. 2027-01-31 or 7d (7 days ago)."
)
@click.option("--until", type=PastMoment(), help="Entries before then.")
@click.option(
    "--key", "access_key", help="Only changes by this access key, and commands that changed it."
)
@click.option("--action", help="Only this action, e.g. deleteGroup or keys.rotate.")
@click.option("--group", "subject", help="Only changes of this group.")
@click.option("--limit", type=click.IntRange(min=1), help="The newest entries, at most this many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one entry per line.")
@optional_database_option
@click.pass_context
def audit(
    context: click.Context,
    /,
    database: str | None,
    limit: int | None,
    *,
    as_json: bool,
    since: int | None,
    until: int | None,
    **narrowed: str | None,
) -> None:
    """Show who changed what and when, newest first.

    Each change by a request or a command has one entry. Of phones, an entry has their number and
    some digits of the first three.
    """
    if context.invoked_subcommand is not None:
        if database is not None:  # a subcommand takes the option before or after its name
            context.default_map = {context.invoked_subcommand: {"database": database}}
        return
    if database is None:
        raise click.UsageError("Missing option '--database' (env var: 'OPENPNS_DATABASE').")
    wanted = Filter(
        since_ms=since or 0,
        until_ms=UNBOUNDED if until is None else until,
        at_most=limit or UNBOUNDED,
        **narrowed,
    )
    with_store(
        database, lambda store: _print(store, wanted, as_json=as_json), timeout_ms=_TIMEOUT_MS
    )


@audit.command()
@click.option(
    "--before", type=PastMoment(), required=True, help="e.g. 2027-01-31 or 365d (365 days ago)."
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@database_option
def prune(before: int, database: str, *, yes: bool) -> None:
    """Delete the entries before a time permanently, and add an entry about it.

    Of each customer, the entries up to the first one that is not from before the time.
    """
    if before > now_ms():
        raise click.BadParameter("must be in the past", param_hint="'--before'")
    if not yes:
        confirm(f"Delete every entry before {format_time(before)}?")
    pruned = with_store(
        database,
        lambda store: audit_prune.prune(store, before),
        timeout_ms=_TIMEOUT_MS,
        label="deleting",
    )
    with change_result():
        click.echo(f"entries deleted: {pruned}")


@audit.command()
@database_option
def head(database: str) -> None:
    """Print the last entry of each customer's chain as JSON, one per line.

    Entries that are not sealed yet are sealed first. Keep the output where the database cannot be
    changed from: openpns verify --audit-heads checks that these entries are still in the chains.
    """
    for one in with_store(database, _seal_and_list, timeout_ms=_TIMEOUT_MS, label="sealing"):
        click.echo(msgspec.json.encode(one))


async def _seal_and_list(store: Store) -> Sequence[Head]:
    await audit_chain.seal_all(store)
    return await audit_chain.heads(store)


async def _print(store: Store, wanted: Filter, *, as_json: bool) -> None:
    """Print entries slice by slice, to bound memory."""
    if wanted.customer_id is not None:
        await customers.get(store, wanted.customer_id)
    is_empty = True
    table = Table(_HEAD)
    async with aclosing(trail.find(store, wanted)) as slices:
        async for entries in slices:
            is_empty = False
            if as_json:
                lines = [
                    f"{plain_json(msgspec.json.encode(entry).decode())}\n" for entry in entries
                ]
                click.echo("".join(lines), nl=False)
            else:
                table.print([_row(entry) for entry in entries])
    if is_empty:
        click.echo("no entry matches", err=True)


def _row(entry: Entry) -> tuple[str, ...]:
    about = entry.subject or (entry.access_key if entry.actor != entry.access_key else None)
    return (
        _time(entry.at_ms),
        entry.customer_id or "-",
        entry.actor,
        entry.action,
        about or "-",
        _format_details(entry.details),
    )


def _format_details(details: dict[str, Any]) -> str:
    """Return details as `added=2 phones=8613800****00,8613800****01`."""
    texts = {
        name: ",".join(map(str, value)) if isinstance(value, list) else json.dumps(value)
        for name, value in details.items()
    }
    return " ".join(f"{name}={text}" for name, text in texts.items())


def _time(at_ms: int) -> str:
    try:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):  # of a damaged row
        return "?"
    return at.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")
