"""Fixtures: number groups, on which the commit path is tested, and a log in memory."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from msgspec import structs
from tests import direct
from tests.api.conftest import log
from tests.conftest import FakeClock
from tests.groups.actions import Groups
from tests.groups.conftest import mine, query, secret_box, sound_tables, theirs

from openpns.storage.store import Statement, Store, Transaction

__all__ = ["log", "mine", "query", "secret_box", "sound_tables", "theirs"]

Sign: TypeAlias = Callable[..., Groups]
"""Returns the actions of a request with this signature and client token, sent now."""

Records: TypeAlias = Callable[[], Awaitable[list[str]]]
"""Returns the keys of the records that the database holds."""


def _signer(mine: Groups, clock: FakeClock, *, unique_ts: bool) -> Sign:
    principal = structs.replace(mine.context.principal, unique_ts=unique_ts)
    groups = Groups(structs.replace(mine.context, principal=principal))

    def request(signature: str, token: str | None = None) -> Groups:
        bounded = groups.bounded(phones_in_group_max=5)
        return bounded.sent(signature=signature, ts_ms=clock.now_ms, client_token=token)

    return request


@pytest.fixture
def sign(mine: Groups, clock: FakeClock) -> Sign:
    """Requests of a key whose requests may share a ts, as those of the vendor's clients."""
    return _signer(mine, clock, unique_ts=False)


@pytest.fixture
def sign_unique(mine: Groups, clock: FakeClock) -> Sign:
    """Requests of a unique-ts key."""
    return _signer(mine, clock, unique_ts=True)


@pytest.fixture
def records(query: direct.Query) -> Records:
    async def read() -> list[str]:
        rows = await query("SELECT idempotency_key FROM idempotency_record ORDER BY 1")
        return [row[0] for row in rows]

    return read


class StatementLog:
    """A store that keeps the names of the statements of each transaction that was committed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.committed: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, steps: Callable[[], Transaction[Any]], **options: Any) -> Any:
        names: list[str] = []

        def watched() -> Transaction[Any]:
            names.clear()
            transaction = steps()
            try:
                statement = next(transaction)
                while True:
                    each = [statement] if isinstance(statement, Statement) else [*statement]
                    names.extend(one.name for one in each)
                    statement = transaction.send((yield statement))
            except StopIteration as end:
                return end.value

        result = await self._store.write(watched, **options)
        self.committed.append(names)
        return result
