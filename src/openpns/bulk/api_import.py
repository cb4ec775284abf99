"""Import of groups through the API: compare with the existing groups, then send the rows.

No row is done twice, also if an import is interrupted: see `openpns.bulk.journal`.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from openpns import errors
from openpns.bulk.journal import Journal, check_path
from openpns.bulk.report import Report, count_text
from openpns.client.group_requests import create_group, remove_phones, replace_phones
from openpns.client.group_types import Group
from openpns.client.http import AsyncClient, Client
from openpns.clock import now_ms
from openpns.errors import OpenPNSError, TransportError, WireError
from openpns.groups.rows import GroupRow, RawRow, check_rows
from openpns.phones import parse_phones

RETRIES: Final = 6
"""How often the client should send a request again."""

_UNKNOWN_MAX: Final = 100
"""After this many rows without a response the import stops."""

# The server may have done the row, or not.
_UNKNOWN: Final = (
    errors.ConnectionLost,
    errors.AnswerTooLate,
    errors.AnswerUnreadable,
    errors.OutcomeUnknown,
)

# Every other row would fail, too.
_STOPS: Final = (
    errors.ConnectFailed,
    errors.AnswerUnreadable,
    errors.MissingHeaders,
    errors.InvalidSignature,
    errors.TimestampExpired,
    errors.PermissionDenied,
    errors.RateLimited,
    errors.ServiceUnavailable,
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

    def __repr__(self) -> str:
        """Return a text without phones."""
        return f"Change(added={self.added}, removed={self.removed})"

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
        """Add a row."""
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


class ApiImport:
    """Creates a group for each row without groupId and replaces the phones of the others.

    Call `check`, then `preview`, or `open`, `send` and `close`. Rows are sent several at once; the
    journal records each before and after.
    """

    def __init__(self, journal_path: Path | None, report: Report, *, resume: bool) -> None:
        self._journal_path = journal_path
        self.report = report
        self._resume = resume
        self._changes: dict[int, Change] = {}
        self.tally = Tally()
        self.failed = 0
        self.unknown: list[int] = []
        """Lines of rows that were sent and got no response."""
        self._stopped_by: OpenPNSError | None = None
        self._first_unknown: OpenPNSError | None = None
        self._is_finished = False

    def check(self, client: Client, rows: Iterator[RawRow]) -> None:
        """Check all rows, and compare those with a groupId with the existing groups."""
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
            self.report.refuse(
                row.line,
                "there is no group with this groupId; leave it empty for a new group, whose id "
                "the server chooses",
            )

    def preview(self, rows: Iterator[RawRow], show: Callable[[str], None]) -> None:
        """Describe what each row would do, and count it."""
        self._open(self._journal_path if self._resume else None)
        for item in self._items(rows):
            self.tally.count(item)
            show(item.describe())
        self.journal.close(is_complete=False)

    def open(self) -> None:
        """Open the journal.

        Raises:
            ConfigError: It cannot be used.
        """
        self._open(self._journal_path)

    @property
    def error(self) -> OpenPNSError | None:
        """The error to report."""
        return self._stopped_by or self._first_unknown

    async def send(self, client: AsyncClient, rows: Iterator[RawRow], concurrency: int) -> None:
        """Send all rows; see `error` afterwards."""
        try:
            may_resend = bool(self.journal.sent_ms) and await _knows_tokens(client)
            items = self._to_send(rows, may_resend=may_resend)

            async def work() -> None:
                # All workers take from one iterator, each row goes to one of them.
                for item in items:
                    await self._send(client, item)
                    if self._stopped_by is not None:
                        return

            async with asyncio.TaskGroup() as tasks:
                for _ in range(concurrency):
                    tasks.create_task(work())
        except* OpenPNSError as failures:  # of the file or the journal
            first = failures.exceptions[0]
            assert isinstance(first, OpenPNSError)
            self._stopped_by = first
        self._is_finished = True

    def close(self) -> bool:
        """Close the journal; return whether something is left for another run."""
        journal = self.journal
        is_left = bool(self.error or self.unknown or self.failed or self.report.bad_lines)
        is_useful = bool(self.unknown or journal.done or journal.done_now)
        is_complete = self._is_finished and not (is_left and is_useful)
        journal.close(is_complete=is_complete)
        return not is_complete

    def _open(self, path: Path | None) -> None:
        config = self._config
        self.journal = Journal(path, config.url, config.access_key, resume=self._resume)

    def _good_rows(self, rows: Iterator[RawRow]) -> Iterator[GroupRow]:
        """Return the rows that are correct as far as can be known without the server."""
        for row in check_rows(rows, _read_phones, self.report.refuse):
            if not row.phones and not row.group_id:
                self.report.refuse(row.line, "phones is empty; the API creates no empty group")
            elif row.line not in self.report.bad_lines:
                yield row

    def _compare(self, group: Group, row: GroupRow) -> None:
        for field, wanted, existing in (
            ("groupName", row.name, group.name),
            ("remark", row.remark, group.remark),
        ):
            if wanted and wanted != existing:
                self.report.refuse(
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

    def _items(self, rows: Iterator[RawRow]) -> Iterator[Item]:
        """Return the rows that no earlier run has done."""
        for row_id, row in self.journal.identify(self._good_rows(rows)):
            if row_id not in self.journal.done:
                yield Item(row_id, row, self._changes[row.line] if row.group_id else None)

    def _to_send(self, rows: Iterator[RawRow], *, may_resend: bool) -> Iterator[Item]:
        for item in self._items(rows):
            is_new = item.change is None
            if item.change is not None and item.change.is_none:
                self.tally.count(item)
            elif (
                is_new
                and item.row_id in self.journal.sent_ms
                and not (may_resend and self.journal.is_token_valid(item.row_id, now_ms()))
            ):
                self.unknown.append(item.row.line)
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
            self.tally.count(item)

    def _fail(self, item: Item, error: WireError | TransportError) -> None:
        is_unknown = isinstance(error, _UNKNOWN)
        if is_unknown:
            self.unknown.append(item.row.line)
            self._first_unknown = self._first_unknown or error
        if isinstance(error, _STOPS) or (is_unknown and len(self.unknown) >= _UNKNOWN_MAX):
            self._stopped_by = self._stopped_by or error
        if is_unknown:
            return
        self.journal.write(item.row_id, "refused", now_ms())
        if not isinstance(error, _STOPS):
            self.failed += 1
            self.report.note(item.row.line, str(error))


async def _knows_tokens(client: AsyncClient) -> bool:
    """Return whether a row can be sent again with its token: only openpns knows tokens."""
    if not client.config.retry_writes:
        return False
    try:
        await client.limits()
    except errors.ParameterError:
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


def _read_phones(text: str) -> list[str]:
    return parse_phones(text, _PHONES_MAX, check_country=False, explain=True)
