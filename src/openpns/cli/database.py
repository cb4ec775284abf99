"""What the operator's commands share: the database option, opening it, times for people."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

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
    return os.environ.get("OPENPNS_MASTER_KEY") or None


def when(ms: int | None) -> str:
    """Return a time for people, in UTC.

    Args:
        ms: The time in ms since 1970 UTC; None for never.
    """
    from datetime import UTC, datetime

    if ms is None:
        return "-"
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
