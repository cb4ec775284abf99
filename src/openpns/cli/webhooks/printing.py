"""Webhooks and deliveries as a table or JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from openpns.cli.options import format_time
from openpns.cli.output import Table, print_json, print_row, print_table, to_json
from openpns.clock import now_ms
from openpns.deliveries.wire import DeliveryInfo
from openpns.kit.plain_text import plain

if TYPE_CHECKING:
    from datetime import datetime

    from openpns.client.delivery_types import Delivery
    from openpns.deliveries.endpoints import Usage
    from openpns.deliveries.rows import Webhook

_HEAD: Final = ("id", "kind", "state", "tries", "created", "last try", "next try", "status", "why")


def print_webhooks(found: Sequence["Webhook"], *, as_json: bool) -> None:
    """Print webhooks as the operator sees them."""
    if as_json:
        print_json([as_dict(one) for one in found])
        return
    rows = [
        (one.customer_id, one.state, ",".join(one.kinds), format_time(one.changed_ms), one.url)
        for one in found
    ]
    empty = "no webhooks; set one with: openpns webhooks set"
    print_table(("customer", "state", "kinds", "changed", "url"), rows, empty=empty)


def print_webhook(found: "Webhook", usage: "Usage | None" = None, *, as_json: bool) -> None:
    """Print one webhook and, if they are given, the numbers of its deliveries."""
    if as_json:
        print_json(as_dict(found, usage))
        return
    attributes = [
        ("customer", found.customer_id),
        ("url", found.url),
        ("kinds", ",".join(found.kinds)),
        ("state", found.state),
        ("created", format_time(found.created_ms)),
        ("changed", format_time(found.changed_ms)),
        ("old secret until", format_time(_if_ahead(found.previous_secret_until_ms))),
    ]
    if usage is not None:
        attributes += [
            ("pending", _count(usage.pending)),
            ("failed", _count(usage.failed)),
            ("oldest pending", format_time(usage.oldest_pending_ms)),
        ]
    print_attributes(attributes)


def as_dict(found: "Webhook", usage: "Usage | None" = None) -> dict[str, Any]:
    """Return a webhook and, if they are given, the numbers of its deliveries, as JSON shows them.

    As in the API, names of times end in At, and times are in s; 0 for none.
    """
    values: dict[str, Any] = {
        "customerId": found.customer_id,
        "url": found.url,
        "kinds": found.kinds,
        "state": found.state,
        "createdAt": _seconds(found.created_ms),
        "changedAt": _seconds(found.changed_ms),
        "oldSecretEndsAt": _seconds(found.previous_secret_until_ms),
    }
    if usage is not None:
        values["deliveries"] = {
            "pending": usage.pending,
            "failed": usage.failed,
            "oldestPendingAt": _seconds(usage.oldest_pending_ms),
        }
    return values


def _seconds(ms: int | None) -> int:
    return (ms or 0) // 1000


def print_attributes(attributes: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair per line."""
    cells_max = max(len(name) for name, _ in attributes)
    for name, value in attributes:
        print_row((name, plain(value)), (cells_max, 0))


def _if_ahead(moment_ms: int | None) -> int | None:
    """Return a moment, None if it is over."""
    return None if moment_ms is None or moment_ms <= now_ms() else moment_ms


def _count(number: int) -> str:
    from openpns.deliveries.endpoints import COUNTED_MAX

    return f"{number} or more" if number == COUNTED_MAX else str(number)


class Printer:
    """Prints deliveries page by page, so that memory stays small; this one prints a table."""

    def __init__(self) -> None:
        self._table: Table | None = None

    def print(self, deliveries: Sequence[DeliveryInfo]) -> None:
        """Print a page."""
        if deliveries:
            self._table = self._table or Table(_HEAD)
            self._table.print([_cells(delivery) for delivery in deliveries])

    def end(self) -> None:
        """Print what comes after the last page."""
        if self._table is None:
            click.echo("no deliveries", err=True)


class JsonPrinter(Printer):
    """Prints a JSON array."""

    def __init__(self) -> None:
        self._before = "["

    def print(self, deliveries: Sequence[DeliveryInfo]) -> None:  # noqa: D102
        for delivery in deliveries:
            text = to_json(msgspec.to_builtins(delivery))
            click.echo(f"{self._before}\n  {text}", nl=False)
            self._before = ","

    def end(self) -> None:  # noqa: D102
        click.echo("[]" if self._before == "[" else "\n]")


class IdPrinter(Printer):
    """Prints the ids."""

    def __init__(self) -> None:
        """Print nothing yet."""

    def print(self, deliveries: Sequence[DeliveryInfo]) -> None:  # noqa: D102
        for delivery in deliveries:
            click.echo(plain(delivery.id))

    def end(self) -> None:  # noqa: D102
        pass


PRINTERS: Final[dict[str, type[Printer]]] = {
    "table": Printer,
    "json": JsonPrinter,
    "ids": IdPrinter,
}


def attributes_of(delivery: DeliveryInfo) -> list[tuple[str, str]]:
    """Return what `openpns webhooks deliveries get` prints of a delivery."""
    id_, *others = zip(_HEAD, _cells(delivery), strict=True)
    return [id_, ("webhook-id", delivery.webhook_id), *others]


def _cells(delivery: DeliveryInfo) -> tuple[str, ...]:
    return (
        delivery.id,
        delivery.kind,
        delivery.state,
        str(delivery.tries),
        _time(delivery.created_at),
        _time(delivery.last_at),
        _time(delivery.next_at),
        str(delivery.last_status or "-"),
        delivery.last_error or "-",
    )


def _time(seconds: int) -> str:
    return format_time(seconds * 1000 if seconds else None)


def as_info(found: "Delivery") -> DeliveryInfo:
    """Return a delivery of the client as the wire has it."""
    return DeliveryInfo(
        found.id,
        found.webhook_id,
        found.kind,
        found.state,
        found.tries,
        _seconds_of(found.next_try),
        found.last_status or 0,
        found.last_error,
        _seconds_of(found.created),
        _seconds_of(found.last_try),
    )


def _seconds_of(moment: "datetime | None") -> int:
    return 0 if moment is None else int(moment.timestamp())
