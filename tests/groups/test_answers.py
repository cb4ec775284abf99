import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from openpns.groups.answers import GroupCreated, ListedGroups

from openpns.groups import answers

ROWS = [
    ["cus_1", "Lieferung 🚚", "0" * 32, "85211111114,85235753351", 'a "remark"'],
    ["cus_1", "牛", "1" * 32, "", ""],
    ["cus_1", "c", "2" * 32, "85211111114", ""],
]


async def slices(*parts: list[Any]) -> AsyncGenerator[list[Any], None]:
    for part in parts:
        yield part


async def whole(fragment: answers.Fragment) -> bytes:
    if isinstance(fragment, bytes):
        return fragment
    return b"".join([piece async for piece in fragment])


async def test_a_page_is_written_in_the_order_of_the_docs() -> None:
    written = await whole(answers.encode_listed(ListedGroups(1, 7, ROWS[:1])))
    assert written.decode() == (
        '"data":{"groups":[{"customerId":"cus_1","groupName":"Lieferung 🚚",'
        '"groupId":"00000000000000000000000000000000","phones":"85211111114,85235753351",'
        '"remark":"a \\"remark\\""}],"total":7}'
    )


async def test_an_empty_page_is_an_empty_list() -> None:
    written = await whole(answers.encode_listed(ListedGroups(1, 3, [])))
    assert written == b'"data":{"groups":[],"total":3}'


@pytest.mark.parametrize(
    "cut", [(ROWS[:1], [ROWS[1:2], ROWS[2:]]), (ROWS[:2], [ROWS[2:]]), (ROWS, [])], ids=str
)
async def test_a_page_in_pieces_has_the_same_bytes(cut: tuple[Any, Any]) -> None:
    first, rest = cut
    at_once = await whole(answers.encode_listed(ListedGroups(1, 3, ROWS)))
    in_pieces = answers.encode_listed(ListedGroups(1, 3, first, slices(*rest)))
    assert not isinstance(in_pieces, bytes)
    assert await whole(in_pieces) == at_once
    assert json.loads(b"{" + at_once + b"}")["data"]["total"] == 3


async def test_an_answer_that_nobody_reads_on_lets_go_of_its_rows() -> None:
    rest = slices(ROWS[1:2], ROWS[2:])
    pieces = answers.encode_listed(ListedGroups(1, 3, ROWS[:1], rest))
    assert not isinstance(pieces, bytes)
    await anext(pieces)
    await pieces.aclose()
    assert [rows async for rows in rest] == []


async def test_a_created_group_stands_at_the_top_of_the_answer() -> None:
    written = answers.encode_created(GroupCreated("0" * 32))
    assert written == b'"groupId":"00000000000000000000000000000000"'


async def test_an_action_without_an_answer_writes_nothing() -> None:
    assert answers.encode_nothing(None) == b""
