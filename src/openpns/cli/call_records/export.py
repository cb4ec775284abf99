"""`openpns call-records export`.

A file gets its name once it is complete. Until then its rows are in a file beside it, from which
--resume goes on.
"""

import csv
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import click
import msgspec

from openpns.bulk.files import form_of, guarded, open_target
from openpns.call_records.wire import CallRecord
from openpns.cli.call_records.printing import COLUMNS, csv_line, texts_of
from openpns.cli.call_records.source import (
    filters_of,
    fixed_filter_options,
    place_of,
    place_options,
    read_pages,
)
from openpns.cli.lazy import FILE_NAME
from openpns.cli.options import ServerOptions, server_options
from openpns.cli.output import to_json
from openpns.cli.progress import progress
from openpns.errors import ConfigError
from openpns.kit.plain_text import plain, without_controls

_SUFFIX: Final = ".openpns-export"
_NUMBER_SHOWN_MAX: Final = 10**11
"""Spreadsheets show a number of more digits as a power of ten."""
_TAIL_BYTES: Final = 64 * 1024
"""More than a row has."""

_MARK: Final = "\ufeff"


@click.command()
@click.argument("file", type=FILE_NAME, metavar="[FILE]", default="-")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    help="CSV or JSON; if not given, by the extension (.jsonl, .ndjson, .json), else CSV.",
)
@click.option(
    "--spreadsheet",
    "guard",
    is_flag=True,
    help="Write CSV that a spreadsheet opens without running formulas or changing numbers.",
)
@click.option("--resume", is_flag=True, help="Continue an interrupted export.")
@fixed_filter_options
@server_options
@place_options
@click.pass_context
def export(
    context: click.Context,
    /,
    file: str,
    form: str | None,
    server: ServerOptions,
    customer_id: str | None,
    database: str | None,
    bind_id: str | None,
    did: str | None,
    phone: str | None,
    since: int | None,
    until: int | None,
    *,
    guard: bool,
    resume: bool,
) -> None:
    """Write call records to a FILE (- for stdout), newest first.

    With --customer, those in the database; without, yours, through the API. If it is interrupted,
    the same command with --resume writes the rest; calls that were reported meanwhile are not in
    the file.
    """
    place = place_of(context, server, customer_id, database)
    filters = filters_of(bind_id=bind_id, did=did, phone=phone, since=since, until=until)
    form = form_of(file, form)
    if guard and form != "csv":
        raise click.UsageError("--spreadsheet is for CSV only.")
    if resume and file == "-":
        raise click.UsageError("--resume needs a FILE.")
    with _open(file, form, resume=resume) as (out, after), progress("exporting") as shown:
        write = _writer(out, form, guard=guard, is_begun=bool(after))

        def take(records: Sequence[CallRecord]) -> None:
            for record in records:
                write(record)
            out.flush()
            shown.done += len(records)

        read_pages(place, filters, take, after=after, at_most=None)
    click.echo(f"exported {shown.done} call records", err=True)


@contextmanager
def _open(file: str, form: str, *, resume: bool) -> Iterator[tuple[IO[str], str]]:
    """Open a file to write, and return the place after which its rows go on.

    Raises:
        ConfigError: It cannot be written, or there is nothing to resume.
    """
    target = Path(file).resolve()
    if file == "-" or (target.exists() and not target.is_file()):
        with open_target(file) as out:
            yield out, ""
        return
    part = target.with_name(target.name + _SUFFIX)
    if resume and not part.exists():
        raise ConfigError(f"--resume: there is no {part}: nothing was interrupted")
    try:
        flags = os.O_RDWR | os.O_CREAT | (0 if resume else os.O_TRUNC)
        descriptor = os.open(part, flags, 0o600)
        with os.fdopen(descriptor, "r+", encoding="utf-8", newline="") as out:
            os.fchmod(descriptor, 0o600)
            after = _find_end(out, form) if resume else ""
            yield out, after
            out.flush()
            os.fsync(out.fileno())
        part.replace(target)
    except OSError as error:
        raise ConfigError(f"{file}: cannot write it ({error.strerror})") from None


def _find_end(out: IO[str], form: str) -> str:
    """Cut off a row that is not complete; return the place of the last one, "" for none.

    Raises:
        ConfigError: The last row is not one of this format.
    """
    size = os.fstat(out.fileno()).st_size
    begin = max(0, size - _TAIL_BYTES)
    tail = os.pread(out.fileno(), size - begin, begin)
    end = tail.rfind(b"\n") + 1
    os.ftruncate(out.fileno(), begin + end)
    out.seek(begin + end)
    line = tail[:end].rstrip(b"\n").rpartition(b"\n")[2].decode()
    if not line or line.lstrip(_MARK) == csv_line(COLUMNS).rstrip("\n"):
        os.ftruncate(out.fileno(), 0)
        out.seek(0)
        return ""
    try:
        values = json.loads(line) if form == "jsonl" else _cells_of(line)
        return f"{int(values['startAt'])}-{int(values['id'])}"
    except (ValueError, KeyError, TypeError):
        raise ConfigError("--resume: the last row of the interrupted export is damaged") from None


def _cells_of(line: str) -> dict[str, str]:
    (cells,) = csv.reader([line], strict=True)
    return {name: re.sub("^'", "", cell) for name, cell in zip(COLUMNS, cells, strict=True)}


def _writer(
    out: IO[str], form: str, *, guard: bool, is_begun: bool
) -> Callable[[CallRecord], object]:
    if form == "jsonl":
        return lambda record: out.write(to_json(msgspec.to_builtins(record)) + "\n")
    if not is_begun:
        out.write((_MARK if guard else "") + csv_line(COLUMNS))
    clean = plain if out.isatty() else without_controls

    def write(record: CallRecord) -> None:
        cells = [clean(text) for text in texts_of(record)]
        if guard:  # numbers that stay as they are can then be added up
            numbers = map(_is_shown_as_it_is, msgspec.structs.astuple(record))
            cells = [
                cell if is_number else guarded(cell)
                for cell, is_number in zip(cells, numbers, strict=True)
            ]
        out.write(csv_line(cells))

    return write


def _is_shown_as_it_is(value: object) -> bool:
    """Return whether a spreadsheet shows a value as it is, as a number."""
    return isinstance(value, int) and value < _NUMBER_SHOWN_MAX
