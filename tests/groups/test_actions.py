import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from openpns.api.registry import ACTIONS
from openpns.core.actions import Fragment
from openpns.groups.actions import encode_found
from openpns.groups.pages import FoundGroups
from openpns.groups.wire import Group

GROUPS = [
    Group("cus_1", "Lieferung 🚚", "0" * 32, "85211111114,85235753351", 'a "remark"'),
    Group("cus_1", "牛", "1" * 32, "", ""),
    Group("cus_1", "c", "2" * 32, "85211111114", ""),
]


async def chunks(*parts: list[Group]) -> AsyncGenerator[list[Group], None]:
    for part in parts:
        yield part


async def whole(fragment: Fragment) -> bytes:
    if isinstance(fragment, bytes):
        return fragment
    return b"".join([chunk async for chunk in fragment])


async def test_encode_found_writes_fields_in_documented_order() -> None:
    written = await whole(encode_found(FoundGroups(1, 7, GROUPS[:1])))
    assert written.decode() == (
        '"data":{"groups":[{"customerId":"cus_1","groupName":"Lieferung 🚚",'
        '"groupId":"00000000000000000000000000000000","phones":"85211111114,85235753351",'
        '"remark":"a \\"remark\\""}],"total":7}'
    )


async def test_encode_found_writes_empty_page_as_empty_list() -> None:
    written = await whole(encode_found(FoundGroups(1, 3, [])))
    assert written == b'"data":{"groups":[],"total":3}'


@pytest.mark.parametrize("following", [None, "1" * 32])
async def test_encode_found_writes_next_after_total(following: str | None) -> None:
    expected = b'"data":{"groups":[],"total":3,"next":%s}' % json.dumps(following).encode()
    assert await whole(encode_found(FoundGroups(1, 3, [], next=following))) == expected
    in_chunks = FoundGroups(1, 3, [], chunks([]), following)
    assert json.loads(b"{" + await whole(encode_found(in_chunks)) + b"}")["data"] == {
        "groups": [], "total": 3, "next": following,
    }  # fmt: skip


@pytest.mark.parametrize(
    "cut",
    [(GROUPS[:1], [GROUPS[1:2], GROUPS[2:]]), (GROUPS[:2], [GROUPS[2:]]), (GROUPS, [])],
    ids=str,
)
async def test_encode_found_writes_same_bytes_in_chunks(cut: tuple[Any, Any]) -> None:
    first, rest = cut
    at_once = await whole(encode_found(FoundGroups(1, 3, GROUPS)))
    in_chunks = encode_found(FoundGroups(1, 3, first, chunks(*rest)))
    assert not isinstance(in_chunks, bytes)
    assert await whole(in_chunks) == at_once
    assert json.loads(b"{" + at_once + b"}")["data"]["total"] == 3


async def test_encode_found_closes_rows_if_the_response_is_closed_early() -> None:
    rest = chunks(GROUPS[1:2], GROUPS[2:])
    fragment = encode_found(FoundGroups(1, 3, GROUPS[:1], rest))
    assert not isinstance(fragment, bytes)
    await anext(fragment)
    await fragment.aclose()
    assert [rows async for rows in rest] == []


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_encode_found_writes_a_bounded_total_before_next(*, is_streamed: bool) -> None:
    rest = chunks() if is_streamed else None
    found = FoundGroups(1, 10_000, [], rest, next=None, total_is_bounded=True)
    written = await whole(encode_found(found))
    assert written == b'"data":{"groups":[],"total":10000,"totalIsBounded":true,"next":null}'


@pytest.mark.parametrize(
    ("action", "body", "units"),
    [
        ("listGroup", {"limit": 1, "offset": 0}, 1),
        ("listGroup", {"limit": 101, "offset": 0}, 2),
        ("listGroup", {"limit": 0, "offset": 0}, 10),
        ("listGroup", {"limit": 10, "after": "", "groupName": "a"}, 5),
        ("listGroup", {"limit": 10, "after": "", "phone": "85211111114"}, 5),
        ("createGroup", {"phones": "85211111114"}, 1),
        ("createGroup", {"phones": ",".join(["85211111114"] * 101)}, 2),
        ("updateGroup", {"groupId": "a", "groupName": "b"}, 1),
        ("updateGroup", {"groupId": "a", "operateType": 2, "phones": "1," * 9999 + "1"}, 100),
        ("deleteGroup", {"groupId": "a"}, 1),
        ("getGroup", {"groupId": "a"}, 1),
        ("listGroupPhones", {"groupId": "a", "limit": 1000, "offset": 0}, 1),
        ("listGroupPhones", {"groupId": "a", "limit": 0, "offset": 0}, 10),
    ],
)
def test_request_costs_units_by_what_it_asks_for(
    action: str, body: dict[str, Any], units: int
) -> None:
    row = ACTIONS[action]
    assert row.cost(row.read(json.dumps(body).encode(), None)) == units
