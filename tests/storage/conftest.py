"""Fixtures and steps for tests of a store without rules: customers are the test data."""

from collections.abc import Callable
from functools import partial

import pytest
from tests import direct

from openpns.storage.store import Statement, Store, Transaction


@pytest.fixture
def query(database_url: str) -> direct.Query:
    """Query the test's database past the store."""
    return partial(direct.query, database_url)


def add(*customer_ids: str, then: Exception | None = None) -> Callable[[], Transaction[int]]:
    """Return steps that store customers and return their number, or fail at the end."""

    def steps() -> Transaction[int]:
        for customer_id in customer_ids:
            params = {"customer_id": customer_id, "name": "Example", "now_ms": 1}
            yield Statement("customer_create", params)
            yield Statement("customer_state_create", {"revision": 0, "customer_id": customer_id})
        if then is not None:
            raise then
        return len(customer_ids)

    return steps


async def ids_in(store: Store) -> list[str]:
    """Return the ids of all customers."""
    return [row[0] for row in await store.fetch("customer_list", {"customer_id": None})]
