"""Fixtures: two customers' bindings, and the calls of one."""

import pytest
from tests import direct
from tests.bindings.actions import Bindings
from tests.bindings.conftest import mine, query, theirs
from tests.call_records.actions import Calls

__all__ = ["mine", "query", "theirs"]


@pytest.fixture
def calls(mine: Bindings) -> Calls:
    """The calls of the customer with two virtual numbers."""
    return Calls(mine.context)


@pytest.fixture
async def webhook(mine: Bindings, query: direct.Query) -> None:
    """A webhook of this customer that wants records."""
    customer = mine.context.customer_id
    ciphertext = "X'00'" if "sqlite" in type(mine.context.store).__module__ else r"'\x00'"
    await query(
        "INSERT INTO webhook (customer_id, url, kinds, state, secret_ciphertext, created_ms, "
        f"changed_ms) VALUES ('{customer}', 'https://a.example', 'callRecord', 'active', "
        f"{ciphertext}, 1, 1)"
    )
