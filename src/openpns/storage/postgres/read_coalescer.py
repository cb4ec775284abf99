"""One statement for the reads of many callers: every request reads its access key.

A caller joins only a statement that is sent after its call, so its row is never older than the
call. Under load, callers that arrive while a statement is in flight share the next one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from openpns.kit.in_flight import Batch, copy_error, settle

_IN_FLIGHT_MAX: Final = 2
"""One statement's rows are read here while the database runs the next."""

_CALLERS_MAX: Final = 512

_Found = Mapping[str, Any] | None


class ReadCoalescer:
    """Finds rows by one value of a column each, many callers with one statement."""

    def __init__(self, read: Callable[[list[str]], Awaitable[Sequence[Any]]], column: str) -> None:
        self._read = read
        self._column = column
        self._batch = Batch(self._run, _CALLERS_MAX, _IN_FLIGHT_MAX)

    def find(self, value: str) -> "asyncio.Future[_Found]":
        """Return the row with a value, or None.

        Raises:
            WireError: It cannot be read.
        """
        future: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()
        self._batch.add((value, future))
        return future

    async def _run(self, batch: "list[tuple[str, asyncio.Future[_Found]]]") -> None:
        values = list(dict.fromkeys(value for value, _ in batch))
        try:
            rows = {row[self._column]: row for row in await self._read(values)}
        except BaseException as error:  # noqa: BLE001 - raised to each caller
            for _, future in batch:
                settle(future, error=copy_error(error))
            return
        for value, future in batch:
            settle(future, rows.get(value))
