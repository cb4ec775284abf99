"""The header line of a CSV file of groups, and what people and programs write in its place."""

from collections.abc import Sequence
from typing import Final

from openpns.errors import ConfigError
from openpns.groups.rows import COLUMNS
from openpns.kit.plain_text import brief

_SHOWN_CHARS_MAX: Final = 40
_DIGITS_MIN: Final = 4
"""A cell with so many digits, whatever stands between them, may be a phone."""
_SEPARATOR_NAMES: Final = {";": "semicolons", "\t": "tabs", "|": "the character |"}


def check_header(header: Sequence[str], name: str) -> None:
    """Raise ConfigError if a header line is not one of COLUMNS; the text says what was found."""
    found = _problem(header)
    if found:
        raise ConfigError(
            f"{name}: the first line must be the names of the columns, in UTF-8 and joined with "
            f"commas, but {found}; allowed are {', '.join(COLUMNS)}; phones is required"
        )


def _problem(header: Sequence[str]) -> str | None:
    if not any(header):
        return "it is empty"
    if header[0].startswith(("\udcff\udcfe", "\udcfe\udcff")):
        return "the file is UTF-16"
    if any("\udc80" <= char <= "\udcff" for cell in header for char in cell):
        return "it is not UTF-8"
    return _problem_of_all(header) or _problem_of_names(header)


def _problem_of_all(header: Sequence[str]) -> str | None:
    if header[0].lower().startswith("sep="):
        return "it is the sep= of a spreadsheet; delete this line"
    for separator, shown in _SEPARATOR_NAMES.items():
        if len(header) == 1 and separator in header[0]:
            return f"its columns are separated by {shown}"
    if any(sum(map(str.isdigit, cell)) >= _DIGITS_MIN for cell in header):
        return "it has digits, as a row has: the names of the columns are missing"
    return None


def _problem_of_names(header: Sequence[str]) -> str | None:
    for cell in header:
        if cell in COLUMNS:
            continue
        if not cell.strip():
            return f"column {header.index(cell) + 1} has no name"
        shown = repr(brief(cell, _SHOWN_CHARS_MAX))
        for column in COLUMNS:
            if cell.strip().lower() == column.lower():
                return f"{shown} must be written {column}"
        if any(map(str.isdigit, cell)):  # it may be a part of a phone
            return f"column {header.index(cell) + 1} is none of these"
        return f"{shown} is not a column"
    for column in COLUMNS:
        if header.count(column) > 1:
            return f"{column} is there twice"
    return None if "phones" in header else "phones is missing"
