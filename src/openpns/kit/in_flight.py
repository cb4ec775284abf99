"""Work in flight: batches of items that wait together, and single runs for the same work."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

from openpns.errors import InternalError, WireError

ItemT = TypeVar("ItemT")
KeyT = TypeVar("KeyT", bound=Hashable)
ResultT = TypeVar("ResultT")


def settle(
    future: "asyncio.Future[Any]", result: Any = None, error: BaseException | None = None
) -> None:
    """Set a future's result or error, unless its caller was cancelled."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def copy_error(error: BaseException) -> WireError:
    """Return an error for one of several callers: a shared one would mix their tracebacks."""
    copy = type(error)(error.detail) if isinstance(error, WireError) else InternalError()
    copy.__cause__ = error.__cause__ if isinstance(error, WireError) else error
    return copy


class Batch(Generic[ItemT]):
    """Collects items until the end of the event loop's turn, then runs them together.

    While as many runs as allowed are in flight, items wait for the next one. A run takes only
    items that were added before it began.

    `run` must not raise. `on_idle` is called when the last run ends and no item waits.
    """

    def __init__(
        self,
        run: Callable[[list[ItemT]], Awaitable[None]],
        items_max: int,
        in_flight_max: int,
        on_idle: Callable[[], object] = lambda: None,
    ) -> None:
        self._run = run
        self._items_max = items_max
        self._in_flight_max = in_flight_max
        self._on_idle = on_idle
        self._waiting: list[ItemT] = []
        self._in_flight: set[asyncio.Future[None]] = set()

    def add(self, item: ItemT) -> None:
        """Add an item to the next run."""
        self._waiting.append(item)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        while self._waiting and len(self._in_flight) < self._in_flight_max:
            batch = self._waiting[: self._items_max]
            del self._waiting[: self._items_max]
            task = asyncio.ensure_future(self._run(batch))
            self._in_flight.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Future[None]") -> None:
        self._in_flight.discard(task)
        self._start()
        if not self._in_flight:
            self._on_idle()


class SingleFlight(Generic[KeyT, ResultT]):
    """Lets callers that want the same at the same time share one run."""

    def __init__(self) -> None:
        self._in_flight: dict[KeyT, asyncio.Future[ResultT | None]] = {}

    async def run(
        self,
        key: KeyT,
        work: Callable[[], Awaitable[ResultT]],
        is_current: Callable[[ResultT], bool],
        is_shared: Callable[[ResultT], bool],
    ) -> ResultT:
        """Return the result of work, or of the same work that another caller has in flight.

        An error of the work is raised to its own caller only.

        Args:
            is_current: Whether the result of a run that began before this call may be used.
            is_shared: Whether a result may be used by several callers.
        """
        earlier = self._in_flight.get(key)
        if earlier is not None:
            await asyncio.wait((earlier,))
            result = earlier.result()
            if result is not None and is_shared(result) and is_current(result):
                return result
            later = self._in_flight.get(key)
            if later is not None:
                await asyncio.wait((later,))
                result = later.result()  # it began after this call, so it is current
                if result is not None and is_shared(result):
                    return result
        return await self._run_alone(key, work)

    async def _run_alone(self, key: KeyT, work: Callable[[], Awaitable[ResultT]]) -> ResultT:
        future: asyncio.Future[ResultT | None] = asyncio.get_running_loop().create_future()
        self._in_flight[key] = future
        result = None
        try:
            result = await work()
            return result
        finally:
            future.set_result(result)
            if self._in_flight.get(key) is future:  # else a later run has taken its place
                del self._in_flight[key]
