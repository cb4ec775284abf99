"""One statement for the reads of many callers: what PostgreSQL is asked for every call.

A caller joins only a statement that is sent after it asked, so what it gets is never older than
its question. Under load the callers that wait for an answer gather behind it, and one round trip
serves them all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from openpns.errors import InternalError, WireError
from openpns.storage.store import Row

_AT_ONCE_MAX: Final = 2
"""How many statements may be under way: one being read here while the next runs there."""

_VALUES_MAX: Final = 512
"""How many values one statement asks for."""


class ReadCoalescer:
    """Look rows up by one value each, together.

    Args:
        read: Reads the rows for some values; the first column of each tells its value.
    """

    def __init__(self, read: Callable[[list[str]], Awaitable[Sequence[Row]]]) -> None:
        self._read = read
        self._waiting: dict[str, list[asyncio.Future[Row | None]]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    def find(self, value: str) -> asyncio.Future[Row | None]:
        """Return the row with this value, or None.

        Args:
            value: The value.

        Raises:
            WireError: It cannot be read.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Row | None] = loop.create_future()
        if value in self._waiting:
            self._waiting[value].append(future)
            return future
        if not self._waiting:  # at the end of this turn of the loop, with all who ask in it
            loop.call_soon(self._send)
        self._waiting[value] = [future]
        return future

    def _send(self) -> None:
        if not self._waiting or len(self._under_way) >= _AT_ONCE_MAX:
            return
        asked, self._waiting = self._waiting, {}
        if len(asked) > _VALUES_MAX:
            values = list(asked)
            self._waiting = {value: asked.pop(value) for value in values[_VALUES_MAX:]}
        task = asyncio.create_task(self._serve(asked))
        self._under_way.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._send()

    async def _serve(self, asked: dict[str, list[asyncio.Future[Row | None]]]) -> None:
        try:
            rows = {row[0]: row for row in await self._read(list(asked))}
        except BaseException as error:  # noqa: BLE001 - each caller is told
            for futures in asked.values():
                for future in futures:
                    if not future.done():
                        future.set_exception(_copy(error))
            return
        for value, futures in asked.items():
            row = rows.get(value)
            for future in futures:
                if not future.done():  # else its caller was cancelled
                    future.set_result(row)


def _copy(error: BaseException) -> WireError:
    """Return an error of a caller's own: raised in several places, one would mix its tracebacks."""
    if isinstance(error, WireError):
        copy = type(error)(error.detail)
        copy.__cause__ = error.__cause__
        return copy
    copy = InternalError()
    copy.__cause__ = error
    return copy
