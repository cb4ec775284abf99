import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpns.client.extension_calls import Filters, PageBehind, PhonePage
from openpns.client.pages import GroupPager, PhonePager
from openpns.client.requests import Group, GroupPage
from openpns.errors import GroupNotFound, ParameterError


def _group(number: int) -> Group:
    return Group(str(number), "", [], "", "")


@pytest.mark.parametrize("page_size", [0, -1, 1001])
def test_a_page_size_outside_its_range_is_refused(page_size: int) -> None:
    with pytest.raises(ValueError, match=r"from 1 to 1000$"):
        GroupPager(page_size)
    with pytest.raises(ValueError, match=r"from 1 to 10000$"):
        PhonePager("g", page_size if page_size < 1 else 10_001)


@given(
    page_size=st.integers(1, 5),
    before=st.integers(0, 12),
    added=st.lists(st.integers(0, 3), max_size=4),
    capacity=st.integers(1, 5),
)
def test_paging_by_offset_gives_every_group_once_while_groups_are_added(
    page_size: int, before: int, added: list[int], capacity: int
) -> None:
    """Also from a server whose pages hold fewer groups than were asked for."""
    there = [_group(number) for number in range(before)]
    pager = GroupPager(page_size)
    assert pager.next_call()
    assert pager.refused(ParameterError("offset is required"))
    seen: list[Group] = []
    while call := pager.next_call():
        limit, offset = call.body["limit"], call.body["offset"]
        assert limit == page_size
        found = there[offset : offset + min(limit, capacity)]
        seen += pager.accept(GroupPage(found, len(there)))
        for _ in range(added.pop() if added else 0):
            there.append(_group(len(there)))
    assert seen[:before] == there[:before]
    assert seen == there[: len(seen)]


@given(st.data(), st.integers(1, 4), st.integers(0, 12))
def test_paging_behind_a_group_skips_and_repeats_none_that_stays(
    data: st.DataObject, page_size: int, before: int
) -> None:
    there = list(range(before))
    gone: set[int] = set()
    count = before
    pager = GroupPager(page_size)
    seen: list[int] = []
    while call := pager.next_call():
        after = int(call.body["after"] or -1)
        behind = [number for number in there if number > after]
        found = behind[:page_size]
        following = str(found[-1]) if len(behind) > page_size else None
        page = PageBehind([_group(number) for number in found], len(there), following)
        seen += [int(group.group_id) for group in pager.accept(page)]
        if there and data.draw(st.booleans()):
            gone.add(there.pop(data.draw(st.integers(0, len(there) - 1))))
        if count < 20 and data.draw(st.booleans()):
            there.append(count)
            count += 1
    assert seen == sorted(set(seen))
    assert set(range(before)) - gone <= set(seen)


def test_paging_ends_where_a_server_promises_more_than_it_has() -> None:
    pager = GroupPager(10)
    pager.refused(ParameterError())
    assert pager.next_call()
    pager.accept(GroupPage([], 1000))
    assert pager.next_call() is None
    pager = GroupPager(10)
    pager.accept(PageBehind([], 1000, "0"))
    assert pager.next_call() is None
    phones = PhonePager("g", 10)
    assert phones.next_call()
    assert phones.accept(PhonePage([], 1000)) == []
    assert phones.next_call() is None


def test_only_the_first_page_of_all_groups_can_be_asked_for_in_another_way() -> None:
    assert not GroupPager().refused(GroupNotFound())
    assert not GroupPager(10, Filters(order="newest")).refused(ParameterError())
    pager = GroupPager(10)
    pager.accept(PageBehind([_group(0)], 2, "0"))
    assert not pager.refused(ParameterError())
    assert not PhonePager("g").refused(ParameterError())


def test_a_page_of_a_server_that_does_not_know_after_is_asked_for_anew() -> None:
    pager = GroupPager(1)
    assert pager.accept(GroupPage([_group(0)], 2)) == ()
    call = pager.next_call()
    assert call is not None
    assert call.body == {"limit": 1, "offset": 0}


def test_numbers_come_page_by_page() -> None:
    pager = PhonePager("g", 2)
    seen: list[str] = []
    for phones in (["1", "2"], ["3", "4"], ["5"]):
        call = pager.next_call()
        assert call is not None
        assert call.body == {"groupId": "g", "limit": 2, "offset": len(seen)}
        seen += pager.accept(PhonePage(phones, 5))
    assert pager.next_call() is None
    assert seen == ["1", "2", "3", "4", "5"]
