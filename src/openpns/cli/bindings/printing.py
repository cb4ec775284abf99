"""Bindings as a table, JSON, CSV or ids; page by page, so that memory stays small."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import click

from openpns.cli import options
from openpns.cli.output import Table, print_json_array
from openpns.client.binding_types import Binding, BindingDetails
from openpns.kit.plain_text import plain

Pages = Iterable[Sequence[Binding]]

_HEAD: Final = ("bindId", "phone A", "number", "phone B", "digits", "expires", "record", "own id")
COLUMNS: Final = (
    "customerId", "businessId", "bindId", "customerBindId", "phoneA", "phoneB", "did", "flag",
    "expireAt", "extension",
)  # fmt: skip

format_options = options.format_options(
    json="Print a JSON array.", csv="Print CSV.", ids="Print only the ids."
)
"""The options that select the format; the command gets its name as `form`."""


def as_dict(binding: Binding) -> dict[str, Any]:
    """Return a binding with the names and values of the API."""
    values = {
        "customerId": binding.customer_id,
        "businessId": binding.business_id,
        "bindId": binding.bind_id,
        "customerBindId": binding.customer_bind_id or "",
        "phoneA": binding.phone_a,
        "phoneB": binding.phone_b or "",
        "did": binding.did,
        "flag": int(binding.is_recorded),
        "expireAt": _seconds(binding.expires),
        "extension": binding.extension or "",
    }
    if isinstance(binding, BindingDetails):
        values |= {
            "kind": binding.kind,
            "groupId": binding.group_id or "",
            "createdAt": _seconds(binding.created),
            "lastCallAt": _seconds(binding.last_call),
        }
    return values


def format_moment(moment: datetime | None, none: str = "never") -> str:
    """Return a time as text, in UTC."""
    return none if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")


def _seconds(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp())


def _print_table(pages: Pages, empty: str) -> None:
    table = None
    for page in pages:
        table = table or Table(_HEAD)
        table.print([_cells(binding) for binding in page])
    if table is None:
        click.echo(empty, err=True)


def _cells(binding: Binding) -> tuple[str, ...]:
    return (
        binding.bind_id,
        binding.phone_a,
        binding.did,
        binding.phone_b or "-",
        binding.extension or "-",
        format_moment(binding.expires),
        "yes" if binding.is_recorded else "no",
        binding.customer_bind_id or "-",
    )


def _print_json(pages: Pages, _: str) -> None:
    print_json_array(as_dict(binding) for page in pages for binding in page)


def _print_csv(pages: Pages, _: str) -> None:
    click.echo(_csv_line(COLUMNS), nl=False)
    for page in pages:
        for binding in page:
            click.echo(_csv_line([plain(str(v)) for v in as_dict(binding).values()]), nl=False)


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _print_ids(pages: Pages, _: str) -> None:
    for page in pages:
        for binding in page:
            click.echo(plain(binding.bind_id))


PRINTERS: Final[dict[str, Callable[[Pages, str], None]]] = {
    "table": _print_table,
    "json": _print_json,
    "csv": _print_csv,
    "ids": _print_ids,
}
"""By format, the function that prints pages; a table prints its second argument if it is empty."""
