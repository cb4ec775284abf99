"""Reports on the rows of a file."""

from collections.abc import Callable
from typing import Final

_BAD_ROWS_SHOWN: Final = 20


class Report:
    """Prints the first bad rows of a file, each once, and counts all."""

    def __init__(self, name: str, write: Callable[[str], None]) -> None:
        self.bad_lines: set[int] = set()
        self._name = name
        self._write = write

    def refuse(self, line: int, why: str) -> None:
        """Report a bad row, by the line it begins on."""
        if line in self.bad_lines:
            return
        self.bad_lines.add(line)
        if len(self.bad_lines) <= _BAD_ROWS_SHOWN:
            self.note(line, why)
        elif len(self.bad_lines) == _BAD_ROWS_SHOWN + 1:
            self._write(f"{self._name}: more bad rows follow, not shown")

    def note(self, line: int, text: str) -> None:
        """Print a text about a row."""
        self._write(f"{self._name}: line {line}: {text}")


def count_text(groups: int, phones: int) -> str:
    """Return "2 groups with 3 phones"."""
    return f"{groups} groups with {phones} phones"
