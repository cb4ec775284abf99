from typing import Any

import msgspec
import pytest
from tests.client.fake_server import PHONE

from openpns.client import extension_calls as calls
from openpns.client.extension_calls import Filters, GroupDetails, PhonePage
from openpns.client.requests import Call, Group


@pytest.mark.parametrize(
    ("call", "action", "body"),
    [
        (calls.find_groups(), "listGroup", {"limit": 1000, "after": ""}),
        (
            calls.find_groups(phone=PHONE, name="a", group_id="g", order="newest", limit=5),
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
            calls.find_groups(order="name", offset=7),
            "listGroup",
            {"limit": 1000, "offset": 7, "order": "name"},
        ),
        (calls.get_group("g"), "getGroup", {"groupId": "g"}),
        (
            calls.list_phones("g", 5, 7),
            "listGroupPhones",
            {"groupId": "g", "limit": 5, "offset": 7},
        ),
        (calls.rename_group("g", name=""), "updateGroup", {"groupId": "g", "groupName": ""}),
        (calls.rename_group("g", remark="r"), "updateGroup", {"groupId": "g", "remark": "r"}),
        (
            calls.change_phones("g", replace=[PHONE, "1"]),
            "updateGroup",
            {"groupId": "g", "operateType": 2, "phones": f"{PHONE},1", "detail": True},
        ),
        (
            calls.change_phones("g", add="1", dry_run=True),
            "updateGroup",
            {"groupId": "g", "operateType": 0, "phones": "1", "dryRun": True},
        ),
        (calls.get_limits(), "getLimits", {}),
    ],
)
def test_a_call_is_what_the_wire_wants(call: Call[Any], action: str, body: Any) -> None:
    assert (call.action, call.body) == (action, body)
    assert call.is_read == (action != "updateGroup")


@pytest.mark.parametrize("given", [{}, {"add": "1", "remove": "1"}])
def test_a_change_is_one(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one of add, remove and replace"):
        calls.change_phones("g", **given)  # type: ignore[arg-type]


def test_a_rename_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="a name or a remark"):
        calls.rename_group("g")


@pytest.mark.parametrize(
    ("filters", "fits"),
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
def test_a_group_fits_what_was_asked_for(filters: Filters, fits: bool) -> None:
    assert filters.fit(Group("b8c2", "STRASSE 1", [PHONE], "", "")) == fits


@pytest.mark.parametrize(
    ("call", "data"),
    [
        (calls.find_groups(), {"groups": [], "total": 0}),
        (calls.get_group("g"), None),
        (calls.get_group("g"), {"groupId": "g", "count": 1, "createdMs": 1}),
        (calls.get_group("g"), {"groupId": "g", "count": 1, "createdMs": 1, "updatedMs": 10**18}),
        (calls.list_phones("g"), {"groups": [], "total": 0}),
        (calls.change_phones("g", add="1"), None),
        (calls.get_limits(), {"limits": [{"max": 1}]}),
    ],
)
def test_an_answer_of_a_server_without_extensions_is_none(call: Call[Any], data: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        call.read({"code": 0, "data": data})


def test_nothing_shows_its_numbers() -> None:
    page = calls.list_phones("g").read({"code": 0, "data": {"phones": PHONE, "total": 1}})
    assert page == PhonePage([PHONE], 1)
    shown = {"groupId": "g", "phones": PHONE, "count": 1, "createdMs": 0, "updatedMs": 0}
    details = calls.get_group("g").read({"code": 0, "data": shown})
    assert isinstance(details, GroupDetails)
    assert details.created.isoformat() == "1970-01-01T00:00:00+00:00"
    call = calls.find_groups(phone=PHONE)
    assert PHONE not in repr([page, details, call, Filters(phone=PHONE)])
