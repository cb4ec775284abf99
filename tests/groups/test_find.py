"""listGroup with filters, orders and `after`, compared with a list in Python."""

import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from msgspec import UNSET
from tests.conftest import FakeClock
from tests.groups.actions import Groups, joined, phone

from openpns import limits
from openpns.core.context import Context
from openpns.errors import GroupNotFound, OffsetOutOfRange, ParameterError
from openpns.groups import find, pages
from openpns.groups.find import delete_expired_tombstones
from openpns.kit.casefold import fold_name
from openpns.storage.store import Params, Row, Store

pytestmark = pytest.mark.usefixtures("sound_tables")

NAMES = [
    "Sales",
    "sales west",
    "SALES East",
    "Straße",
    "STRASSE 2",
    "Éclair",
    "e\u0301clair 2",
    "ab",
]


class Finder:
    """Lists groups, and derives from a plain list what must be found."""

    def __init__(self, mine: Groups) -> None:
        self.mine = mine
        self.groups: list[tuple[str, str, set[int]]] = []
        """Id, name and phones of each group, oldest first."""

    async def create(self, name: str, *numbers: int) -> str:
        group_id = await self.mine.create(numbers, name)
        self.groups.append((group_id, name, set(numbers)))
        return group_id

    async def drop(self, group_id: str) -> None:
        await self.mine.drop(group_id)
        self.groups = [group for group in self.groups if group[0] != group_id]

    def expected(self, order: str = "oldest", **filters: Any) -> list[str]:
        found = [
            group
            for group in self.groups
            if filters.get("group_id", group[0]) == group[0]
            and fold_name(group[1]).startswith(fold_name(filters.get("group_name", "")))
            and ("phone" not in filters or int(filters["phone"][3:]) in group[2])
        ]
        if order == "name":
            found.sort(key=lambda group: fold_name(group[1]))  # stable: oldest first within a name
        ids = [group[0] for group in found]
        return ids[::-1] if order == "newest" else ids

    async def ask(self, **fields: Any) -> tuple[int, list[str], Any]:
        """Return total, ids and next."""
        found = await self.mine.list(**({"limit": 1000, "offset": None} | fields))
        groups = [*found.groups]
        if found.rest is not None:
            groups += [group async for chunk in found.rest for group in chunk]
        return found.total, [group.group_id for group in groups], found.next

    async def walk(self, limit: int, between: Callable[[], Any], **fields: Any) -> list[str]:
        """Return all ids, page by page; `between` runs after each page."""
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            _, ids, after = await self.ask(limit=limit, after=after, **fields)
            assert len(ids) <= limit
            seen += ids
            await between()
        return seen


@pytest.fixture
async def finder(mine: Groups, theirs: Groups) -> Finder:
    """Return groups with many kinds of names, some deleted, and those of another customer."""
    finder = Finder(mine)
    rng = random.Random(7)
    for place in range(60):
        numbers = rng.sample(range(12), rng.randrange(1, 6))
        await finder.create(rng.choice(NAMES) + rng.choice(["", "!", " x"]), *numbers)
        if place % 7 == 0:
            await theirs.create(numbers, "Sales")
    for group_id, *_ in rng.sample(finder.groups, 15):
        await finder.drop(group_id)
    return finder


FILTERS: list[dict[str, str]] = [
    {},
    {"group_name": "sal"},
    {"group_name": "SALES "},
    {"group_name": "stras"},
    {"group_name": "straß"},
    {"group_name": "\u00e9c"},
    {"group_name": "nobody"},
    {"group_name": ""},
    {"phone": phone(3)},
    {"phone": phone(99)},
    {"phone": phone(3), "group_name": "s"},
]


@pytest.mark.parametrize("order", ["oldest", "newest", "name"])
@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_list_finds_what_a_plain_list_finds(
    finder: Finder, filters: dict[str, str], order: str
) -> None:
    expected = finder.expected(order, **filters)
    assert await finder.ask(offset=0, order=order, **filters) == (
        len(expected), expected, UNSET,
    )  # fmt: skip
    total, ids, _ = await finder.ask(limit=4, offset=3, order=order, **filters)
    assert (total, ids) == (len(expected), expected[3:7])
    for limit in (1, 3, 1000):

        async def nothing() -> None:
            pass

        assert await finder.walk(limit, nothing, order=order, **filters) == expected


