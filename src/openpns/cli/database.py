"""What the operator's commands share: the database option, opening it, printing results."""

import asyncio
import json
import os
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from openpns.storage.store import Store

ResultT = TypeVar("ResultT")

database_option = click.option(
    "--database",
    envvar="OPENPNS_DATABASE",
    required=True,
    metavar="URL",
    show_envvar=True,
    help="sqlite:///file.db or postgresql://…",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def with_store(
    database: str, work: Callable[["Store"], Awaitable[ResultT]], *, timeout_ms: int | None = None
) -> ResultT:
    """Open a database whose migrations are current, work with it, close it.

    Args:
        database: Its URL.
        work: What to do.
        timeout_ms: How long a statement may take; the server's default where None.
    """
    from openpns import limits
    from openpns.storage import connect

    async def run() -> ResultT:
        store = await connect.open_store(
            database, timeout_ms=timeout_ms or limits.STORAGE_TIMEOUT_MS
        )
        try:
            await connect.check_current(store, database)
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def master_key_variable() -> str | None:
    """Return the value of OPENPNS_MASTER_KEY, None where it is not set."""
    return os.environ.get("OPENPNS_MASTER_KEY")


def print_json(value: Any) -> None:
    """Print a struct, or a list of them, as JSON.

    Args:
        value: What to print.
    """
    import msgspec

    click.echo(json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Print rows under their columns' names, aligned; or a sentence where there are none.

    Args:
        columns: The columns' names.
        rows: The cells.
        empty: What to say without rows; goes to stderr.
    """
    if not rows:
        click.echo(empty, err=True)
        return
    table = [columns, *rows]
    widths = [max(_width(row[place]) for row in table) for place in range(len(columns))]
    for row in table:
        cells = [
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def _width(text: str) -> int:
    """Return how many cells a text takes in a terminal: a Chinese character takes two."""
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def when(ms: int | None) -> str:
    """Return a time for people, in UTC.

    Args:
        ms: The time in ms since 1970 UTC; None for never.
    """
    from datetime import UTC, datetime

    if ms is None:
        return "-"
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
