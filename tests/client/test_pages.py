import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpns.client.group_types import CursorPage, Filters, Group, GroupPage
from openpns.client.pages import GroupPager, PhonePager
from openpns.errors import GroupNotFound, ParameterError
from openpns.groups.wire import PhonePage


def _group(number: int) -> Group:
    return Group(str(number), "", [], "", "")


@pytest.mark.parametrize("page_size", [0, -1, 1001])
def test_pager_refuses_page_size_outside_its_range(page_size: int) -> None:
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
def test_paging_by_offset_returns_each_group_once_while_groups_are_added(
    page_size: int, before: int, added: list[int], capacity: int
) -> None:
    """Also if pages hold fewer groups than were requested."""
    there = [_group(number) for number in range(before)]
    pager = GroupPager(page_size)
    assert pager.next_request()
    assert pager.can_fall_back(ParameterError("offset is required"))
    seen: list[Group] = []
    while request := pager.next_request():
        limit, offset = request.body["limit"], request.body["offset"]
        assert limit == page_size
        found = there[offset : offset + min(limit, capacity)]
        seen += pager.accept(GroupPage(found, len(there)))
        for _ in range(added.pop() if added else 0):
            there.append(_group(len(there)))
    assert seen[:before] == there[:before]
    assert seen == there[: len(seen)]


@given(st.data(), st.integers(1, 4), st.integers(0, 12))
def test_paging_by_after_skips_and_repeats_no_remaining_group(
    data: st.DataObject, page_size: int, before: int
) -> None:
    there = list(range(before))
    deleted: set[int] = set()
    count = before
    pager = GroupPager(page_size)
    seen: list[int] = []
    while request := pager.next_request():
        after = int(request.body["after"] or -1)
        behind = [number for number in there if number > after]
        found = behind[:page_size]
        following = str(found[-1]) if len(behind) > page_size else None
        page = CursorPage([_group(number) for number in found], len(there), following)
        seen += [int(group.group_id) for group in pager.accept(page)]
        if there and data.draw(st.booleans()):
            deleted.add(there.pop(data.draw(st.integers(0, len(there) - 1))))
        if count < 20 and data.draw(st.booleans()):
            there.append(count)
            count += 1
    assert seen == sorted(set(seen))
    assert set(range(before)) - deleted <= set(seen)


def test_paging_ends_at_an_empty_page() -> None:
    pager = GroupPager(10)
    pager.can_fall_back(ParameterError())
    assert pager.next_request()
    pager.accept(GroupPage([], 1000))
    assert pager.next_request() is None
    pager = GroupPager(10)
    pager.accept(CursorPage([], 1000, "0"))
    assert pager.next_request() is None
    phones = PhonePager("g", 10)
    assert phones.next_request()
    assert phones.accept(PhonePage("", 1000)) == []
    assert phones.next_request() is None


def test_only_the_first_page_of_all_groups_can_fall_back() -> None:
    assert not GroupPager().can_fall_back(GroupNotFound())
    assert not GroupPager(10, Filters(order="newest")).can_fall_back(ParameterError())
    pager = GroupPager(10)
    pager.accept(CursorPage([_group(0)], 2, "0"))
    assert not pager.can_fall_back(ParameterError())
    assert not PhonePager("g").can_fall_back(ParameterError())


def test_page_without_next_is_requested_again_by_offset() -> None:
    pager = GroupPager(1)
    assert pager.accept(GroupPage([_group(0)], 2)) == ()
    request = pager.next_request()
    assert request is not None
    assert request.body == {"limit": 1, "offset": 0}


def test_phones_come_page_by_page() -> None:
    pager = PhonePager("g", 2)
    seen: list[str] = []
    for phones in ("1,2", "3,4", "5"):
        request = pager.next_request()
        assert request is not None
        assert request.body == {"groupId": "g", "limit": 2, "offset": len(seen)}
        seen += pager.accept(PhonePage(phones, 5))
    assert pager.next_request() is None
    assert seen == ["1", "2", "3", "4", "5"]
