"""Import of groups through the API: compare with what is there, then send with bounded concurrency.

No row is done twice, whatever cuts the import off: see `openpns.cli.import_state`. A row that was
sent and not answered is in doubt; the next run sends it again under the same client token. Where
that is too old, or the server is said to know none, it looks first for the row's group among those
that came after the import began.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from openpns.cli.group_report import GroupFile, Report
from openpns.cli.group_sender import Sender
from openpns.cli.import_items import Change, Item, Tally
from openpns.cli.import_state import ImportState, Origin, check_place
from openpns.cli.profile import Target, open_client
from openpns.groups.rows import GroupRow, RawRow, check_rows
from openpns.phones import parse_phones

if TYPE_CHECKING:
    from openpns.client.group_types import Group
    from openpns.client.http import Client

# The server knows how many numbers it takes in one request; here is only what memory allows.
_NUMBERS_MAX: Final = 1_000_000

_RENAME: Final = "import changes numbers only, openpns groups rename the rest"


class ApiImporter:
    """Creates a group for each row without groupId, and replaces the numbers of the others.

    Args:
        target: Which server, as whom.
        concurrency: How many calls at once.
        state_path: Where to note what is done; None to note nothing.
        resume: Whether to go on where an earlier import was cut off.
    """

    def __init__(
        self, target: Target, concurrency: int, state_path: Path | None, *, resume: bool
    ) -> None:
        self._target = target
        self._concurrency = concurrency
        self._state_path = state_path
        self._resume = resume
        self._changes: dict[int, Change] = {}

    def check(self, file: GroupFile, report: Report, *, show: bool) -> str:
        """Check every row, and compare those with a groupId with the groups that are there.

        Args:
            file: The file.
            report: Told the bad rows.
            show: Whether to print what would be done to each group.
        """
        if self._state_path is not None:
            check_place(self._state_path, resume=self._resume)
        with open_client(self._target) as client:
            self._origin = Origin(client.config.url, client.config.access_key, _newest(client))
            with file.go_over("checking") as (rows, move):
                named = {}
                for row in self._right_rows(rows, report):
                    move()
                    if row.group_id:
                        named[row.group_id] = row
            if named:
                self._compare(client, named, report)
        tally = Tally()
        if show:
            state = ImportState(
                self._state_path if self._resume else None, self._origin, resume=self._resume
            )
            with file.go_over("comparing") as (rows, _):
                for item in self._items(rows, report):
                    if not state.take_done(item.row):
                        tally.count(item)
                        _show(item)
            state.close(is_complete=False)
        return tally.told("import", "change")

    def write(self, file: GroupFile, report: Report) -> None:
        """Send every good row that is not done yet, and print what was done.

        Args:
            file: The file.
            report: Told the rows that the server refuses.
        """
        state = ImportState(self._state_path, self._origin, resume=self._resume)
        sender = Sender(self._target, state, report, self._concurrency)
        try:
            with file.go_over("importing") as (rows, move):
                sender.run(self._items(rows, report), move)
        finally:
            sender.finish()

    def _right_rows(self, rows: Iterator[RawRow], report: Report) -> Iterator[GroupRow]:
        """Return the rows that are right as far as can be told without the server."""
        for row in check_rows(rows, _read_phones, report.refuse):
            if not row.phones and not row.group_id:
                report.refuse(row.line, "phones is empty; the API creates no group without numbers")
            elif row.line not in report.bad_lines:
                yield row

    def _compare(self, client: "Client", named: dict[str, GroupRow], report: Report) -> None:
        for group in client.groups.iterate():
            row = named.pop(group.group_id, None)
            if row is None:
                continue
            for field, wanted, there in (
                ("groupName", row.name, group.name),
                ("remark", row.remark, group.remark),
            ):
                if wanted and wanted != there:
                    report.refuse(row.line, f"{field} is not the group's; {_RENAME}")
            self._changes[row.line] = _difference(group, row)
        for row in named.values():
            report.refuse(
                row.line,
                "there is no group with this groupId; leave it empty for a new group, whose id "
                "the server chooses",
            )

    def _items(self, rows: Iterator[RawRow], report: Report) -> Iterator[Item]:
        for row in self._right_rows(rows, report):
            yield Item(row, self._changes[row.line] if row.group_id else None)


def _newest(client: "Client") -> str:
    """Return the id of the newest group; empty where there is none."""
    while total := client.groups.list(limit=1).total:
        newest = client.groups.list(limit=1, offset=total - 1).groups
        if newest:  # else one was deleted meanwhile
            return newest[0].group_id
    return ""


def _difference(group: "Group", row: GroupRow) -> Change:
    old, new = set(group.phones), set(row.phones)
    return Change(
        len(new - old),
        len(old - new),
        old == new and group.phones != row.phones,
        [] if row.phones else group.phones,
    )


def _show(item: Item) -> None:
    row, change = item.row, item.change
    if change is None:
        click.echo(f"+ {row.name or '(no name)'}: {len(row.phones)} numbers (line {row.line})")
    elif change.is_none:
        click.echo(f"= {row.group_id}: the same (line {row.line})")
    elif change.is_reordered:
        click.echo(f"~ {row.group_id}: another order (line {row.line})")
    else:
        what = f"+{change.added} -{change.removed} numbers"
        click.echo(f"~ {row.group_id}: {what} (line {row.line})")


def _read_phones(text: str) -> list[str]:
    return parse_phones(text, _NUMBERS_MAX, check_country=False)
