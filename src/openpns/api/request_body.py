"""Collecting a request body that comes in pieces, within bounds of size and time."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from openpns import limits
from openpns.errors import Overloaded, ParameterError


class BodyCollector:
    """A body that grows piece by piece.

    Args:
        bytes_max: How many bytes it may have.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = bytearray()
        self._pieces = 0

    def add(self, piece: bytes) -> bool:
        """Add a piece; return whether the body still has no more bytes than it may.

        Args:
            piece: The next bytes.

        Raises:
            ParameterError: The pieces are tiny and many: each costs the server more than its
                sender.
        """
        self._bytes += piece
        self._pieces += 1
        fair = limits.BODY_PIECES_FREE + len(self._bytes) // limits.BODY_PIECE_BYTES_MIN
        if self._pieces > fair:
            raise ParameterError("the body must come with a Content-Length, or in larger pieces")
        return len(self._bytes) <= self._bytes_max

    def whole(self) -> bytes:
        """Return what was collected."""
        return bytes(self._bytes)


class BodyBudget:
    """What larger bodies may take together while they arrive.

    A body counts with its whole length from the beginning, and one of unknown length with the
    largest that is allowed. Small ones (`limits.BODY_BYTES_SMALL`) do not count: of them, the bound
    on connections is enough.

    Args:
        bytes_max: How many bytes.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_left = bytes_max

    @contextmanager
    def hold(self, length: int) -> Iterator[None]:
        """Hold room for a body while it arrives.

        Args:
            length: How many bytes it has, or may have.

        Raises:
            Overloaded: There is not that much room.
        """
        if length > self._bytes_left:
            raise Overloaded("too many large bodies at once; nothing was written")
        self._bytes_left -= length
        try:
            yield
        finally:
            self._bytes_left += length


class BodyDeadline:
    """End the reading of bodies that take too long.

    One timer watches the oldest of all; `asyncio.timeout` would set one for every call, which
    costs more than checking its signature.

    Args:
        timeout_ms: How long a body may take.
    """

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self._reading: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, reading: Awaitable[bytes | None], started_s: float) -> bytes | None:
        """Return what the reading returns.

        Args:
            reading: Reads the body.
            started_s: When the call began, by `perf_counter`.

        Raises:
            ParameterError: It took too long.
        """
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in a task
        self._reading[task] = started_s
        if self._timer is None:
            self._watch(self._timeout_ms / 1000)
        try:
            return await reading
        except asyncio.CancelledError:
            if task not in self._late or task.uncancel() > 0:
                raise  # the server ends it, not this deadline
            raise ParameterError(f"the body must arrive within {self._timeout_ms} ms") from None
        finally:
            del self._reading[task]
            self._late.discard(task)

    def _watch(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._end_late)

    def _end_late(self) -> None:
        self._timer = None
        late_s = perf_counter() - self._timeout_ms / 1000
        for task, started_s in self._reading.items():  # the oldest first
            if started_s > late_s:
                self._watch(started_s - late_s)
                return
            if task not in self._late:
                self._late.add(task)
                task.cancel()
