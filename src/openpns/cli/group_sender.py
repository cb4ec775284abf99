"""Sending the rows of an import: several calls at once, each noted before and after."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from uuid import uuid4

import click

from openpns.cli.exit_codes import ExitCode
from openpns.cli.group_report import Report
from openpns.cli.import_items import Item, Tally
from openpns.cli.import_state import ImportState
from openpns.cli.profile import Target, async_client, clock_warning
from openpns.client.group_requests import create_group, remove_phones, replace_phones
from openpns.client.group_types import Group
from openpns.client.http import AsyncClient
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
    PermissionDenied,
    RateLimited,
    ServiceUnavailable,
    TimestampExpired,
    TransportError,
    WireError,
)

_RETRIES: Final = 6
_IN_DOUBT_MAX: Final = 100
"""So many rows without an answer are no chance any more: the import stops."""

_IN_DOUBT: Final = (ConnectionLost, AnswerTooLate, AnswerUnreadable, OutcomeUnknown)
"""The server may have done the row, or not."""

# What would fail for every row that follows as well.
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

Key = tuple[str, str, str]
"""What tells the group of a row: name, remark and numbers."""


class Sender:
    """Sends rows, and says at the end what became of them.

    Args:
        target: Which server, as whom.
        state: Where to note what is done.
        report: Told the rows that fail.
        concurrency: How many calls at once.
    """

    def __init__(
        self, target: Target, state: ImportState, report: Report, concurrency: int
    ) -> None:
        self._target = target
        self._state = state
        self._report = report
        self._concurrency = concurrency
        self._tally = Tally()
        self._failed = 0
        self._tokens: dict[int, str] = {}
        """By its line, the token of a row that an earlier run sent without an answer."""
        self._in_doubt: list[int] = []
        self._doubt: OpenPNSError | None = None
        self._stop: OpenPNSError | None = None
        self._is_over = False

    def run(self, items: Iterator[Item], move: Callable[[], None]) -> None:
        """Send every row that is not done yet.

        Args:
            items: The rows.
            move: Told that a row was taken.
        """
        with clock_warning():
            asyncio.run(self._run(items, move))
        self._is_over = True

    def finish(self) -> None:
        """Print what was done, keep the state where something is left, and tell the failure.

        Raises:
            OpenPNSError: What stopped the import, or why a row is in doubt.
        """
        is_clean = self._is_over and not (
            self._stop or self._in_doubt or self._failed or self._report.bad_lines
        )
        nothing_done = not (self._in_doubt or self._state.done_before or self._state.done_now)
        is_complete = is_clean or (self._is_over and nothing_done)
        self._state.close(is_complete=is_complete)
        click.echo(self._tally.told("imported", "changed"))
        if self._state.done_before:
            click.echo(f"{self._state.done_before} rows were done before", err=True)
        for line in sorted(self._in_doubt):
            self._report.tell(line, "in doubt: it was sent, and no answer came")
        if self._failed:
            click.echo(f"failed rows: {self._failed}", err=True)
        if not is_complete and self._state.path is not None:
            click.echo(
                f"{self._state.path} notes what is done; mend what is wrong, and go on with "
                "--resume",
                err=True,
            )
        if self._is_over and (failure := self._stop or self._doubt):
            raise failure
        if self._is_over and (self._failed or self._in_doubt):
            sys.exit(ExitCode.FAILED)

    async def _run(self, items: Iterator[Item], move: Callable[[], None]) -> None:
        async with async_client(self._target, _RETRIES) as client:
            later: list[Item] = []
            await self._send_all(client, self._new(client, items, later, move))
            if later and self._stop is None:
                await self._send_all(client, await self._missing(client, later))

    def _new(
        self,
        client: AsyncClient,
        items: Iterable[Item],
        later: list[Item],
        move: Callable[[], None],
    ) -> Iterator[Item]:
        """Return the rows to send now; put aside those in doubt that the server may not know."""
        for item in items:
            move()
            if self._state.take_done(item.row):
                continue
            if self._state.take_in_doubt(item.row):
                if item.change is not None:
                    self._state.refused(item.row, None)  # to replace numbers twice does no harm
                elif not self._is_known_again(client, item):
                    later.append(item)
                    continue
            if item.change is not None and item.change.is_none:
                self._tally.count(item)
            else:
                yield item

    def _is_known_again(self, client: AsyncClient, item: Item) -> bool:
        """Tell whether a row can be sent again under the token that it was sent under before."""
        if not client.config.retry_writes:
            return False
        token = self._state.take_token(item.row, now_ms())
        if token is not None:
            self._tokens[item.row.line] = token
        return token is not None

    async def _send_all(self, client: AsyncClient, items: Iterator[Item]) -> None:
        async def work() -> None:
            # All take from one iterator: a row is taken by one of them.
            for item in items:
                await self._send(client, item)
                if self._stop is not None:
                    return

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._concurrency):
                    tasks.create_task(work())
        except* OpenPNSError as failures:  # the file or the state, not a call
            self._stop = next(_leaves(failures), None)

    async def _send(self, client: AsyncClient, item: Item) -> None:
        row, token = item.row, None
        if item.change is None and client.config.retry_writes:
            token = self._tokens.pop(row.line, None) or uuid4().hex
        self._state.sent(row, token, now_ms())
        try:
            group_id = await _call(client, item, token)
        except (WireError, TransportError) as error:
            self._fail(item, token, error)
        else:
            self._state.acknowledged(row, token, group_id)
            self._tally.count(item)

    def _fail(self, item: Item, token: str | None, error: WireError | TransportError) -> None:
        if isinstance(error, _STOPS):
            self._stop = self._stop or error
        if isinstance(error, _IN_DOUBT):
            self._in_doubt.append(item.row.line)
            self._doubt = self._doubt or error
            if len(self._in_doubt) >= _IN_DOUBT_MAX:
                self._stop = self._stop or error
            return
        self._state.refused(item.row, token)
        if not isinstance(error, _STOPS):
            self._failed += 1
            self._report.tell(item.row.line, str(error))

    async def _missing(self, client: AsyncClient, later: list[Item]) -> Iterator[Item]:
        """Look for the groups of rows in doubt; return the rows that have none."""
        there = await self._groups_since(client)
        missing = []
        for item in later:
            found = there and there.get(_key_of_row(item))
            if there is None:
                self._in_doubt.append(item.row.line)
            elif found:
                self._state.acknowledged(item.row, None, found.pop())
                self._tally.count(item)
            else:
                self._state.refused(item.row, None)
                missing.append(item)
        return iter(missing)

    async def _groups_since(self, client: AsyncClient) -> dict[Key, list[str]] | None:
        """Return the ids of groups that came since the import began, but for those of rows done.

        None where it cannot be told, since the group that was the newest then is gone.
        """
        done = self._state.groups_done()
        after = self._state.origin.after
        is_after = not after
        found: dict[Key, list[str]] = {}
        async for group in client.groups.iterate():
            if is_after and group.group_id not in done:
                found.setdefault(_key_of_group(group), []).append(group.group_id)
            is_after = is_after or group.group_id == after
        return found if is_after else None


async def _call(client: AsyncClient, item: Item, token: str | None) -> str:
    row, change = item.row, item.change
    if change is None:
        return await client.send(
            create_group(
                row.phones, name=row.name or None, remark=row.remark or None, client_token=token
            )
        )
    await client.send(
        replace_phones(row.group_id, row.phones)
        if row.phones
        else remove_phones(row.group_id, change.old_phones)
    )
    return row.group_id


def _key_of_row(item: Item) -> Key:
    return item.row.name, item.row.remark, ",".join(item.row.phones)


def _key_of_group(group: Group) -> Key:
    # A group without a name is named after its id.
    name = "" if group.name == group.group_id else group.name
    return name, group.remark, ",".join(group.phones)


def _leaves(failures: BaseExceptionGroup[OpenPNSError]) -> Iterator[OpenPNSError]:
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from _leaves(failure)
        else:
            yield failure
