"""Call records as a table, JSON, CSV or callIds; page by page, so that memory stays small."""

import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import click
import msgspec

from openpns.call_records.wire import CALLEE, CallRecord
from openpns.cli import options
from openpns.cli.output import Table, to_json
from openpns.kit.plain_text import plain

COLUMNS: Final = CallRecord.__struct_encode_fields__
"""The names of the fields, in their order."""

_HEAD: Final = ("id", "began", "caller", "number", "callee", "status", "seconds", "callId")

format_options = options.format_options(
    json="Print a JSON array.", csv="Print CSV.", ids="Print only the callIds."
)
"""The options that select the format; the command gets its name as `form`."""


class Printer:
    """Prints pages of records in one format; call `end` after the last one."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._is_empty = True
        self._table = Table(_HEAD)
        self._print: Callable[[Sequence[CallRecord]], None] = {
            "table": self._print_rows,
            "json": self._print_json,
            "csv": self._print_csv,
            "ids": self._print_ids,
        }[form]

    def page(self, records: Sequence[CallRecord]) -> None:
        """Print a page that is not empty."""
        self._print(records)
        self._is_empty = False

    def end(self) -> None:
        """Print what follows the last page."""
        if self._form == "json":
            click.echo("[]" if self._is_empty else "\n]")
        elif self._form == "csv" and self._is_empty:
            click.echo(csv_line(COLUMNS), nl=False)
        elif self._form == "table" and self._is_empty:
            click.echo("no call records", err=True)

    def _print_rows(self, records: Sequence[CallRecord]) -> None:
        self._table.print([_cells(record) for record in records])

    def _print_json(self, records: Sequence[CallRecord]) -> None:
        before = "[" if self._is_empty else ","
        for record in records:
            click.echo(f"{before}\n  {to_json(msgspec.to_builtins(record))}", nl=False)
            before = ","

    def _print_csv(self, records: Sequence[CallRecord]) -> None:
        if self._is_empty:
            click.echo(csv_line(COLUMNS), nl=False)
        for record in records:
            click.echo(csv_line([plain(cell) for cell in texts_of(record)]), nl=False)

    def _print_ids(self, records: Sequence[CallRecord]) -> None:
        for record in records:
            click.echo(plain(record.call_id))


def texts_of(record: CallRecord) -> list[str]:
    """Return the values of a record as texts, in the order of COLUMNS."""
    return [str(value) for value in msgspec.structs.astuple(record)]


def csv_line(cells: Sequence[str]) -> str:
    """Return a line of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def attributes_of(record: CallRecord) -> list[tuple[str, str]]:
    """Return what `openpns call-records get` prints of a record."""
    return [
        ("id", str(record.id)),
        ("callId", record.call_id),
        ("bindId", record.bind_id or "-"),
        ("own id", record.customer_bind_id or "-"),
        ("business", record.business_id),
        ("caller", record.caller),
        ("number", record.did),
        ("callee", record.callee or "-"),
        ("status", record.call_status_msg),
        ("seconds", str(record.duration)),
        ("began", _moment(record.start_at)),
        ("answered", _moment(record.answer_at)),
        ("ended", _moment(record.hangup_at)),
        ("ended by", "callee or platform" if record.hangup == CALLEE else "caller"),
        ("cause", record.hangup_cause or "-"),
        ("code", str(record.hangup_code)),
        ("recording", record.record_file or "-"),
        ("digits", record.extension_caller or record.extension_callee or "-"),
    ]


def _cells(record: CallRecord) -> tuple[str, ...]:
    return (
        str(record.id),
        _moment(record.start_at),
        record.caller,
        record.did,
        record.callee or "-",
        record.call_status_msg,
        str(record.duration),
        record.call_id,
    )


def _moment(seconds: int) -> str:
    if not seconds:
        return "-"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # of a server that sends anything
        return "?"
