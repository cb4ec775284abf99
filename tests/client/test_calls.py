from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.hand import PHONE

from openpns.client import calls
from openpns.client.calls import Call, Group, GroupPage, Pager, Request

PHONES = ["85211111114", "85235753351"]


@pytest.mark.parametrize(
    ("call", "action", "body"),
    [
        (calls.list_groups(), "listGroup", {"limit": 1000, "offset": 0}),
        (calls.list_groups(10, 20), "listGroup", {"limit": 10, "offset": 20}),
        (calls.list_groups(limit=0), "listGroup", {"limit": 0, "offset": 0}),
        (calls.create_group(PHONES), "createGroup", {"phones": ",".join(PHONES)}),
        (
            calls.create_group(PHONE, name="柏林", remark=""),
            "createGroup",
            {"phones": PHONE, "groupName": "柏林", "remark": ""},
        ),
        (
            calls.add_phones("g", iter(PHONES)),
            "updateGroup",
            {"groupId": "g", "operateType": 0, "phones": ",".join(PHONES)},
        ),
        (
            calls.remove_phones("g", PHONE),
            "updateGroup",
            {"groupId": "g", "operateType": 1, "phones": PHONE},
        ),
        (
            calls.replace_phones("g", f"{PHONE}, 12345"),
            "updateGroup",
            {"groupId": "g", "operateType": 2, "phones": f"{PHONE}, 12345"},
        ),
        (calls.delete_group("g"), "deleteGroup", {"groupId": "g"}),
        (Request("any"), "any", {}),
        (Request("any", {"a": [1]}), "any", {"a": [1]}),
    ],
)
def test_a_call_is_what_the_wire_wants(call: Call[Any], action: str, body: Any) -> None:
    assert (call.action, call.body) == (action, body)
    assert call.is_read == (action == "listGroup")


@pytest.mark.parametrize("action", ["", "list group", "a\r\nb", "组", "a\x00", "\ud800"])
def test_an_action_that_cannot_be_sent_is_refused_at_once(action: str) -> None:
    with pytest.raises(ValueError, match="one word of printable ASCII"):
        Request(action)


def test_a_page_has_groups_with_a_list_of_phones() -> None:
    group = {
        "customerId": "cus_1",
        "groupName": "groupA",
        "groupId": "b8c2",
        "phones": ",".join(PHONES),
        "remark": "Number Group A",
    }
    empty = group | {"groupId": "empty", "phones": ""}
    page = calls.list_groups().read({"code": 0, "data": {"groups": [group, empty], "total": 7}})
    assert page.total == 7
    assert page.groups == [
        Group("b8c2", "groupA", PHONES, "Number Group A", "cus_1"),
        Group("empty", "groupA", [], "Number Group A", "cus_1"),
    ]


def test_a_group_does_not_show_its_numbers() -> None:
    group = Group("b8c2", "groupA", PHONES, f"call {PHONE}", "cus_1")
    page = GroupPage([group], 1)
    assert repr(group) == str(group) == "Group(group_id='b8c2', name='groupA', phones=2)"
    assert PHONE not in repr(page) + str(page)


def test_a_large_page_is_read() -> None:
    phones = ",".join(f"852{number:08}" for number in range(10_000))
    data = {"groups": [{"groupId": str(n), "phones": phones} for n in range(100)], "total": 100}
    page = calls.list_groups().read({"code": 0, "data": data})
    assert sum(len(group.phones) for group in page.groups) == 1_000_000


@pytest.mark.parametrize("page_size", [0, -1, 1001])
def test_a_page_size_outside_its_range_is_refused(page_size: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 1000"):
        Pager(page_size)


@given(
    page_size=st.integers(1, 5),
    before=st.integers(0, 12),
    added=st.lists(st.integers(0, 3), max_size=4),
    capacity=st.integers(1, 5),
)
def test_paging_gives_every_group_once_while_groups_are_added(
    page_size: int, before: int, added: list[int], capacity: int
) -> None:
    """Also from a server whose pages hold fewer groups than were asked for."""
    there = [Group(str(number), "", [], "", "") for number in range(before)]
    pager = Pager(page_size)
    seen: list[Group] = []
    while call := pager.next_call():
        limit, offset = call.body["limit"], call.body["offset"]
        assert limit == page_size
        found = there[offset : offset + min(limit, capacity)]
        seen += pager.accept(GroupPage(found, len(there)))
        for _ in range(added.pop() if added else 0):
            there.append(Group(str(len(there)), "", [], "", ""))
    assert seen[:before] == there[:before]
    assert seen == there[: len(seen)]


def test_paging_ends_where_a_server_promises_more_than_it_has() -> None:
    pager = Pager(10)
    assert pager.next_call()
    pager.accept(GroupPage([], 1000))
    assert pager.next_call() is None
