"""What every import of groups shares: going over the file, telling bad rows, the last line."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Final, Protocol

import click

from openpns.cli.exit_codes import ExitCode
from openpns.cli.group_file import open_rows
from openpns.groups.rows import RawRow

_BAD_ROWS_SHOWN: Final = 20
_BAR_STEPS: Final = 200

Pass = tuple[Iterator[RawRow], Callable[[], None]]
"""The rows of a file, and what moves the progress bar to where reading stands."""


class GroupFile:
    """A file of groups that is gone over more than once.

    Args:
        source: The open file.
        name: Its name, for people.
        form: "csv" or "jsonl".
    """

    def __init__(self, source: IO[bytes], name: str, form: str) -> None:
        self.name = name
        self._source = source
        self._form = form

    @contextmanager
    def go_over(self, label: str) -> Iterator[Pass]:
        """Read the file from its beginning, with a progress bar where stderr is a terminal.

        Args:
            label: What is being done, for the bar.
        """
        size = self._source.seek(0, io.SEEK_END)
        with (
            open_rows(self._source, self.name, self._form) as rows,
            click.progressbar(
                length=size,
                label=label,
                file=sys.stderr,
                hidden=not sys.stderr.isatty(),
                update_min_steps=max(1, size // _BAR_STEPS),
            ) as bar,
        ):
            read = 0

            def move() -> None:
                nonlocal read
                place = self._source.tell()
                if place != read:
                    bar.update(place - read)
                    read = place

            yield rows, move


class Report:
    """Tells the bad rows of a file as they are found, each once, and counts them.

    Args:
        name: The file's name.
    """

    def __init__(self, name: str) -> None:
        self.bad_lines: set[int] = set()
        self._name = name

    def refuse(self, line: int, why: str) -> None:
        """Tell a bad row; of many the first ones.

        Args:
            line: Where it begins.
            why: What is wrong with it.
        """
        if line in self.bad_lines:
            return
        self.bad_lines.add(line)
        if len(self.bad_lines) <= _BAD_ROWS_SHOWN:
            self.tell(line, why)
        elif len(self.bad_lines) == _BAD_ROWS_SHOWN + 1:
            click.echo(f"{self._name}: more bad rows follow, not shown", err=True)

    def tell(self, line: int, what: str) -> None:
        """Tell something about a row.

        Args:
            line: Where it begins.
            what: What to tell.
        """
        click.echo(f"{self._name}: line {line}: {what}", err=True)


class Importer(Protocol):
    """Where an import writes."""

    def check(self, file: GroupFile, report: Report, *, show: bool) -> str:
        """Check every row, write nothing; return what would be done.

        Args:
            file: The file.
            report: Told the bad rows.
            show: Whether to print what would be done to each group.
        """

    def write(self, file: GroupFile, report: Report) -> None:
        """Write every good row, and print what was done.

        Args:
            file: The file.
            report: Told rows that are found bad only now.
        """


def run_import(importer: Importer, file: GroupFile, *, dry_run: bool, keep_going: bool) -> None:
    """Check a file, then write it; end the process with 1 where rows are bad.

    Args:
        importer: Where to write.
        file: The file.
        dry_run: Write nothing.
        keep_going: Write the good rows although others are bad.
    """
    report = Report(file.name)
    would = importer.check(file, report, show=dry_run)
    if dry_run:
        click.echo(f"would {would}")
    elif report.bad_lines and not keep_going:
        click.echo("nothing was imported", err=True)
    else:
        importer.write(file, report)
    if report.bad_lines:
        click.echo(f"bad rows: {len(report.bad_lines)}", err=True)
        sys.exit(ExitCode.FAILED)


def counts(groups: int, phones: int) -> str:
    """Return "2 groups with 3 numbers".

    Args:
        groups: How many groups.
        phones: How many numbers they have.
    """
    return f"{groups} groups with {phones} numbers"
