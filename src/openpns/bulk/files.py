"""Files of number groups: CSV with a header line, or JSON. Rows are read one by one."""

import codecs
import csv
import io
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final

from openpns.bulk.headers import check_header
from openpns.errors import ConfigError
from openpns.groups.rows import COLUMNS, RawRow
from openpns.kit import atomic_file
from openpns.kit.json_values import JsonValuesError, RepeatedName, read_json_values, unique_names
from openpns.kit.plain_text import plain, plain_json, without_controls

# All phones of a group are one field: the largest setting, 16 characters per phone.
_FIELD_CHARS_MAX: Final = 16 * 1_000_000
# JSON of such a group may have as many quotes, commas and spaces again.
_VALUE_CHARS_MAX: Final = 2 * _FIELD_CHARS_MAX
_OPTIONAL: Final = "groupId, groupName and remark"

# What spreadsheets take for the beginning of a formula, also in its full-width form.
# And numbers, dates and times: it would show them in another form, and store that.
_FORMULA: Final = re.compile(r"'*(?:[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]|[0-9][0-9.,:/eE+\- ]*\Z)")
_GUARD: Final = "'"
_PEEK_BYTES: Final = 4096


@contextmanager
def open_source(file: str) -> Iterator[IO[bytes]]:
    """Open a file, or stdin for -, to read it more than once; a pipe is copied to a temporary file.

    Raises:
        ConfigError: It cannot be read.
    """
    with ExitStack() as stack:
        try:
            source: IO[bytes] = sys.stdin.buffer
            if file != "-":
                source = stack.enter_context(Path(file).open("rb"))
            if file == "-" or not source.seekable():
                copy = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(source, copy)
                source = copy
        except OSError as error:
            raise ConfigError(f"{file}: cannot read it ({error.strerror})") from None
        yield source


@contextmanager
def open_target(file: str) -> Iterator[IO[str]]:
    """Open a file to write, or stdout for -. A file has mode 0600 and gets its name at the end.

    Raises:
        ConfigError: It cannot be written.
    """
    if file == "-":
        out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
        try:
            yield out
        finally:
            out.detach()
        return
    target = Path(file).resolve()  # a link stays, its target is replaced
    try:
        if target.exists() and not target.is_file():  # a device or a pipe cannot be replaced
            with target.open("w", encoding="utf-8", newline="") as out:
                yield out
            return
        with atomic_file.draft_beside(target) as draft:
            with draft.open("w", encoding="utf-8", newline="") as out:
                yield out
            atomic_file.publish(draft, target)
    except OSError as error:
        raise ConfigError(f"{file}: cannot write it ({error.strerror})") from None


def form_of(file: str, form: str | None) -> str:
    """Return "csv" or "jsonl": `form` if given, else by the file's extension."""
    return form or ("jsonl" if file.endswith((".jsonl", ".ndjson", ".json")) else "csv")


@contextmanager
def open_rows(
    source: IO[bytes], name: str, form: str = "csv", *, is_guarded: bool = False
) -> Iterator[Iterator[RawRow]]:
    """Read an open file from its beginning, as "csv" or "jsonl"; see `read_csv` for errors.

    With `is_guarded`, undo what `row_writer` did with `guard`.
    """
    source.seek(0)
    if form == "jsonl":
        yield read_json(source, name)
        return
    text = io.TextIOWrapper(source, "utf-8-sig", errors="surrogateescape", newline="")
    try:
        rows = read_csv(text, name)
        yield ((line, _unguarded(columns)) for line, columns in rows) if is_guarded else rows
    finally:
        text.detach()


def row_writer(
    out: IO[str], form: str, *, guard: bool = False
) -> Callable[[Sequence[str]], object]:
    """Return a function that writes one row of COLUMNS, so that an import can read it.

    Control characters are escaped in JSON, replaced in CSV; marks of the direction of writing only
    on a terminal.

    Args:
        guard: Put ' before a cell of a CSV file that a spreadsheet would take for a formula or a
            number, and begin with a byte order mark, or it would not read the file as UTF-8.
    """
    if form == "csv":
        if guard:
            out.write("\ufeff")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        clean = plain if out.isatty() else without_controls

        def write_cells(row: Sequence[str]) -> None:
            cells = map(clean, row)
            writer.writerow(map(guarded, cells) if guard else cells)

        return write_cells

    def write(row: Sequence[str]) -> None:
        group: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
        group["phones"] = group["phones"].split(",") if group["phones"] else []
        out.write(plain_json(json.dumps(group, ensure_ascii=False)) + "\n")

    return write


