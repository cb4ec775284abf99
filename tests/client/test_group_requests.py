from typing import Any

import msgspec
import pytest
from tests.client.fake_server import PHONE

from openpns.api.registry import ACTIONS
from openpns.client import group_requests as requests
from openpns.client.account_requests import Limit, get_limits
from openpns.client.group_types import CursorPage, Filters, Group, GroupDetails, GroupPage
from openpns.client.requests import RawRequest, Request
from openpns.groups.wire import PhonePage

PHONES = ["85211111114", "85235753351"]


SENT: list[tuple[Request[Any], str, Any]] = [
    (requests.list_groups(), "listGroup", {"limit": 1000, "offset": 0}),
    (requests.list_groups(10, 20), "listGroup", {"limit": 10, "offset": 20}),
    (requests.list_groups(limit=0), "listGroup", {"limit": 0, "offset": 0}),
    (requests.create_group(PHONES), "createGroup", {"phones": ",".join(PHONES)}),
    (
        requests.create_group(PHONE, name="柏林", remark="", client_token="order-7"),
        "createGroup",
        {"phones": PHONE, "groupName": "柏林", "remark": "", "clientToken": "order-7"},
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
    (requests.find_groups(), "listGroup", {"limit": 1000, "after": ""}),
    (
        requests.find_groups(phone=PHONE, name="a", group_id="g", order="newest", limit=5),
        "listGroup",
        {
            "limit": 5,
            "after": "",
            "phone": PHONE,
            "groupName": "a",
            "groupId": "g",
            "order": "newest",
        },
    ),
    (
        requests.find_groups(order="name", offset=7),
        "listGroup",
        {"limit": 1000, "offset": 7, "order": "name"},
    ),
    (requests.get_group("g"), "getGroup", {"groupId": "g"}),
    (
        requests.list_phones("g", 5, 7),
        "listGroupPhones",
        {"groupId": "g", "limit": 5, "offset": 7},
    ),
    (requests.rename_group("g", name=""), "updateGroup", {"groupId": "g", "groupName": ""}),
    (requests.rename_group("g", remark="r"), "updateGroup", {"groupId": "g", "remark": "r"}),
    (
        requests.change_phones("g", replace=[PHONE, "1"]),
        "updateGroup",
        {"groupId": "g", "operateType": 2, "phones": f"{PHONE},1", "detail": True},
    ),
    (
        requests.change_phones("g", add="1", dry_run=True),
        "updateGroup",
        {"groupId": "g", "operateType": 0, "phones": "1", "dryRun": True},
    ),
    (get_limits(), "getLimits", {}),
]
"""Requests, with what each of them sends."""


@pytest.mark.parametrize(("request_", "action", "body"), SENT)
def test_request_has_action_and_body(request_: Request[Any], action: str, body: Any) -> None:
    assert (request_.action, request_.body) == (action, body)
    is_write = ACTIONS[action].is_write
    assert (request_.is_read, request_.has_client_token) == (not is_write, is_write)


@pytest.mark.parametrize(
    ("request_", "body"), [(RawRequest("any"), {}), (RawRequest("any", {"a": [1]}), {"a": [1]})]
)
def test_raw_request_sends_its_body_and_no_token(request_: RawRequest, body: Any) -> None:
    assert (request_.action, request_.body) == ("any", body)
    assert (request_.is_read, request_.has_client_token) == (False, False)


def test_every_action_has_a_request() -> None:
    features = ("openpns.groups.", "openpns.accounts.")
    of_groups = {
        name for name, action in ACTIONS.items() if action.request.__module__.startswith(features)
    }
    assert {action for _, action, _ in SENT} == of_groups


@pytest.mark.parametrize("given", [{}, {"add": "1", "remove": "1"}])
def test_change_phones_needs_exactly_one_change(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one of add, remove and replace"):
        requests.change_phones("g", **given)  # type: ignore[arg-type]


def test_rename_group_needs_a_name_or_a_remark() -> None:
    with pytest.raises(ValueError, match="a name or a remark"):
        requests.rename_group("g")


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        (Filters(), True),
        (Filters(phone=PHONE), True),
        (Filters(phone=f" +{PHONE} "), True),
        (Filters(phone=PHONE[:-1]), False),
        (Filters(name="straSSE"), True),
        (Filters(name="Straße 1"), True),
        (Filters(name="traße"), False),
        (Filters(group_id="b8c2"), True),
        (Filters(group_id="b8"), False),
    ],
)
def test_filters_match_groups(filters: Filters, matches: bool) -> None:
    assert filters.match(Group("b8c2", "STRASSE 1", [PHONE], "", "")) == matches


