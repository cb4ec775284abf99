"""`openpns audit`: who changed what and when, straight from the database."""

import json
import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import click

from openpns.cli.database import database_option, with_store
from openpns.cli.keys import Duration, Moment
from openpns.cli.output import plain, print_row, width

if TYPE_CHECKING:
    from openpns.core.audit import Entry, Filter
    from openpns.storage.store import Store

_HEAD: Final = ("time", "customer", "actor", "action", "about", "details")
_TIMEOUT_MS: Final = 600_000
_HAS_UNIT: Final = re.compile(r"[0-9]+[a-z]")


class PastMoment(click.ParamType[int]):
    """A date, a date and time, or a time span before now, in ms since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the moment in ms since 1970 UTC."""
        from openpns.clock import now_ms

        if _HAS_UNIT.fullmatch(str(value)):
            return now_ms() - Duration().convert(value, param, ctx)
        return Moment().convert(value, param, ctx)


@click.group(invoke_without_command=True)
@click.option("--customer", "customer_id", help="Only changes of this customer.")
@click.option(
    "--since", type=PastMoment(), help="From then on, e.g. 2027-01-31 or 7d (7 days ago)."
)
@click.option("--until", type=PastMoment(), help="Before then.")
@click.option("--key", "access_key", help="Only what this access key did, or what was done to it.")
@click.option("--action", help="Only this action, e.g. deleteGroup or keys.rotate.")
@click.option("--group", "group_id", help="Only changes of this group.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many: the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one entry a line.")
@database_option
@click.pass_context
def audit(
    context: click.Context,
    /,
    database: str,
    limit: int | None,
    *,
    as_json: bool,
    since: int | None,
    until: int | None,
    **narrowed: str | None,
) -> None:
    """Show who changed what and when, the newest first.

    Each change by a call or a command has one entry, written with it. Of phone numbers an entry
    tells how many there were, and of the first three some digits.
    """
    if context.invoked_subcommand is not None:
        return
    from openpns.core.audit import UNBOUNDED, Filter

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
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
def prune(before: int, database: str, *, yes: bool) -> None:
    """Delete the entries from before a time for good; an entry tells that it was done."""
    from openpns.cli.database import when
    from openpns.clock import now_ms
    from openpns.core import audit

    if before > now_ms():
        raise click.BadParameter("allowed is a time in the past", param_hint="'--before'")
    if not yes:
        click.confirm(f"Delete every entry from before {when(before)}?", abort=True, err=True)
    pruned = with_store(database, lambda store: audit.prune(store, before), timeout_ms=_TIMEOUT_MS)
    click.echo(f"entries deleted: {pruned}")


async def _print(store: "Store", wanted: "Filter", *, as_json: bool) -> None:
    """Print entries slice by slice, so that memory does not grow with them."""
    from openpns.accounts import customers
    from openpns.core import audit

    if wanted.customer_id is not None:
        await customers.get(store, wanted.customer_id)
    is_empty = True
    widths: list[int] = []
    async with aclosing(audit.find(store, wanted)) as slices:
        async for entries in slices:
            is_empty = False
            if as_json:
                _print_json(entries)
            else:
                widths = _print_rows(entries, widths)
    if is_empty:
        click.echo("no such entries", err=True)


def _print_json(entries: Sequence["Entry"]) -> None:
    import msgspec

    click.echo(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries), nl=False)


def _print_rows(entries: Sequence["Entry"], before: Sequence[int]) -> list[int]:
    """Print entries under the columns' names; return the widths, which never become narrower."""
    rows = [_row(entry) for entry in entries]
    shown = rows if before else [_HEAD, *rows]
    wanted = [max(map(width, cells)) for cells in zip(*shown, strict=True)]
    widths = [max(*both) for both in zip(wanted, before, strict=True)] if before else wanted
    for row in shown:
        print_row(row, widths)
    return widths


def _row(entry: "Entry") -> tuple[str, ...]:
    about = entry.subject or (entry.access_key if entry.actor != entry.access_key else None)
    cells = (
        _time(entry.at_ms),
        entry.customer_id or "-",
        entry.actor,
        entry.action,
        about or "-",
        _in_words(entry.details),
    )
    return tuple(plain(cell) for cell in cells)


def _in_words(details: dict[str, Any]) -> str:
    """Return details as `added=2 phones=8613800****00,8613800****01`."""
    return " ".join(f"{name}={_value(value)}" for name, value in details.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return json.dumps(value)


def _time(at_ms: int) -> str:
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")
