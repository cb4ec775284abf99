from typing import Any

import pytest
from tests.client.fake_server import PHONE

from openpns.client import requests
from openpns.client.requests import Call, Group, GroupPage, Request

PHONES = ["85211111114", "85235753351"]


@pytest.mark.parametrize(
    ("call", "action", "body"),
    [
        (requests.list_groups(), "listGroup", {"limit": 1000, "offset": 0}),
        (requests.list_groups(10, 20), "listGroup", {"limit": 10, "offset": 20}),
        (requests.list_groups(limit=0), "listGroup", {"limit": 0, "offset": 0}),
        (requests.create_group(PHONES), "createGroup", {"phones": ",".join(PHONES)}),
        (
            requests.create_group(PHONE, name="柏林", remark=""),
            "createGroup",
            {"phones": PHONE, "groupName": "柏林", "remark": ""},
        ),
        (
            requests.add_phones("g", iter(PHONES)),
            "updateGroup",
            {"groupId": "g", "operateType": 0, "phones": ",".join(PHONES)},
        ),
        (
            requests.remove_phones("g", PHONE),
            "updateGroup",
            {"groupId": "g", "operateType": 1, "phones": PHONE},
        ),
        (
            requests.replace_phones("g", f"{PHONE}, 12345"),
            "updateGroup",
            {"groupId": "g", "operateType": 2, "phones": f"{PHONE}, 12345"},
        ),
        (requests.delete_group("g"), "deleteGroup", {"groupId": "g"}),
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
    page = requests.list_groups().read({"code": 0, "data": {"groups": [group, empty], "total": 7}})
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
    page = requests.list_groups().read({"code": 0, "data": data})
    assert sum(len(group.phones) for group in page.groups) == 1_000_000
