"""Fixtures: two customers' groups, and a check that the tables agree with each other."""

from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest
from tests import direct
from tests.groups.actions import Groups

from openpns.accounts.secret_box import SecretBox
from openpns.core.context import Context

MEMBERS = """
SELECT customer_id, group_seq, phone FROM group_member
ORDER BY customer_id, group_seq, position
"""
GROUPS = """
SELECT g.customer_id, g.group_seq, g.phones || coalesce(
    (SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
    WHERE p.customer_id = g.customer_id AND p.group_seq = g.group_seq), ''), g.phone_count,
    g.group_name, g.remark
FROM number_group AS g
ORDER BY g.customer_id, g.group_seq
"""
CHUNKS = "SELECT customer_id, group_seq, chunk, phones FROM group_phone_chunk"
GAPS = "SELECT customer_id, level, block, deleted FROM group_order_gap"
STATES = """
SELECT customer_id, group_count, next_seq, phone_count, phone_count_revision = groups_revision,
    byte_count, byte_count_revision = groups_revision
FROM customer_state
"""


@pytest.fixture
def query(database_url: str) -> direct.Query:
    """Return a function that runs SQL on the test's database, without openpns."""
    return partial(direct.query, database_url)


@pytest.fixture
def mine(context: Context) -> Groups:
    return Groups(context)


@pytest.fixture
def theirs(stranger: Context) -> Groups:
    return Groups(stranger)


@pytest.fixture
def secret_box() -> SecretBox:
    return SecretBox([b"k" * 32])


@pytest.fixture
async def sound_tables(query: direct.Query) -> AsyncIterator[None]:
    """Check that the tables of groups agree with each other after the test."""
    yield
    members: dict[tuple[str, int], list[str]] = {}
    for customer_id, seq, number in await query(MEMBERS):
        members.setdefault((customer_id, seq), []).append(number)
    shown = await query(GROUPS)
    for customer_id, seq, phones, count, *_ in shown:
        numbers = members.pop((customer_id, seq), [])
        assert (phones, count) == (",".join(numbers), len(numbers))
    assert not members, "members of no group"
    for customer_id, count, next_seq, phones, is_counted, size, is_sized in await query(STATES):
        seqs = [row[1] for row in shown if row[0] == customer_id]
        held = sum(row[3] for row in shown if row[0] == customer_id)
        assert (phones, bool(is_counted)) == (held, True)
        texts = [text for row in shown if row[0] == customer_id for text in row[4:]]
        texts_size = sum(len(text.encode()) for text in texts)
        assert (size, bool(is_sized)) == (16 * held + texts_size, True)
        assert (count, max(seqs, default=-1) < next_seq) == (len(seqs), True)
        gaps = {tuple(row[1:]) for row in await query(GAPS) if row[0] == customer_id}
        assert gaps == gaps_between(seqs, next_seq)
    for customer_id, seq, chunk, phones in await query(CHUNKS):
        count = next(row[3] for row in shown if (row[0], row[1]) == (customer_id, seq))
        assert phones.count(",") == min(128, count - 128 * chunk) > 0


def gaps_between(seqs: list[int], next_seq: int) -> set[tuple[int, int, int]]:
    """The rows of group_order_gap that a customer with groups at these places must have."""
    empty = set(range(next_seq)) - set(seqs)
    blocks = Counter((level, seq >> 6 * level) for seq in empty for level in (1, 2, 3, 4))
    return {(level, block, deleted) for (level, block), deleted in blocks.items()}