@pytest.mark.parametrize("scan", [1, 5, 20_000])
async def test_list_finds_the_same_page_if_it_stops_counting(
    finder: Finder, monkeypatch: pytest.MonkeyPatch, scan: int
) -> None:
    monkeypatch.setattr(limits, "FOUND_GROUPS_MAX", 4)
    monkeypatch.setattr(find, "SCAN_GROUPS", scan)
    for filters, order in itertools.product(FILTERS[1:], ["oldest", "newest", "name"]):
        await _check_bounded_search(finder, filters, order)


async def _check_bounded_search(finder: Finder, filters: dict[str, str], order: str) -> None:
    expected = finder.expected(order, **filters)
    for offset, limit in ((0, 2), (3, 1), (4, 1000)):
        page = await finder.mine.list(limit=limit, offset=offset, order=order, **filters)
        assert [group.group_id for group in page.groups] == expected[offset : offset + limit]
        assert (page.total, page.total_is_bounded) == (min(len(expected), 4), len(expected) > 4)

    async def nothing() -> None:
        pass

    assert await finder.walk(3, nothing, order=order, **filters) == expected
    with pytest.raises(OffsetOutOfRange, match="integer from 0 to 4; use after for later pages"):
        await finder.ask(offset=5, order=order, **filters)


async def test_list_without_filters_counts_all_and_takes_any_offset(
    finder: Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FOUND_GROUPS_MAX", 4)
    expected = finder.expected("name")
    page = await finder.mine.list(limit=1, offset=9, order="name")
    assert ([group.group_id for group in page.groups], page.total) == (
        expected[9:10],
        len(expected),
    )
    assert not page.total_is_bounded


async def test_list_by_group_id_applies_the_other_filters_too(finder: Finder) -> None:
    group_id, name, numbers = finder.groups[5]
    number = phone(min(numbers))
    for fields, count in (
        ({}, 1),
        ({"group_name": name}, 1),
        ({"phone": number}, 1),
        ({"phone": number, "group_name": name, "order": "name"}, 1),
        ({"phone": phone(99)}, 0),
        ({"group_name": "nobody"}, 0),
    ):
        total, ids, _ = await finder.ask(offset=0, group_id=group_id, **fields)
        assert (total, ids) == (count, [group_id][:count])
    assert (await finder.ask(offset=0, group_id="f" * 32))[:2] == (0, [])


async def test_list_raises_group_not_found_after_a_foreign_group(
    finder: Finder, theirs: Groups
) -> None:
    (other, *_) = await theirs.ids()
    assert (await finder.ask(offset=0, group_id=other))[:2] == (0, [])
    with pytest.raises(GroupNotFound, match="begin again with an empty after"):
        await finder.ask(after=other)


@pytest.mark.parametrize("order", ["oldest", "newest", "name"])
async def test_list_after_neither_misses_nor_repeats_groups_that_stay(
    finder: Finder, order: str
) -> None:
    rng = random.Random(11)
    staying = {group[0] for group in rng.sample(finder.groups, 20)}

    async def come_and_go() -> None:
        going = [group[0] for group in finder.groups if group[0] not in staying]
        for group_id in rng.sample(going, min(4, len(going))):
            await finder.drop(group_id)
        if len(finder.groups) < 60:
            await finder.create(rng.choice(NAMES), 1)

    seen = await finder.walk(3, come_and_go, order=order)
    assert len(seen) == len(set(seen))
    assert staying <= set(seen)
    in_order = finder.expected(order)
    still = [group_id for group_id in seen if group_id in set(in_order)]
    assert still == [group_id for group_id in in_order if group_id in set(still)]


async def test_list_after_continues_after_a_deleted_group(
    finder: Finder,
) -> None:
    for order in ("oldest", "newest", "name"):
        before = finder.expected(order)
        _, ids, after = await finder.ask(limit=5, after="", order=order)
        assert after == ids[-1]
        await finder.drop(after)
        _, more, _ = await finder.ask(limit=5, after=after, order=order)
        assert more == before[5:10]


async def test_delete_expired_tombstones_deletes_them_after_seven_days(
    finder: Finder, clock: FakeClock
) -> None:
    removed = finder.groups[3][0]
    await finder.drop(removed)
    clock.now_ms += find.TOMBSTONE_MS - 1
    await delete_expired_tombstones(finder.mine.context.services)
    await finder.ask(after=removed)
    clock.now_ms += 1
    await delete_expired_tombstones(finder.mine.context.services)
    with pytest.raises(GroupNotFound, match="in the last 7 days"):
        await finder.ask(after=removed)


async def test_list_after_in_chunks_returns_next(
    finder: Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await finder.create("long", *range(1000, 1300))
    monkeypatch.setattr(pages, "PHONES_IN_CHUNKED_PAGE_MIN", 3)
    monkeypatch.setattr(pages, "GROUPS_IN_SLICE", 2)
    expected = finder.expected()
    for limit in (1, 2, 3, 4, len(expected) - 1, len(expected), 1000):

        async def nothing() -> None:
            pass

        assert await finder.walk(limit, nothing) == expected
    found = await finder.mine.list(1, None, after=expected[-2])
    assert found.rest is not None
    groups = [*found.groups] + [group async for chunk in found.rest for group in chunk]
    assert [group.phones for group in groups] == [joined(range(1000, 1300))]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"offset": 0, "after": ""}, "after must be sent without offset"),
        ({"offset": 0, "phone": "123"}, "phone must be one phone number: 5 to 15 digits"),
        ({"offset": 0, "phone": f"{phone(1)},{phone(2)}"}, "phone must be one phone number"),
    ],
)
async def test_list_raises_parameter_error_for_conflicting_or_wrong_fields(
    mine: Groups, fields: dict[str, Any], text: str
) -> None:
    with pytest.raises(ParameterError, match=text):
        await mine.list(limit=1, **({"offset": None} | fields))