@pytest.mark.parametrize(
    ("request_", "data"),
    [
        (requests.find_groups(), {"groups": [], "total": 0}),
        (requests.get_group("g"), None),
        (requests.get_group("g"), {"groupId": "g", "count": 1, "createdMs": 1}),
        (
            requests.get_group("g"),
            {"groupId": "g", "count": 1, "createdMs": 1, "updatedMs": 10**18},
        ),
        (requests.list_phones("g"), {"groups": [], "total": 0}),
        (requests.change_phones("g", add="1"), None),
        (get_limits(), {"limits": [{"max": 1}]}),
    ],
)
def test_read_refuses_response_without_extension(request_: Request[Any], data: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        request_.read({"code": 0, "data": data})


def test_limits_have_the_schemes_that_the_server_names() -> None:
    data: dict[str, Any] = {"limits": [{"name": "a", "max": 1}]}
    assert get_limits().read({"code": 0, "data": data}).schemes == ()
    found = get_limits().read({"code": 0, "data": data | {"schemes": ["md5", "sha256"]}})
    assert (found, found.schemes) == ({"a": Limit(1, None)}, ("md5", "sha256"))


def test_reprs_show_no_phones() -> None:
    page = requests.list_phones("g").read({"code": 0, "data": {"phones": PHONE, "total": 1}})
    assert page == PhonePage(PHONE, 1)
    shown = {"groupId": "g", "phones": PHONE, "count": 1, "createdMs": 0, "updatedMs": 0}
    details = requests.get_group("g").read({"code": 0, "data": shown})
    assert isinstance(details, GroupDetails)
    assert details.created.isoformat() == "1970-01-01T00:00:00+00:00"
    found = requests.find_groups(phone=PHONE)
    assert PHONE not in repr([page, details, found, Filters(phone=PHONE)])


def test_list_groups_reads_phones_as_lists() -> None:
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


@pytest.mark.parametrize("after", ["", "b8c2"])
def test_pages_say_whether_the_total_is_bounded(after: str) -> None:
    data = {"groups": [], "total": 10_000, "totalIsBounded": True, "next": None}
    envelope = {"code": 0, "data": data}
    found = requests.find_groups(name="a").read(envelope)
    assert (found.total, found.total_is_bounded) == (10_000, True)
    page = requests.page_after(after, 10, Filters(name="a")).read(envelope)
    assert page == CursorPage([], 10_000, None, total_is_bounded=True)
    exact = requests.list_groups().read({"code": 0, "data": {"groups": [], "total": 7}})
    assert not exact.total_is_bounded


def test_group_repr_shows_no_phones() -> None:
    group = Group("b8c2", "groupA", PHONES, f"call {PHONE}", "cus_1")
    page = GroupPage([group], 1)
    assert repr(group) == str(group) == "Group(group_id='b8c2', name='groupA', phones=2)"
    assert PHONE not in repr(page) + str(page)


def test_list_groups_reads_a_large_page() -> None:
    phones = ",".join(f"852{number:08}" for number in range(10_000))
    data = {"groups": [{"groupId": str(n), "phones": phones} for n in range(100)], "total": 100}
    page = requests.list_groups().read({"code": 0, "data": data})
    assert sum(len(group.phones) for group in page.groups) == 1_000_000