def guarded(cell: str) -> str:
    """Put ' before a formula, and before one with ' already: then `_unguarded` is the inverse."""
    return _GUARD + cell if _FORMULA.match(cell) else cell


def _unguarded(columns: dict[str, str]) -> dict[str, str]:
    return {
        name: cell[1:] if cell.startswith(_GUARD) and _FORMULA.match(cell) else cell
        for name, cell in columns.items()
    }


def read_json(file: IO[bytes], name: str) -> Iterator[RawRow]:
    """Return the rows of a file with one JSON object per line, or of any other JSON of objects.

    Other JSON is an array, as `groups list --json` prints it, or objects of several lines, as
    `groups get --json` prints them.

    Raises:
        ConfigError: Other JSON has a fault: where the next object begins is not known.
    """
    if not _has_value_per_line(file):
        try:
            for line, value in read_json_values(file, _VALUE_CHARS_MAX):
                yield line, _object_columns(value)
        except JsonValuesError as error:
            raise ConfigError(f"{name}: line {error.line}: {error}") from None
        return
    for line, content in enumerate(_bounded_lines(file), start=1):
        text = content.removeprefix(codecs.BOM_UTF8) if line == 1 else content
        if len(text) > _VALUE_CHARS_MAX:
            yield line, {"error": f"is longer than {_VALUE_CHARS_MAX} bytes"}
        elif text.strip():
            yield line, _line_columns(text)


def _has_value_per_line(file: IO[bytes]) -> bool:
    """Look at the beginning of a file, up to its first character that is no white space."""
    first = file.readline(_PEEK_BYTES).removeprefix(codecs.BOM_UTF8)
    while first and not first.strip():
        first = file.readline(_PEEK_BYTES)
    file.seek(0)
    return not (first.lstrip().startswith(b"[") or first.strip() == b"{")


def _bounded_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Return the lines; of one that is too long, its beginning, which is too long as well."""
    while line := file.readline(_VALUE_CHARS_MAX + 1):
        yield line
        while len(line) > _VALUE_CHARS_MAX and not line.endswith(b"\n"):
            line = file.readline(_VALUE_CHARS_MAX + 1)


def read_csv(file: IO[str], name: str) -> Iterator[RawRow]:
    """Return the rows of a CSV file.

    Args:
        file: Opened with `newline=""`; with `errors="surrogateescape"`, rows that are not UTF-8
            are reported with their line.
        name: For error texts.

    Raises:
        ConfigError: The header line is wrong, or the file is not CSV.
    """
    csv.field_size_limit(_FIELD_CHARS_MAX)
    reader = csv.reader(file, strict=True)
    line = 1
    try:
        header = next(reader, [])
        check_header(header, name)
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                yield line, _columns(header, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigError(f"{name}: line {line}: not CSV ({error})") from None


def _columns(header: list[str], cells: list[str]) -> dict[str, str]:
    """Return a row's columns, or the error to report with its line."""
    if len(cells) != len(header):
        return {"error": f"has {len(cells)} columns, the first line {len(header)}"}
    if not all(cell.isascii() or _is_unicode(cell) for cell in cells):
        return {"error": "is not UTF-8"}
    return dict(zip(header, cells, strict=True))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _line_columns(text: bytes) -> dict[str, str]:
    try:
        return _object_columns(json.loads(text.decode(), object_pairs_hook=unique_names))
    except UnicodeDecodeError:
        return {"error": "is not UTF-8"}
    except (ValueError, RecursionError):
        return {"error": "is not JSON"}


def _object_columns(values: Any) -> dict[str, str]:
    """Return an object's columns, or the error to report with its line."""
    if isinstance(values, RepeatedName):
        return {"error": "has a name twice"}
    if not isinstance(values, dict):
        return {"error": "is not a JSON object"}
    # Lines of groups list --json contain the customer; the import has its own.
    values.pop("customerId", None)
    if "phones" not in values or not values.keys() <= set(COLUMNS):
        return {"error": f"must have phones and may have {_OPTIONAL}, nothing else"}
    if isinstance(values["phones"], list) and all(isinstance(p, str) for p in values["phones"]):
        values["phones"] = ",".join(values["phones"])
    columns = {name: "" if value is None else value for name, value in values.items()}
    if not all(isinstance(value, str) and _is_unicode(value) for value in columns.values()):
        return {"error": "phones must be a text or an array of texts, the others texts"}
    return columns
