"""Import of groups through the API: compare with the existing groups, then send the rows.

No row is done twice, also if an import is interrupted: see `openpns.bulk.journal`.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from openpns.bulk.journal import Journal, check_path
from openpns.bulk.report import Report, count_text
from openpns.client.group_requests import create_group, remove_phones, replace_phones
from openpns.client.group_types import Group
from openpns.client.http import AsyncClient, Client
from openpns.clock import now_ms
from openpns.errors import (
    AnswerTooLate,
    AnswerUnreadable,
    ConnectFailed,
    ConnectionLost,
    InvalidSignature,
    MissingHeaders,
    OpenPNSError,
    OutcomeUnknown,
    ParameterError,
    PermissionDenied,
    RateLimited,
    ServiceUnavailable,
    TimestampExpired,
    TransportError,
    WireError,
)
from openpns.groups.rows import GroupRow, RawRow, check_rows
from openpns.phones import parse_phones

RETRIES: Final = 6
"""How often the client should send a request again."""

_UNKNOWN_MAX: Final = 100
"""After this many rows without a response the import stops."""

# The server may have done the row, or not.
_UNKNOWN: Final = (ConnectionLost, AnswerTooLate, AnswerUnreadable, OutcomeUnknown)

# Every other row would fail, too.
_STOPS: Final = (
    ConnectFailed,
    AnswerUnreadable,
    MissingHeaders,
    InvalidSignature,
    TimestampExpired,
    PermissionDenied,
    RateLimited,
    ServiceUnavailable,
)

# The server knows its own bound. This one only protects memory.
_PHONES_MAX: Final = 1_000_000


class Change(msgspec.Struct, frozen=True):
    """What a row with a groupId changes."""

    added: int
    removed: int
    is_reordered: bool
    old_phones: list[str]
    """The phones to remove if the row has none; empty otherwise."""

    @property
    def is_none(self) -> bool:
        """Whether the group stays unchanged."""
        return not (self.added or self.removed or self.is_reordered)


class Item(msgspec.Struct, frozen=True):
    """A row, and what it changes; None if it becomes a new group."""

    row_id: str
    row: GroupRow
    change: Change | None

    def describe(self) -> str:
        """Return a line for a dry run."""
        row, change = self.row, self.change
        if change is None:
            return f"+ {row.name or '(no name)'}: {len(row.phones)} phones (line {row.line})"
        if change.is_none:
            return f"= {row.group_id}: unchanged (line {row.line})"
        if change.is_reordered:
            return f"~ {row.group_id}: another order (line {row.line})"
        counts = f"+{change.added} -{change.removed} phones"
        return f"~ {row.group_id}: {counts} (line {row.line})"


class Tally(msgspec.Struct):
    """How much is, or would be, done."""

    groups: int = 0
    phones: int = 0
    changed: int = 0
    added: int = 0
    removed: int = 0
    unchanged: int = 0

    def count(self, item: Item) -> None:
        """Count a row."""
        if item.change is None:
            self.groups += 1
            self.phones += len(item.row.phones)
        elif item.change.is_none:
            self.unchanged += 1
        else:
            self.changed += 1
            self.added += item.change.added
            self.removed += item.change.removed

    def text(self, create: str, change: str) -> str:
        """Return the counts as text, with verbs for new and for changed groups."""
        parts = [f"{create} {count_text(self.groups, self.phones)}"]
        if self.changed:
            parts.append(f"{change} {self.changed} (+{self.added} -{self.removed} phones)")
        if self.unchanged:
            parts.append(f"{self.unchanged} unchanged")
        return ", ".join(parts)


class Outcome(msgspec.Struct):
    """What became of the rows."""

    tally: Tally = msgspec.field(default_factory=Tally)
    failed: int = 0
    unknown: list[int] = msgspec.field(default_factory=list)
    """Lines of rows that were sent and got no response."""
    stopped_by: OpenPNSError | None = None
    first_unknown: OpenPNSError | None = None
    is_finished: bool = False

    @property
    def error(self) -> OpenPNSError | None:
        """The error to report."""
        return self.stopped_by or self.first_unknown


class ApiImport:
    """Creates a group for each row without groupId and replaces the phones of the others.

    Args:
        journal_path: Where to store the progress; None to store none.
        resume: Whether to continue an interrupted import.
    """

    def __init__(self, journal_path: Path | None, report: Report, *, resume: bool) -> None:
        self._journal_path = journal_path
        self._report = report
        self._resume = resume
        self._changes: dict[int, Change] = {}

    def check(self, client: Client, rows: Iterator[RawRow]) -> None:
        """Check all rows, and compare those with a groupId with the existing groups.

        Raises:
            ConfigError: The journal exists or does not, contrary to `resume`.
        """
        if self._journal_path is not None:
            check_path(self._journal_path, resume=self._resume)
        self._config = client.config
        named = {row.group_id: row for row in self._good_rows(rows) if row.group_id}
        if not named:
            return
        for group in client.groups.iterate():
            row = named.pop(group.group_id, None)
            if row is not None:
                self._compare(group, row)
        for row in named.values():
            self._report.refuse(
                row.line,
                "there is no group with this groupId; leave it empty for a new group, whose id "
                "the server chooses",
            )

    def preview(self, rows: Iterator[RawRow], show: Callable[[str], None]) -> Tally:
        """Describe what each row would do, after `check`."""
        journal = self._open_journal(self._journal_path if self._resume else None)
        tally = Tally()
        for item in self._items(journal, rows):
            tally.count(item)
            show(item.describe())
        journal.close(is_complete=False)
        return tally

    def open(self) -> "Run":
        """Return the run that sends the rows, after `check`.

        Raises:
            ConfigError: The journal cannot be used.
        """
        return Run(self._open_journal(self._journal_path), self._items, self._report)

    def _open_journal(self, path: Path | None) -> Journal:
        return Journal(path, self._config.url, self._config.access_key, resume=self._resume)

    def _good_rows(self, rows: Iterator[RawRow]) -> Iterator[GroupRow]:
        """Return the rows that are correct as far as can be known without the server."""
        for row in check_rows(rows, _read_phones, self._report.refuse):
            if not row.phones and not row.group_id:
                self._report.refuse(row.line, "phones is empty; the API creates no empty group")
            elif row.line not in self._report.bad_lines:
                yield row

    def _compare(self, group: Group, row: GroupRow) -> None:
        for field, wanted, existing in (
            ("groupName", row.name, group.name),
            ("remark", row.remark, group.remark),
        ):
            if wanted and wanted != existing:
                self._report.refuse(
                    row.line,
                    f"{field} differs from the group's; import changes only phones, use openpns "
                    "groups rename",
                )
        old, new = set(group.phones), set(row.phones)
        self._changes[row.line] = Change(
            len(new - old),
            len(old - new),
            old == new and group.phones != row.phones,
            [] if row.phones else group.phones,
        )

    def _items(self, journal: Journal, rows: Iterator[RawRow]) -> Iterator[Item]:
        """Return the rows that no earlier run has done."""
        for row_id, row in journal.identify(self._good_rows(rows)):
            if not journal.is_done(row_id):
                yield Item(row_id, row, self._changes[row.line] if row.group_id else None)


class Run:
    """Sends rows, several at once, and records each in the journal before and after."""

    def __init__(
        self,
        journal: Journal,
        items: Callable[[Journal, Iterator[RawRow]], Iterator[Item]],
        report: Report,
    ) -> None:
        self.journal = journal
        self.outcome = Outcome()
        self._items = items
        self._report = report

    async def send(self, client: AsyncClient, rows: Iterator[RawRow], concurrency: int) -> None:
        """Send all rows; errors are in `outcome`."""
        try:
            may_resend = self.journal.has_unknown and await _knows_tokens(client)
            items = self._to_send(rows, may_resend=may_resend)

            async def work() -> None:
                # All workers take from one iterator, each row goes to one of them.
                for item in items:
                    await self._send(client, item)
                    if self.outcome.stopped_by is not None:
                        return

            async with asyncio.TaskGroup() as tasks:
                for _ in range(concurrency):
                    tasks.create_task(work())
        except* OpenPNSError as failures:  # of the file or the journal
            self.outcome.stopped_by = next(_leaves(failures))
        self.outcome.is_finished = True

    def close(self) -> bool:
        """Close the journal; return whether something is left for another run."""
        outcome, journal = self.outcome, self.journal
        is_left = bool(outcome.error or outcome.unknown or outcome.failed or self._report.bad_lines)
        is_useful = bool(outcome.unknown or journal.done_before or journal.done_now)
        is_complete = outcome.is_finished and not (is_left and is_useful)
        journal.close(is_complete=is_complete)
        return not is_complete

    def _to_send(self, rows: Iterator[RawRow], *, may_resend: bool) -> Iterator[Item]:
        for item in self._items(self.journal, rows):
            is_new = item.change is None
            if item.change is not None and item.change.is_none:
                self.outcome.tally.count(item)
            elif (
                is_new
                and self.journal.is_unknown(item.row_id)
                and not (may_resend and self.journal.is_token_valid(item.row_id, now_ms()))
            ):
                self.outcome.unknown.append(item.row.line)
            else:
                yield item

    async def _send(self, client: AsyncClient, item: Item) -> None:
        self.journal.write(item.row_id, "sent", now_ms())
        try:
            await _request(client, item, self.journal.token(item.row_id))
        except (WireError, TransportError) as error:
            self._fail(item, error)
        else:
            self.journal.write(item.row_id, "done", now_ms())
            self.outcome.tally.count(item)

    def _fail(self, item: Item, error: WireError | TransportError) -> None:
        outcome = self.outcome
        if isinstance(error, _STOPS):
            outcome.stopped_by = outcome.stopped_by or error
        if isinstance(error, _UNKNOWN):
            outcome.unknown.append(item.row.line)
            outcome.first_unknown = outcome.first_unknown or error
            if len(outcome.unknown) >= _UNKNOWN_MAX:
                outcome.stopped_by = outcome.stopped_by or error
            return
        self.journal.write(item.row_id, "refused", now_ms())
        if not isinstance(error, _STOPS):
            outcome.failed += 1
            self._report.note(item.row.line, str(error))


async def _knows_tokens(client: AsyncClient) -> bool:
    """Return whether a row can be sent again with its token: only openpns knows tokens."""
    if not client.config.retry_writes:
        return False
    try:
        await client.limits()
    except ParameterError:
        return False
    return True


async def _request(client: AsyncClient, item: Item, token: str) -> None:
    row, change = item.row, item.change
    if change is None:
        name, remark = row.name or None, row.remark or None
        await client.send(create_group(row.phones, name, remark, client_token=token))
    elif row.phones:
        await client.send(replace_phones(row.group_id, row.phones))
    else:
        await client.send(remove_phones(row.group_id, change.old_phones))


def _leaves(failures: BaseExceptionGroup[OpenPNSError]) -> Iterator[OpenPNSError]:
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from _leaves(failure)
        else:
            yield failure


def _read_phones(text: str) -> list[str]:
    return parse_phones(text, _PHONES_MAX, check_country=False)
