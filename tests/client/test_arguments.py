from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.client.fake_server import PHONE

from openpns.client import group_requests as requests
from openpns.client.arguments import joined_phones
from openpns.client.group_types import Filters
from openpns.client.pages import GroupPager
from openpns.errors import ParameterError


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "phones",
    [
        "1,2",
        Text("1,2"),
        ["1", "2"],
        ("1", Text("2")),
        {"1": None, "2": None}.keys(),
        iter(["1", "2"]),
        (digit for digit in "12"),
        ["1,2"],
    ],
)
def test_phones_are_joined(phones: Any) -> None:
    assert joined_phones(phones) == "1,2"


@pytest.mark.parametrize(
    ("phones", "problem"),
    [
        (85211111114, "phones must be a text, or an iterable of texts, not int"),
        (None, "phones must be a text, or an iterable of texts, not NoneType"),
        (PHONE.encode(), "phones must be a text, or an iterable of texts, not bytes"),
        (bytearray(b"1"), "phones must be a text, or an iterable of texts, not bytearray"),
        ({PHONE: "Ann"}, "phones must be a text, or an iterable of texts, not dict"),
        ([PHONE, 85211111114], "phones: item 2 must be a text, not int"),
        ([[PHONE]], "phones: item 1 must be a text, not list"),
        ([PHONE, None], "phones: item 2 must be a text, not NoneType"),
        ([PHONE.encode()], "phones: item 1 must be a text, not bytes"),
        (memoryview(b"12"), "phones: item 1 must be a text, not int"),
    ],
)
def test_other_phones_are_refused(phones: Any, problem: str) -> None:
    with pytest.raises(ParameterError) as raised:
        joined_phones(phones)
    assert str(raised.value) == f"Parameter error: {problem}"


# Each argument that is a text: its field, and a function that passes it.
TEXTS: list[tuple[str, Callable[[Any], Any]]] = [
    ("groupId", requests.get_group),
    ("groupId", requests.list_phones),
    ("groupId", requests.delete_group),
    ("groupId", lambda value: requests.add_phones(value, PHONE)),
    ("groupId", lambda value: requests.remove_phones(value, PHONE)),
    ("groupId", lambda value: requests.replace_phones(value, PHONE)),
    ("groupId", lambda value: requests.change_phones(value, add=PHONE)),
    ("groupId", lambda value: requests.rename_group(value, name="a")),
    ("groupName", lambda value: requests.rename_group("g", name=value)),
    ("remark", lambda value: requests.rename_group("g", remark=value)),
    ("groupName", lambda value: requests.create_group(PHONE, name=value)),
    ("remark", lambda value: requests.create_group(PHONE, remark=value)),
    ("clientToken", lambda value: requests.create_group(PHONE, client_token=value)),
    ("phone", lambda value: requests.find_groups(phone=value)),
    ("groupName", lambda value: requests.find_groups(name=value)),
    ("groupId", lambda value: requests.find_groups(group_id=value)),
    ("order", lambda value: requests.find_groups(order=value)),
    ("phone", lambda value: GroupPager(10, Filters(phone=value)).next_request()),
]


@pytest.mark.parametrize("value", [b"a", 7, True, UUID(int=0), Path("a"), ["a"]])
@pytest.mark.parametrize(("field", "use"), TEXTS)
def test_text_of_another_type_is_refused(field: str, use: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(
        ParameterError, match=f": {field} must be a text, not {type(value).__name__}"
    ):
        use(value)


@pytest.mark.parametrize("value", ["false", 0, 1, None])
def test_dry_run_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(ParameterError, match="dryRun must be True or False"):
        requests.change_phones("g", add=PHONE, dry_run=value)


def test_empty_client_token_is_refused() -> None:
    with pytest.raises(ParameterError, match="clientToken must not be empty"):
        requests.create_group(PHONE, client_token="")