class Between:
    """A store that runs something after a statement, once."""

    def __init__(self, store: Store, statement: str, then: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._statement = statement
        self._then: Callable[[], Awaitable[None]] | None = then

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:
        rows = await self._store.fetch(name, params)
        then = self._then
        if then is not None and name.startswith(self._statement):
            self._then = None
            await then()
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def with_store(mine: Groups, store: Any) -> Groups:
    services = replace(mine.context.services, store=store)
    return Groups(Context(services, mine.context.principal))


async def test_page_is_not_newer_than_the_position_that_it_starts_after(mine: Groups) -> None:
    first = await mine.create([1], "aa")
    for number, name in enumerate(("bb", "zz"), 2):
        await mine.create([number], name)

    async def rename() -> None:
        await mine.change(first, group_name="yy")

    racing = with_store(mine, Between(mine.context.store, "group_seq_find", rename))
    page = {"offset": None, "order": "name"}
    before = await mine.list(10, after=first, **page)
    raced = await racing.list(10, after=first, **page)
    after = await mine.list(10, after=first, **page)
    assert [group.group_name for group in raced.groups] == ["bb", "yy", "zz"]
    assert [group.group_name for group in after.groups] == ["zz"]
    assert raced.revision == before.revision != after.revision


async def test_page_whose_groups_are_deleted_before_it_is_streamed_is_empty(
    mine: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PHONES_IN_CHUNKED_PAGE_MIN", 10)
    group_id = await mine.create(range(20), "aa")

    async def drop() -> None:
        await mine.drop(group_id)

    racing = with_store(mine, Between(mine.context.store, "group_find_all", drop))
    found = await racing.list(10, offset=None, after="")
    assert found.rest is not None
    assert [group async for groups in found.rest for group in groups] == found.groups == []
    assert found.next is None
