"""Fixtures: two customers' bindings, and a check that the tables agree with each other."""

from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest
from tests import direct
from tests.bindings.actions import Bindings, X, Y

from openpns.core.context import Context


@pytest.fixture
def query(database_url: str) -> direct.Query:
    """Return a function that runs SQL on the test's database, without openpns."""
    return partial(direct.query, database_url)


@pytest.fixture
async def mine(context: Context) -> Bindings:
    """The bindings of a customer with two virtual numbers."""
    bindings = Bindings(context)
    await bindings.add(X, Y)
    return bindings


@pytest.fixture
def theirs(stranger: Context) -> Bindings:
    """The bindings of another customer, who has no virtual number."""
    return Bindings(stranger)


@pytest.fixture
async def sound_tables(query: direct.Query) -> AsyncIterator[None]:
    """Check after the test that counts and seats agree with the bindings."""
    yield
    await check_tables(query)


async def check_tables(query: direct.Query) -> None:
    """Fail if counts or seats do not agree with the bindings."""
    bindings = await query(
        "SELECT customer_id, binding_seq, kind, did, phone_a, phone_b, extension, group_seq, "
        "live_until_ms FROM binding"
    )
    of_customer = Counter(row[0] for row in bindings)
    for customer_id, count, next_seq in await query(
        "SELECT customer_id, binding_count, binding_next_seq FROM customer_state"
    ):
        assert count == of_customer[customer_id]
        assert all(row[1] < next_seq for row in bindings if row[0] == customer_id)
    on_number = Counter((row[0], row[3]) for row in bindings)
    digits = Counter((row[0], row[3]) for row in bindings if row[2] == "extension")
    for customer_id, did, count, extensions in await query(
        "SELECT customer_id, did, binding_count, extension_count FROM number_load"
    ):
        assert count == on_number[customer_id, did]
        assert extensions == digits[customer_id, did]
    of_group = Counter((row[0], row[7]) for row in bindings)
    for customer_id, seq, count in await query(
        "SELECT customer_id, group_seq, bound_count FROM number_group"
    ):
        assert count == of_group[customer_id, seq]
    seats = {
        (row[0], row[1], row[2]): (row[3], row[4])
        for row in await query(
            "SELECT customer_id, phone, did, binding_seq, live_until_ms FROM seat "
            "WHERE live_until_ms > 0"
        )
    }
    held = {}
    for customer_id, seq, kind, did, a, b, extension, _, until in bindings:
        places = {"axb": (a, b), "axg": (a,), "extension": (f"#{extension}",)}[kind]
        for place in places:
            other = seats.get((customer_id, place, did))
            if other is not None and other[0] != seq:
                continue  # it has run out, and another binding has taken the seat
            held[customer_id, place, did] = (seq, until)
    assert seats == held
