"""Output: aligned tables, JSON, and text that fits a terminal."""

import json
import shlex
import shutil
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
        print_rows(columns, rows)
    else:
        click.echo(empty, err=True)


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[str]], before: Sequence[int] = ()
) -> list[int]:
    """Print rows of a table as plain texts, after the columns' names if they are the first rows.

    Return the widths, for the next rows: they never become narrower.
    """
    cells_of = [[plain(cell) for cell in row] for row in rows]
    table = cells_of if before else [columns, *cells_of]
    wanted = [max(map(width, cells)) for cells in zip(*table, strict=True)]
    widths = [max(*both) for both in zip(wanted, before, strict=True)] if before else wanted
    for row in table:
        print_row(row, widths)
    return widths


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


def terminal_width() -> int:
    """Return the cells of a line: COLUMNS, else the terminal's width, else 80."""
    return shutil.get_terminal_size().columns
