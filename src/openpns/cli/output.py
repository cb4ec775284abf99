"""Printing results: tables that stay aligned, JSON, and text that fits a terminal."""

import json
import shutil
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

GAP: Final = "  "
"""What stands between two columns."""

# Characters that take no cell: accents that combine, and marks that only direct or join.
_NO_CELL: Final = frozenset({"Mn", "Me", "Cf"})
_CONTROL: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTION_MARKS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def print_json(value: Any) -> None:
    """Print a struct, or a list of them, as JSON.

    Args:
        value: What to print.
    """
    import msgspec

    click.echo(json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Print rows under their columns' names, aligned; or a sentence where there are none.

    Args:
        columns: The columns' names.
        rows: The cells.
        empty: What to say without rows; goes to stderr.
    """
    if not rows:
        click.echo(empty, err=True)
        return
    table = [columns, *rows]
    widths = [max(width(row[place]) for row in table) for place in range(len(columns))]
    for row in table:
        print_row(row, widths)


def print_row(cells: Sequence[str], widths: Sequence[int]) -> None:
    """Print one row of a table.

    Args:
        cells: The cells.
        widths: How many cells of the terminal each column takes.
    """
    padded = (cell + " " * (taken - width(cell)) for cell, taken in zip(cells, widths, strict=True))
    click.echo(GAP.join(padded).rstrip())


def width(text: str) -> int:
    """Return how many cells a text takes in a terminal: a Chinese character takes two.

    Args:
        text: The text, without control characters.
    """
    if text.isascii():
        return len(text)
    return sum(_cells(char) for char in text)


def cut(text: str, cells_max: int) -> str:
    """Return a text that takes at most so many cells, with "…" in the place of what is left out.

    Args:
        text: The text.
        cells_max: How many cells it may take; at least 1.
    """
    if width(text) <= cells_max:
        return text
    kept = []
    room = cells_max - 1
    for char in text:
        room -= _cells(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + "…"


def plain(text: str) -> str:
    """Return a text that cannot move the cursor, change colours or turn the line around.

    Args:
        text: What a server sent.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        "\ufffd" if unicodedata.category(char) in _CONTROL or char in _DIRECTION_MARKS else char
        for char in text
    )


def terminal_width() -> int:
    """Return how many cells a line has: COLUMNS, else the terminal's width, else 80."""
    return shutil.get_terminal_size().columns


def _cells(char: str) -> int:
    if unicodedata.category(char) in _NO_CELL:
        return 0
    return 1 + (unicodedata.east_asian_width(char) in "WF")
