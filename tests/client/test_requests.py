import json
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.client.fake_server import PHONE

from openpns.client.requests import RawRequest, Request, encode_body
from openpns.errors import ParameterError


class Text(str):
    __slots__ = ()


class Number(IntEnum):
    TEN = 10


def test_encode_body_is_compact_utf8() -> None:
    body = {"name": Text("柏\u2028林"), "limit": Number.TEN, "more": [None, True, {"a": 1.5}]}
    encoded = encode_body(RawRequest("new", body))
    assert encoded.decode() == '{"name":"柏\u2028林","limit":10,"more":[null,true,{"a":1.5}]}'


def test_encode_body_leaves_raw_json_as_it_is() -> None:
    raw: Request[Any] = Request("new", msgspec.Raw(b' {"limit":  1}'), lambda _: None)
    assert encode_body(raw) == b' {"limit":  1}'


def test_encode_body_adds_a_random_token_to_a_write_without_one() -> None:
    def encoded(**body: str) -> Any:
        request: Request[Any] = Request("new", body, lambda _: None, has_client_token=True)
        return json.loads(encode_body(request))

    assert encoded(a="1").keys() == {"a", "clientToken"}
    assert encoded()["clientToken"] != encoded()["clientToken"]
    assert encoded(clientToken="mine") == {"clientToken": "mine"}


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "value",
    [
        "\ud83d",
        {"\ud83d": 1},
        b"85211111114",
        bytearray(b"x"),
        UUID(int=0),
        Decimal(1),
        datetime.now(UTC),
        float("nan"),
        float("-inf"),
        {1, 2},
        object(),
        10**5000,
        ENDLESS,
    ],
    ids=lambda value: type(value).__name__,
)
def test_encode_body_names_the_field_that_cannot_be_sent(value: Any) -> None:
    for body in ({"phones": PHONE, "groupName": value}, {"phones": PHONE, "groupName": [value]}):
        with pytest.raises(ParameterError, match=r"^Parameter error: groupName: allowed") as raised:
            encode_body(RawRequest("new", body))
        assert PHONE not in str(raised.value)
        assert raised.value.__context__ is None


def test_encode_body_sends_what_only_the_server_can_judge() -> None:
    body = {"limit": 10**30, "groupName": "a\x00b\x7f\u202e"}
    assert json.loads(encode_body(RawRequest("new", body))) == body


@pytest.mark.parametrize("action", ["", "list group", "a\r\nb", "组", "a\x00", "\ud800", 1, b"a"])
def test_request_refuses_action_that_cannot_be_sent(action: Any) -> None:
    with pytest.raises(ValueError, match="one word of printable ASCII"):
        RawRequest(action)


@pytest.mark.parametrize("body", [5, 0, "", "x", [], [("limit", 1)]])
def test_raw_request_refuses_body_that_is_no_mapping(body: Any) -> None:
    with pytest.raises(ParameterError, match=f"body must be a mapping, not {type(body).__name__}"):
        RawRequest("new", body)
