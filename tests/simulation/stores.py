"""A store that shows what was, for a test of the tests."""

from collections.abc import Sequence
from typing import Any

from openpns.storage.store import Params, Row, Store


class StaleStore:
    """A store that never reads twice what it has read once."""

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
