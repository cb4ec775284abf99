"""Read a request body in chunks, within bounds of size, memory and time."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

from openpns.errors import Overloaded, ParameterError

CHUNKS_FREE: Final = 256
"""Chunks of any size that a body may have, because each chunk costs a wake-up."""

CHUNK_BYTES_MIN: Final = 256
"""The average size of further chunks."""

SMALL_BODY_BYTES: Final = 16 * 1024
"""The size up to which a body is not counted in the `BodyBudget`."""


class BodyCollector:
    """Join the chunks of a body of at most `bytes_max` bytes."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = bytearray()
        self._chunks = 0

    def add(self, chunk: bytes) -> bool:
        """Add a chunk; return False if the body is too large.

        Raises:
            ParameterError: There are too many tiny chunks; each costs the server more than its
                sender.
        """
        self._bytes += chunk
        self._chunks += 1
        chunks_max = CHUNKS_FREE + len(self._bytes) // CHUNK_BYTES_MIN
        if self._chunks > chunks_max:
            raise ParameterError("the body must have a Content-Length, or come in larger chunks")
        return len(self._bytes) <= self._bytes_max

    def body(self) -> bytes:
        """Return all chunks as one body."""
        return bytes(self._bytes)


class BodyBudget:
    """Bound the bytes of all larger bodies while they arrive.

    A body reserves its whole length when it starts to arrive; one of unknown length reserves the
    largest allowed length. Small bodies (`SMALL_BODY_BYTES`) reserve nothing: the bound on
    connections is enough for them.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_left = bytes_max

    @contextmanager
    def reserve(self, length: int) -> Iterator[None]:
        """Reserve bytes while a body arrives.

        Raises:
            Overloaded: Not enough bytes are left.
        """
        if length > self._bytes_left:
            raise Overloaded("too many large bodies at once; nothing was written")
        self._bytes_left -= length
        try:
            yield
        finally:
            self._bytes_left += length


class BodyDeadline:
    """Cancel the reading of bodies that take longer than `timeout_ms`.

    One timer watches the oldest request. `asyncio.timeout` would set a timer for every request,
    which costs more than verifying its signature.
    """

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self._reading: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, reading: Awaitable[bytes | None], started_s: float) -> bytes | None:
        """Return the result of `reading`; the request began at `started_s`, by `perf_counter`.

        Raises:
            ParameterError: The body did not arrive in time.
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
                raise  # cancelled by the server, not by this deadline
            raise ParameterError(f"the body must arrive within {self._timeout_ms} ms") from None
        finally:
            del self._reading[task]
            self._late.discard(task)

    def _watch(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._cancel_late)

    def _cancel_late(self) -> None:
        self._timer = None
        late_s = perf_counter() - self._timeout_ms / 1000
        for task, started_s in self._reading.items():  # the oldest first
            if started_s > late_s:
                self._watch(started_s - late_s)
                return
            if task not in self._late:
                self._late.add(task)
                task.cancel()
