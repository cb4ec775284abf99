"""An error after which a write is run again: of two that wait for each other, one is ended."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.storage.conftest import add

from openpns.storage import connect
from openpns.storage.postgres.store import PostgresStore
from openpns.storage.statements import prepare
from openpns.storage.store import Statement, Store, Transaction

CHANGE = """
UPDATE customer_state SET phone_quota = coalesce(phone_quota, 0) + 1
WHERE customer_id = :customer_id
"""


@pytest.fixture
async def patient(postgres_url: str, migrated: None) -> AsyncIterator[PostgresStore]:
    """A store that waits: Citus looks every 2 s for a deadlock between nodes."""
    opened = await connect.open_store(postgres_url, timeout_ms=30_000, connections_max=2)
    assert isinstance(opened, PostgresStore)
    opened._statements["change"] = prepare("change", CHANGE, "postgres")
    yield opened
    await opened.close()


async def quotas(store: Store) -> list[int]:
    """Return the quotas of phones of all customers."""
    return [row[6] for row in await store.fetch("customer_list", {"customer_id": None})]


async def test_write_recovers_from_deadlock(patient: PostgresStore) -> None:
    await patient.write(add("cus_1", "cus_2"))
    first_steps = asyncio.Barrier(2)
    plain = patient._runner.run_step
    begun: list[object] = []

    async def step_together(connection: object, step: Statement) -> object:
        rows = await plain(connection, step)
        order = step.params.get("order")
        if order and step.params["customer_id"] == order[0]:
            begun.append(order)
            if begun.count(order) == 1:
                await first_steps.wait()
        return rows

    patient._runner.run_step = step_together  # type: ignore[method-assign,assignment]

    def change(*customer_ids: str) -> Callable[[], Transaction[None]]:
        def steps() -> Transaction[None]:
            for customer_id in customer_ids:
                yield Statement("change", {"customer_id": customer_id, "order": customer_ids})

        return steps

    await asyncio.gather(
        patient.write(change("cus_1", "cus_2")), patient.write(change("cus_2", "cus_1"))
    )
    assert len(begun) > 2  # one of them twice
    assert await quotas(patient) == [2, 2]
