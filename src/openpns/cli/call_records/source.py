"""Where the commands read call records: the API, or with --customer the database."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from click.core import ParameterSource

from openpns import limits
from openpns.call_records.wire import CallRecord, CallRecordPage
from openpns.cli.moments import Moment, PastMoment
from openpns.cli.options import ServerOptions, add_options, with_store
from openpns.client.requests import Request

if TYPE_CHECKING:
    from openpns.core.context import Context
    from openpns.storage.store import Store

_TIMEOUT_MS = 600_000

Take = Callable[[Sequence[CallRecord]], object]
"""Gets the records of a page."""

_WHICH: Final = (
    click.option("--binding", "bind_id", metavar="ID", help="Only calls of this binding."),
    click.option("--did", help="Only calls to this virtual number."),
    click.option("--phone", help="Only calls from or to this phone."),
)

filter_options = add_options(
    *_WHICH,
    click.option(
        "--since",
        type=PastMoment(),
        help="Only calls that began then or later, e.g. 2027-01-31 or 2h (2 hours ago).",
    ),
    click.option("--until", type=PastMoment(), help="Only calls that began before."),
)
"""The filters; `filters_of` takes what the command gets for them."""

fixed_filter_options = add_options(
    *_WHICH,
    click.option("--since", type=Moment(), help="Only calls that began then or later."),
    click.option("--until", type=Moment(), help="Only calls that began before."),
)
"""The same without spans before now, so that a repeated command chooses the same calls."""

place_options = add_options(
    click.option("--customer", "customer_id", help="Read the database, of this customer."),
    click.option(
        "--database",
        envvar="OPENPNS_DATABASE",
        show_envvar=True,
        metavar="URL",
        help="The database; only with --customer.",
    ),
)
"""Where to read; `place_of` takes what the command gets for them."""


class Place(msgspec.Struct, frozen=True):
    """Where to read: a database and a customer, or a server if both are empty."""

    server: ServerOptions
    database: str = ""
    customer_id: str = ""


def place_of(
    context: click.Context, server: ServerOptions, customer_id: str | None, database: str | None
) -> Place:
    """Return where to read.

    Raises:
        UsageError: The options contradict each other, or the database is missing.
    """
    if customer_id is None:
        # An OPENPNS_DATABASE that is set for other commands does not select the database.
        if context.get_parameter_source("database") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--database needs --customer.")
        return Place(server)
    if server.is_given:
        raise click.UsageError("--customer works on the database, without a profile or server.")
    if not database:
        raise click.UsageError("Missing option '--database' (env var: 'OPENPNS_DATABASE').")
    return Place(server, database, customer_id)


def filters_of(
    *,
    bind_id: str | None,
    did: str | None,
    phone: str | None,
    since: int | None,
    until: int | None,
) -> dict[str, Any]:
    """Return the filters that were given, by the names of the rule's parameters.

    Times of the options are in ms; the API has s. A call counts by the second in which it began.
    """
    filters = {
        "bind_id": bind_id,
        "did": did,
        "phone": phone,
        "since": None if since is None else max(0, -(-since // 1000)),
        "until": None if until is None else max(0, -(-until // 1000)),
    }
    return {name: value for name, value in filters.items() if value is not None}


def read_pages(
    place: Place, filters: dict[str, Any], take: Take, *, after: str = "", at_most: int | None
) -> None:
    """Read the records that match, newest first, and hand over each page.

    Args:
        after: Begin after this place, the `next` of a page.
        at_most: How many records; None for all.
    """
    left = _Left(at_most)
    if not place.database:
        with place.server.open() as client:
            while left.size:
                body = {"limit": left.size, "after": after} | _on_the_wire(filters)
                page = client.send(_request(body))
                if not left.take(page, take):
                    return
                after = page.next or ""
        return

    async def work(context: "Context") -> None:
        from openpns.call_records.listing import list_call_records

        place_after = after
        while left.size:
            page = await list_call_records(context, limit=left.size, after=place_after, **filters)
            if not left.take(page, take):
                return
            place_after = page.next or ""

    with_customer(place, work)


def with_customer(place: Place, work: Callable[["Context"], Any]) -> Any:
    """Run `work` for the customer, on the database."""
    from openpns.accounts import customers
    from openpns.clock import now_ms
    from openpns.core.context import Context, Services
    from openpns.core.principal import Principal
    from openpns.ids import Snowflake

    async def run(store: "Store") -> Any:
        await customers.get(store, place.customer_id)
        services = Services(store, Snowflake(now_ms, worker_id=0), now_ms)
        return await work(Context(services, Principal("", place.customer_id)))

    return with_store(place.database, run, timeout_ms=_TIMEOUT_MS)


class _Left:
    """How many records may still be read."""

    def __init__(self, at_most: int | None) -> None:
        self._at_most = at_most

    @property
    def size(self) -> int:
        """How many records the next page may hold; 0 for no next page."""
        most = limits.CALL_RECORDS_IN_PAGE_MAX
        return most if self._at_most is None else min(most, self._at_most)

    def take(self, page: CallRecordPage, take: Take) -> bool:
        """Hand over a page; return whether another one follows."""
        if self._at_most is not None:
            self._at_most -= len(page.records)
        if page.records:
            take(page.records)
        return page.next is not None


def _on_the_wire(filters: dict[str, Any]) -> dict[str, Any]:
    return {"bindId" if name == "bind_id" else name: value for name, value in filters.items()}


def _request(body: dict[str, Any]) -> Request[CallRecordPage]:
    return Request(
        "listCallRecords",
        body,
        lambda envelope: msgspec.convert(envelope.get("data"), CallRecordPage),
        is_read=True,
        is_extension=True,
    )
