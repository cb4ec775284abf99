from typing import Any

import asyncpg
import pytest
from asyncpg.pool import Pool

from openpns.errors import DatabaseUnavailable, ServiceUnavailable
from openpns.storage import connect
from openpns.storage.postgres import distribution


async def test_looks_at_the_distribution_fail_with_a_clear_line(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[Pool] = []

    async def create_pool(**options: Any) -> Pool:
        pools.append(await make(**options))
        return pools[-1]

    async def lost(_: Any) -> bool:
        raise asyncpg.ConnectionDoesNotExistError("connection was closed")

    store = await connect.open_store(postgres_url)
    make = asyncpg.create_pool
    monkeypatch.setattr(asyncpg, "create_pool", create_pool)
    monkeypatch.setattr(distribution, "has_extension", lost)
    with pytest.raises(DatabaseUnavailable, match="PostgreSQL: connection was closed"):
        await connect.open_store(postgres_url)
    assert [pool.is_closing() for pool in pools] == [True]
    for look in (connect.can_distribute, connect.check_distribution):
        with pytest.raises(ServiceUnavailable, match="the storage is away"):
            await look(store, postgres_url)
    await store.close()
