import re

import pytest
from tests import direct
from tests.groups.actions import Groups, phone

from openpns.accounts import access_keys
from openpns.accounts.secret_box import SecretBox
from openpns.api.registry import CHECKS
from openpns.core.verify import verify
from openpns.groups import pages
from openpns.storage.store import Store

FIRST = "(SELECT min(group_id) FROM number_group WHERE phone_count > 2 AND customer_id = 'cus_1')"
GROUP = f"customer_id = 'cus_1' AND group_id = {FIRST}"
SEQ = f"(SELECT group_seq FROM number_group WHERE {GROUP})"
MEMBERS = f"customer_id = 'cus_1' AND group_seq = {SEQ}"


@pytest.fixture
async def filled(mine: Groups, theirs: Groups, secret_box: SecretBox) -> Store:
    """Two customers with more groups than a slice holds, one of them empty, and a key."""
    store = mine.context.services.store
    await access_keys.create(store, secret_box, mine.context.services.clock, "cus_1")
    for number in range(pages.GROUPS_IN_SLICE * 2 + 1):
        await mine.create(range(number, number + 300))
    empty = await mine.create([1])
    await mine.delete(empty, 1)
    removed = await mine.create([1, 2])
    await mine.drop(removed)
    await theirs.create([5, 4, 3])
    return store


async def _wrong(store: Store) -> list[str]:
    faults: list[str] = []
    counts = await verify(store, CHECKS, faults.append)
    assert counts["wrong"] == len(faults)
    return faults


async def test_check_counts_every_row_of_a_sound_database(filled: Store) -> None:
    faults: list[str] = []
    numbers = (pages.GROUPS_IN_SLICE * 2 + 1) * 300 + 3
    assert await verify(filled, CHECKS, faults.append) == {
        "customers": 2,
        "accessKeys": 1,
        "groups": 19,
        "phones": numbers,
        "virtualNumbers": 0,
        "bindings": 0,
        "customersHeld": 0,
        "callRecords": 0,
        "webhooks": 0,
        "deliveries": 0,
        "auditEntries": 25,
        "auditUnsealed": 25,
        "wrong": 0,
    }
    assert faults == []


async def test_check_finds_nothing_wrong_in_an_empty_database(store: Store) -> None:
    assert set((await verify(store, CHECKS, pytest.fail)).values()) == {0}


async def test_check_finds_nothing_wrong_after_updates(store: Store, mine: Groups) -> None:
    group = await mine.create(range(500))
    await mine.delete(group, *range(0, 500, 3))
    await mine.add(group, *range(300, 600))
    other = await mine.create(range(5))
    await mine.replace(other, *range(700, 100, -1))
    assert await _wrong(store) == []


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            "UPDATE customer_state SET group_count = 2 WHERE customer_id = 'cus_1'",
            "customer cus_1: its total says 2 groups, there are 18",
        ),
        (
            "UPDATE customer_state SET phone_count = 2 WHERE customer_id = 'cus_1'",
            "customer cus_1: its total says 2 phones, there are 5100",
        ),
        (
            "UPDATE customer_state SET next_seq = 3 WHERE customer_id = 'cus_1'",
            "customer cus_1: the next place in its order is taken",
        ),
        (
            "DELETE FROM customer_state WHERE customer_id = 'cus_1'",
            "customer cus_1: has no state",
        ),
        (
            f"UPDATE number_group SET phone_count = 299 WHERE {GROUP}",
            "says 299 phones, has",
        ),
        (
            f"UPDATE number_group SET phones = '' WHERE {GROUP} AND phone_count > 0",
            "what listGroup shows is not its phones in their order",
        ),
        (
            f"UPDATE group_member SET position = position + 1 WHERE {MEMBERS} AND position = 0",
            "its phones are not in one order",
        ),
        (
            f"UPDATE number_group SET position_next = 5 WHERE {GROUP}",
            "its phones are not in one order",
        ),
        (
            f"DELETE FROM group_phone_chunk WHERE {MEMBERS} AND chunk = 2",
            "what listGroup shows is not its phones in their order",
        ),
        (
            "UPDATE group_phone_chunk SET customer_id = 'cus_3' WHERE group_seq = 0",
            "customer cus_3: 2 chunks belong to no group (place 0)",
        ),
        (
            "DELETE FROM group_order_gap WHERE customer_id = 'cus_1' AND level = 1",
            "customer cus_1: the empty places in its order are miscounted",
        ),
        (
            "UPDATE group_order_gap SET deleted = deleted + 1 WHERE level = 3",
            "customer cus_1: the empty places in its order are miscounted",
        ),
        (
            "UPDATE customer_state SET next_seq = next_seq + 64 WHERE customer_id = 'cus_1'",
            "customer cus_1: the empty places in its order are miscounted",
        ),
        (
            "UPDATE access_key SET secret_ciphertext = ''",
            "its secret is empty",
        ),
        (
            f"INSERT INTO group_member VALUES ('cus_1', 99, '{phone(1)}', 0)",
            "customer cus_1: 1 phones belong to no group (place 99)",
        ),
        (
            "UPDATE group_member SET customer_id = 'cus_3' WHERE customer_id = 'cus_2'",
            "customer cus_3: 3 phones belong to no group",
        ),
        (
            "UPDATE number_group SET customer_id = 'cus_3' WHERE customer_id = 'cus_2'",
            "customer cus_3: has groups but no state",
        ),
    ],
)
async def test_check_reports_each_kind_of_damage_without_phones(
    filled: Store, database_url: str, damage: str, expected: str
) -> None:
    if "secret_ciphertext" in damage and database_url.startswith("sqlite"):
        damage = damage.replace("''", "x''")
    await direct.query(database_url, damage)
    faults = await _wrong(filled)
    assert any(expected in line for line in faults), faults
    assert not any(re.search("852[0-9]{8}", line) for line in faults)


async def test_check_reports_phones_in_another_order_than_listed(
    store: Store, mine: Groups, query: direct.Query
) -> None:
    group = await mine.create([1, 2, 3])
    await query(f"UPDATE group_member SET position = 2 - position WHERE {MEMBERS}")
    (faults,) = await _wrong(store)
    assert faults == (
        f"customer cus_1, group {group}: what listGroup shows is not its phones in their order"
    )


async def test_check_reports_phone_text_split_at_other_places(
    store: Store, mine: Groups, query: direct.Query
) -> None:
    await mine.create(range(300))
    await query(
        "UPDATE number_group SET phones = phones"
        " || (SELECT phones FROM group_phone_chunk WHERE chunk = 1)"
    )
    await query("DELETE FROM group_phone_chunk WHERE chunk = 1")
    (faults,) = await _wrong(store)
    assert faults.endswith("its text is not cut into chunks of 128")
