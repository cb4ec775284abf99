"""Results of attempts, stored in batches, and kept while the database is away."""

import asyncio
from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import Final

from openpns.core import logs
from openpns.deliveries.queue import Queue, Result
from openpns.errors import WireError

_EACH: Final = 500
_RETRY_S: Final = 0.5
_FIRST_ONES_S: Final = 0.005
"""How long the first result waits for others."""


class ResultWriter:
    """Stores results as soon as the ones before them are stored."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting: list[Result] = []
        self._task: asyncio.Task[None] | None = None
        self._lost_s = -inf

    def add(self, result: Result) -> None:
        """Store a result soon."""
        self._waiting.append(result)
        if self._task is None:
            self._task = asyncio.create_task(self._write_all())

    def waiting(self) -> Iterator[tuple[str, str]]:
        """Return the customer and the id of each delivery whose result is not stored yet."""
        return ((one.customer_id, one.delivery_id) for one in self._waiting)

    def note_loss(self) -> None:
        """Note that the storage has failed just now."""
        self._lost_s = monotonic()

    def lost_s_ago(self) -> float:
        """Return how long ago the storage failed, in s; 0 while results cannot be stored."""
        return monotonic() - self._lost_s

    async def flush(self) -> None:
        """Store all results now.

        Raises:
            WireError: The storage failed; they are kept.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        while self._waiting:
            await self._write_some()

    async def close(self) -> None:
        """Drop the results that are not stored."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        self._waiting.clear()

    async def _write_all(self) -> None:
        try:
            await asyncio.sleep(_FIRST_ONES_S)
            while self._waiting:
                try:
                    await self._write_some()
                except WireError as error:
                    self.note_loss()
                    logs.logger().warning("results of deliveries not stored", why=error.msg)
                    await asyncio.sleep(_RETRY_S)
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    async def _write_some(self) -> None:
        some = self._waiting[:_EACH]
        for customer_id in await self._queue.finish(some):
            logs.logger().warning("webhook stopped: its receiver is gone", customer_id=customer_id)
        del self._waiting[: len(some)]
