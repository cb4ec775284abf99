"""Output: aligned tables, JSON, and text that fits a terminal."""

import json
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click
import msgspec

from openpns.kit.plain_text import plain, plain_json

GAP: Final = "  "
"""The space between two columns."""


def print_json(value: Any) -> None:
    """Print a struct, or a list of structs, as JSON."""
    click.echo(to_json(msgspec.to_builtins(value), indent=2))


def to_json(
    value: Any, indent: int | None = None, separators: tuple[str, str] | None = None
) -> str:
    """Return JSON that a terminal can show: the same value, with control characters escaped."""
    return plain_json(json.dumps(value, ensure_ascii=False, indent=indent, separators=separators))


def print_json_array(texts: Iterable[Any]) -> None:
    """Print a JSON array, each item on its own line as soon as it is there."""
    before = "["
    for text in texts:
        click.echo(f"{before}\n  {to_json(text)}", nl=False)
        before = ","
    click.echo("[]" if before == "[" else "\n]")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Print an aligned table; the line `empty` on stderr if it has no rows."""
    if rows:
        Table(columns).print(rows)
    else:
        click.echo(empty, err=True)


class Table:
    """A table that is printed slice by slice.

    If the first slice does not fit a terminal, each row is printed as lines of its own, one per
    column: nothing is cut.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._widths: list[int] = []
        self._is_expanded = False

    def print(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows as plain texts, the first ones below the names of the columns."""
        cells_of = [[plain(cell) for cell in row] for row in rows]
        table = cells_of if self._widths else [self._columns, *cells_of]
        wanted = [max(map(width, cells)) for cells in zip(*table, strict=True)]
        if not self._widths:
            line = terminal_width()
            taken = sum(wanted) + len(GAP) * (len(wanted) - 1)
            self._is_expanded = line is not None and taken > line
        # Columns never become narrower.
        before = self._widths or wanted
        self._widths = [max(*both) for both in zip(wanted, before, strict=True)]
        for row in cells_of if self._is_expanded else table:
            if self._is_expanded:
                self._print_expanded(row)
            else:
                print_row(row, self._widths)

    def _print_expanded(self, cells: Sequence[str]) -> None:
        names = max(map(width, self._columns))
        for name, cell in zip(self._columns, cells, strict=True):
            print_row((name, cell), (names, 0))
        click.echo()


def print_row(cells: Sequence[str], widths: Sequence[int]) -> None:
    """Print one row of a table; widths in terminal cells."""
    padded = (cell + " " * (taken - width(cell)) for cell, taken in zip(cells, widths, strict=True))
    click.echo(GAP.join(padded).rstrip())


def width(text: str) -> int:
    """Return how many terminal cells a text without control characters takes."""
    if text.isascii():
        return len(text)
    import wcwidth  # takes longer to import than the rest of this module

    return wcwidth.width(text, control_codes="ignore")


def cut(text: str, cells_max: int) -> str:
    """Return a text of at most `cells_max` (1 or more) cells, "…" at the place of a cut."""
    if width(text) <= cells_max:
        return text
    if text.isascii():
        return text[: cells_max - 1] + "…"
    import wcwidth

    shown, cells = "", 0
    for grapheme in wcwidth.iter_graphemes(text):
        cells += width(grapheme)
        if cells >= cells_max:
            break
        shown += grapheme
    return shown + "…"


def format_curl(url: str, headers: Mapping[str, str], body: str) -> str:
    """Return a curl command, one option per line."""
    lines = [f"curl -sS {shlex.quote(url)}"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items()]
    lines.append(f"--data-raw {shlex.quote(body)}")
    return " \\\n  ".join(lines)


def terminal_width() -> int | None:
    """Return the cells of a line: COLUMNS, or the terminal's; None if stdout is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
