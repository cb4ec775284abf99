"""`openpns webhooks deliveries|resend`, through the API or on the database."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from openpns import limits
from openpns.cli.lazy import LazyGroup
from openpns.cli.moments import PastMoment
from openpns.cli.options import (
    ServerOptions,
    format_options,
    format_time,
    json_option,
    limit_option,
    optional_database_option,
    server_options,
    with_store,
)
from openpns.cli.output import print_json
from openpns.cli.progress import progress
from openpns.cli.streams import change_result
from openpns.cli.webhooks.options import choose_database, require_customer
from openpns.cli.webhooks.printing import PRINTERS, Printer, as_info
from openpns.deliveries.wire import FAILED, STATES, DeliveryInfo

if TYPE_CHECKING:
    from openpns.storage.store import Store

_TIMEOUT_MS: Final = 600_000
_DISORDER_S: Final = 3600
"""How much older a delivery may be than one behind it in a list."""

_since_option: Final = click.option(
    "--since",
    "since_ms",
    type=PastMoment(),
    help="Of events since then, e.g. 2027-01-31T18:00 or 2h (2 hours ago).",
)


class _Wanted:
    """Which deliveries of the pages to print.

    Args:
        limit: The newest ones, at most so many; all if None.
        since_ms: Only those of events since then.
    """

    def __init__(self, limit: int | None, since_ms: int | None) -> None:
        self._left = limit
        self._since_s = None if since_ms is None else -(-since_ms // 1000)
        self.page_size = min(limit or limits.DELIVERIES_IN_PAGE_MAX, limits.DELIVERIES_IN_PAGE_MAX)
        self.is_done = limit == 0

    def take(self, page: Sequence[DeliveryInfo], after: str | None) -> Sequence[DeliveryInfo]:
        """Return those to print; `after` is the `next` of the page."""
        since_s = self._since_s
        chosen = [one for one in page if since_s is None or one.created_at >= since_s][: self._left]
        if self._left is not None:
            self._left -= len(chosen)
        is_past = since_s is not None and any(
            one.created_at < since_s - _DISORDER_S for one in page
        )
        self.is_done = after is None or self._left == 0 or is_past
        return chosen


@click.group(
    cls=LazyGroup,
    package="openpns.cli.webhooks",
    lazy={"get": ("delivery:get", "Show one delivery.")},
    invoke_without_command=True,
)
@limit_option
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@_since_option
@click.option("--customer", "customer_id", help="Work on the database: those of this customer.")
@optional_database_option
@format_options(json="Print a JSON array.", ids="Print only the ids.")
@server_options
@click.pass_context
def deliveries(
    context: click.Context,
    /,
    limit: int | None,
    state: str | None,
    since_ms: int | None,
    customer_id: str | None,
    database: str | None,
    form: str,
    server: ServerOptions,
) -> None:
    """List deliveries, newest first.

    With --customer, those of a customer in the database; without, yours, through the API.
    """
    if context.invoked_subcommand is not None:
        if _is_any_given(context):
            raise click.UsageError(f"Give the options behind {context.invoked_subcommand}.")
        return
    chosen = choose_database(context, customer_id, database, server)
    wanted, printer = _Wanted(limit, since_ms), PRINTERS[form]()
    if chosen is None:
        _list_own(server, wanted, state, printer)
    else:
        _list_stored(chosen, require_customer(customer_id), wanted, state, printer)
    printer.end()


def _is_any_given(context: click.Context) -> bool:
    return any(
        context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in context.params
    )


def _list_own(server: ServerOptions, wanted: _Wanted, state: str | None, printer: Printer) -> None:
    after: str | None = ""
    with server.open() as client:
        while not wanted.is_done:
            page = client.deliveries.list(
                wanted.page_size,
                after or "",
                state=state,  # type: ignore[arg-type]
            )
            after = page.next if page.deliveries else None
            printer.print(wanted.take([as_info(found) for found in page.deliveries], after))


def _list_stored(
    database: str, customer_id: str, wanted: _Wanted, state: str | None, printer: Printer
) -> None:
    from openpns.accounts import customers
    from openpns.deliveries.listing import read_page

    async def work(store: "Store") -> None:
        await customers.get(store, customer_id)
        after: str | None = None
        while not wanted.is_done:
            page = await read_page(store, customer_id, wanted.page_size, after, state)
            after = page.next
            printer.print(wanted.take(page.deliveries, after))

    with_store(database, work)


@click.command()
@click.argument("delivery_id", required=False, metavar="[ID]")
@_since_option
@click.option(
    "--state", type=click.Choice([FAILED]), help="Only failed ones, as --since always does."
)
@click.option("--customer", "customer_id", help="Work on the database: those of this customer.")
@optional_database_option
@json_option
@server_options
@click.pass_context
def resend(
    context: click.Context,
    /,
    delivery_id: str | None,
    since_ms: int | None,
    state: str | None,
    customer_id: str | None,
    database: str | None,
    *,
    as_json: bool,
    server: ServerOptions,
) -> None:
    """Send the delivery ID again, or with --since all failed ones of events since a time.

    ID may also be its webhook-id. A worker of the server sends them; this command does not wait
    for it.
    """
    if (delivery_id is None) == (since_ms is None):
        raise click.UsageError("Give either the ID of a delivery or --since.")
    if state is not None and since_ms is None:
        raise click.UsageError("--state needs --since.")
    if delivery_id is not None:
        delivery_id = delivery_id.removeprefix("msg_")  # the webhook-id, as receivers log it
    chosen = choose_database(context, customer_id, database, server)
    if chosen is None:
        count = _resend_own(server, delivery_id, since_ms)
    else:
        count = _resend_stored(chosen, require_customer(customer_id), delivery_id, since_ms)
    with change_result():
        if as_json:
            print_json({"count": count})
        else:
            click.echo(_text(count, since_ms))


def _resend_own(server: ServerOptions, delivery_id: str | None, since_ms: int | None) -> int:
    since = None if since_ms is None else datetime.fromtimestamp(since_ms // 1000, UTC)
    count = 0
    with server.open() as client, progress("resending") as shown:
        while True:
            resent = client.deliveries.resend(delivery_id, since=since)
            count += resent.count
            shown.done = count
            if not resent.has_more:
                return count


def _resend_stored(
    database: str, customer_id: str, delivery_id: str | None, since_ms: int | None
) -> int:
    from openpns.clock import now_ms
    from openpns.deliveries import operations

    async def work(store: "Store") -> int:
        if delivery_id is not None:
            return await operations.resend(store, now_ms, customer_id, delivery_id)
        return await operations.resend_since(store, now_ms, customer_id, since_ms or 0)

    return with_store(database, work, timeout_ms=_TIMEOUT_MS, label="resending")


def _text(count: int, since_ms: int | None) -> str:
    if since_ms is not None:
        return (
            f"failed deliveries that are sent again: {count} (events since {format_time(since_ms)})"
        )
    return "it is sent again" if count else "an attempt is in flight: nothing was changed"
