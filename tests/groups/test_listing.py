"""listGroup without filters: pages at every offset, large pages."""

import asyncio
import random

import pytest
from tests.conftest import FakeClock
from tests.groups.actions import Groups

from openpns import limits
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.errors import InternalError
from openpns.groups import pages

pytestmark = pytest.mark.usefixtures("sound_tables")

HUGE = 2**63 - 1


async def test_list_returns_empty_page_for_customer_without_groups(mine: Groups) -> None:
    assert await mine.page() == (0, [])


async def test_list_returns_groups_oldest_first_in_stable_order(
    mine: Groups, clock: FakeClock
) -> None:
    ids = []
    for number in range(12):
        clock.now_ms -= 1000  # the order is that of creation, not of the clock
        ids.append(await mine.create([number]))
        assert await mine.ids(3, 0) == ids[:3]
    for offset in range(0, 14, 2):
        assert await mine.ids(5, offset) == ids[offset : offset + 5]
    await mine.add(ids[0], 99)
    assert await mine.ids() == ids


@pytest.mark.parametrize("offset", [0, 5])
async def test_list_raises_internal_error_for_missing_customer(
    services: Services, offset: int
) -> None:
    nobody = Groups(Context(services, Principal("key", "nobody")))
    with pytest.raises(InternalError):
        await nobody.page(10, offset)


@pytest.mark.parametrize("offset", [2, 3, HUGE])
async def test_list_with_offset_past_the_end_returns_only_the_total(
    mine: Groups, offset: int
) -> None:
    for number in range(2):
        await mine.create([number])
    assert await mine.page(10, offset) == (2, [])
    assert await mine.page(0, offset) == (2, [])


async def test_list_without_limit_returns_a_thousand_groups(
    mine: Groups,
) -> None:
    for first in range(0, 1003, 17):  # all at once, the last might wait longer than it may
        await asyncio.gather(*(mine.create([first + number]) for number in range(17)))
    total, rows = await mine.page(0)
    assert (total, len(rows)) == (1003, limits.GROUPS_IN_PAGE_MAX)
    assert len(await mine.ids(1000, 1000)) == 3
    assert await mine.ids(1000, 0) == [row[2] for row in rows]
    assert len({*await mine.ids(1000, 0), *await mine.ids(1000, 1000)}) == 1003


@pytest.mark.parametrize("limit", [0, 1, 7, 20])
async def test_list_in_chunks_returns_the_same_page(
    mine: Groups, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    ids = [await mine.create(range(n % 7 + 1)) for n in range(30)]
    await mine.delete(ids[3], *range(7))
    await mine.drop(ids[11])
    whole = [await mine.page(limit, offset) for offset in (0, 5, 28, 40)]
    monkeypatch.setattr(pages, "PHONES_IN_CHUNKED_PAGE_MIN", limit or 1000)
    monkeypatch.setattr(pages, "GROUPS_IN_SLICE", 4)
    in_chunks = [await mine.page(limit, offset) for offset in (0, 5, 28, 40)]
    assert in_chunks == whole


async def test_list_in_chunks_reads_one_snapshot(
    mine: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PHONES_IN_CHUNKED_PAGE_MIN", 0)
    monkeypatch.setattr(pages, "GROUPS_IN_SLICE", 2)
    ids = [await mine.create([n]) for n in range(9)]
    found = await mine.list()
    assert found.rest is not None
    seen = [group.group_id for group in found.groups]
    async for groups in found.rest:
        seen += [group.group_id for group in groups]
        await mine.drop(ids.pop())
        await mine.create([1])
    assert found.total == 9
    assert len(seen) == 9
    assert seen[: len(ids)] == ids


@pytest.mark.parametrize("seed", range(2))
async def test_list_returns_right_page_at_every_offset_after_deletions(
    mine: Groups, theirs: Groups, seed: int
) -> None:
    chance = random.Random(seed)
    await theirs.create([1])
    left = await _create_many(mine, 300)
    for _ in range(4):
        first = chance.randrange(len(left) - 40)
        for group_id in [*left[first : first + 30], *chance.sample(left[first + 30 :], 10)]:
            await mine.drop(group_id)
            left.remove(group_id)
        left += await _create_many(mine, 3)
        for offset in (0, 1, *chance.sample(range(len(left)), 30), len(left) - 1, len(left)):
            limit = chance.randint(1, 9)
            total, rows = await mine.page(limit, offset)
            assert (total, [row[2] for row in rows]) == (
                len(left), left[offset : offset + limit],
            )  # fmt: skip
    assert (await mine.page(1, HUGE)) == (len(left), [])


async def _create_many(mine: Groups, count: int) -> list[str]:
    return [await mine.create([number]) for number in range(count)]
