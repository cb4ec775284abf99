"""Fixtures: two customers' groups, and a check that the tables agree with each other."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from tests import direct
from tests.domain.actions import Groups

from openpns.domain.calls import Caller, Services
from openpns.domain.vault import Vault

MEMBERS = """
SELECT customer_id, group_seq, phone FROM group_member
ORDER BY customer_id, group_seq, position
"""
GROUPS = """
SELECT customer_id, group_seq, phones, phone_count FROM number_group
ORDER BY customer_id, group_seq
"""
COUNTERS = "SELECT customer_id, group_count, seq_next FROM group_counter"


@pytest.fixture
def query(database_url: str) -> direct.Query:
    """Look into the test's database past openpns."""
    return partial(direct.query, database_url)


@pytest.fixture
def mine(services: Services, caller: Caller) -> Groups:
    return Groups(services, caller)


@pytest.fixture
def theirs(services: Services, stranger: Caller) -> Groups:
    return Groups(services, stranger)


@pytest.fixture
def vault() -> Vault:
    return Vault([b"k" * 32])


@pytest.fixture
async def sound_tables(query: direct.Query) -> AsyncIterator[None]:
    """See to it that a test leaves tables behind that say the same thing in every place."""
    yield
    members: dict[tuple[str, int], list[str]] = {}
    for customer_id, seq, number in await query(MEMBERS):
        members.setdefault((customer_id, seq), []).append(number)
    shown = await query(GROUPS)
    for customer_id, seq, phones, count in shown:
        numbers = members.pop((customer_id, seq), [])
        assert (phones, count) == (",".join(numbers), len(numbers))
    assert not members, "members of no group"
    for customer_id, count, seq_next in await query(COUNTERS):
        seqs = [row[1] for row in shown if row[0] == customer_id]
        assert (count, max(seqs, default=-1) < seq_next) == (len(seqs), True)
