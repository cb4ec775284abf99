"""Files of number groups: CSV with a header line, read row by row, each with its line."""

import csv
from collections.abc import Iterator
from typing import IO, Final

from openpns.domain.bulk import COLUMNS, RawRow
from openpns.errors import ConfigError

# A group's numbers stand in one field: room for the largest setting, 16 characters a number.
_FIELD_CHARS_MAX: Final = 16 * 1_000_000


def read_csv(file: IO[str], name: str) -> Iterator[RawRow]:
    """Return the rows of a CSV file, each with the line it begins on.

    Args:
        file: The file, opened with `newline=""`.
        name: Its name, for error texts.

    Raises:
        ConfigError: The header line is not one of a file of groups, or the file is no CSV in
            UTF-8.
    """
    csv.field_size_limit(_FIELD_CHARS_MAX)
    reader = csv.reader(file, strict=True)
    line = 1
    try:
        header = next(reader, [])
        _check_header(header, name)
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                yield line, _columns(header, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigError(f"{name}: line {line}: no CSV ({error})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: after line {line}: not UTF-8") from None


def _check_header(header: list[str], name: str) -> None:
    if "phones" not in header or not set(header) <= set(COLUMNS) or len(set(header)) < len(header):
        raise ConfigError(
            f"{name}: the first line must name the columns; allowed are {', '.join(COLUMNS)}, of "
            "which phones is required"
        )


def _columns(header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        # Reported with the row's line: a column that is missing or too many.
        return {"phones": "", "error": f"has {len(cells)} columns, the first line {len(header)}"}
    return dict(zip(header, cells, strict=True))
