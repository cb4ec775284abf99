"""Stores that misbehave: one returns stale rows, the other fails."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from openpns.errors import OutcomeUnknown, ReadFailed, ServiceUnavailable, WireError
from openpns.storage.store import BatchKey, Params, Row, Store, Transaction


class StaleStore:
    """A store that returns the rows of its first read again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, Sequence[Row]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:
        question = repr((name, params))
        if question not in self._read:
            self._read[question] = await self._store.fetch(name, params)
        return self._read[question]


@dataclass(frozen=True)
class Fault:
    """A way in which a storage fails."""

    method: str
    """The method of the store that fails."""
    error: type[WireError]
    when: str
    """"before" anything was done, "instead of commit", or "after commit"."""

    @property
    def code(self) -> int:
        return self.error.code

    @property
    def is_before(self) -> bool:
        return self.when == "before"


FAULTS: Final = (
    Fault("get_cached", ServiceUnavailable, "before"),
    Fault("fetch", ServiceUnavailable, "before"),
    Fault("fetch", ReadFailed, "before"),
    Fault("stream", ServiceUnavailable, "after its first slice"),
    Fault("write", ServiceUnavailable, "before"),
    Fault("write", ServiceUnavailable, "instead of commit"),
    Fault("write", OutcomeUnknown, "instead of commit"),
    Fault("write", OutcomeUnknown, "after commit"),
)
"""Both outcomes of a lost commit look the same to the client."""


class FaultyStore:
    """A store that fails once for each fault that is armed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.armed: Fault | None = None
        """What the next use of its method meets."""
        self.met: Fault | None = None
        """The last fault that was met."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get_cached(self, name: str, value: str, since_s: float) -> Row | None:
        self._fail("get_cached", "before")
        return await self._store.get_cached(name, value, since_s)

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:
        self._fail("fetch", "before")
        return await self._store.fetch(name, params)

    async def stream(
        self, name: str, params: Params, rows_each: int
    ) -> AsyncGenerator[Sequence[Row], None]:
        async with aclosing(self._store.stream(name, params, rows_each)) as slices:
            async for rows in slices:
                yield rows
                self._fail("stream", "after its first slice")

    async def write(
        self,
        steps: Callable[[], Transaction[Any]],
        *,
        customer_id: str = "",
        batch_key: BatchKey | None = None,
    ) -> Any:
        del batch_key  # alone: if one write of a batch fails, the store runs all of them again

        def failing_at_their_end() -> Transaction[Any]:
            result = yield from steps()
            self._fail("write", "instead of commit")
            return result

        self._fail("write", "before")
        result = await self._store.write(failing_at_their_end, customer_id=customer_id)
        self._fail("write", "after commit")
        return result

    def _fail(self, method: str, when: str) -> None:
        fault = self.armed
        if fault is not None and (fault.method, fault.when) == (method, when):
            self.armed, self.met = None, fault
            raise fault.error("a fault of the test")
