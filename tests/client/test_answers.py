import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.fake_server import DATE, PHONE, reply

import openpns
from openpns.client.answers import Response, read_result
from openpns.client.group_requests import create_group, delete_group, list_groups
from openpns.errors import (
    WIRE_ERRORS,
    AnswerUnreadable,
    BindingNotFound,
    BodyTooLarge,
    GroupNotFound,
    OpenPNSError,
    OutcomeUnknown,
    ParameterError,
    PathNotFound,
    ServiceUnavailable,
    UnknownCode,
    WireError,
)
from openpns.kit.plain_text import plain

READ = list_groups()
WRITE = create_group(PHONE)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("12", 12.0),
        ("Thu, 08 Dec 2022 06:07:42 GMT", 30.0),
        ("Thu, 08 Dec 2022 06:07:00 GMT", 0.0),
        ("soon", None),
        ("²", None),
        ("-1", None),
        ("1e3", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    with pytest.raises(ServiceUnavailable) as raised:
        read_result(READ, reply(19004, headers={"retry-after": value, "date": DATE}))
    assert raised.value.retry_after_s == seconds


@pytest.mark.parametrize("code", [*WIRE_ERRORS])
def test_error_has_code_message_ids_and_time(code: int) -> None:
    answer = reply(code, 200, {"date": DATE}, extra={"a": 1})
    with pytest.raises(WIRE_ERRORS[code]) as raised:
        read_result(READ, answer)
    error = raised.value
    assert type(error) is WIRE_ERRORS[code]
    assert (error.code, error.msg, error.request_id, error.action, error.http_status) == (
        code,
        f"msg of {code}",
        "1602262837283131392",
        "listGroup",
        200,
    )
    assert error.server_time == datetime(2022, 12, 8, 6, 7, 12, tzinfo=UTC)
    assert error.answer == json.loads(answer.content)
    text = f"msg of {code} [listGroup, code {code}, requestId 1602262837283131392]"
    assert str(error) == text


def test_unknown_code_has_the_envelope() -> None:
    with pytest.raises(UnknownCode) as raised:
        read_result(READ, reply(10005, 418, {"date": DATE}, data={"why": "no numbers"}))
    error = raised.value
    assert (error.code, error.msg, error.detail) == (10005, "msg of 10005", "msg of 10005")
    assert (error.http_status, error.request_id) == (418, "1602262837283131392")
    assert error.answer is not None
    assert error.answer["data"] == {"why": "no numbers"}
    assert isinstance(error, WireError)


@pytest.mark.parametrize(
    ("status", "kind"), [(404, PathNotFound), (413, BodyTooLarge), (200, ParameterError)]
)
def test_http_status_selects_the_subclass(status: int, kind: type[WireError]) -> None:
    with pytest.raises(ParameterError) as raised:
        read_result(READ, reply(1002, status))
    assert type(raised.value) is kind


@pytest.mark.parametrize("code", [1002, 5])
def test_error_shows_no_control_character_and_no_long_text(code: int) -> None:
    evil = "\x1b]0;owned\x07\x9b2J\x7f\u202e\u2066\u2028\n"
    answer = reply(code, headers={"x-request-id": evil}, msg=evil + "x" * 5000, requestId=None)
    with pytest.raises(WireError) as raised:
        read_result(READ, answer)
    error = raised.value
    clean = "\ufffd]0;owned\ufffd\ufffd2J" + "\ufffd" * 5
    assert error.msg.startswith(clean + "xxx")
    assert error.detail.startswith(clean + "xxx")
    assert error.request_id == clean
    for text in (str(error), error.msg, error.detail, error.request_id):
        assert plain(text) == text
        assert len(text) < 1200
    assert error.answer is not None
    assert error.answer["msg"].startswith(evil)


def test_detail_is_the_text_after_the_codes_own() -> None:
    with pytest.raises(GroupNotFound) as raised:
        read_result(READ, reply(19001, msg="Number group does not exist: look again"))
    assert raised.value.detail == "look again"


ODD_ANSWERS = {
    "empty": b"",
    "not JSON": b"{",
    "HTML": b"<html>",
    "a list": b"[]",
    "null": b"null",
    "no code": b'{"msg":"success"}',
    "code is text": b'{"code":"0","msg":"success"}',
    "code is a float": b'{"code":0.0,"msg":"success"}',
    "code is true": b'{"code":true,"msg":"x"}',
    "code is false": b'{"code":false,"msg":"x"}',
    "code is a list": b'{"code":[],"msg":"x"}',
    "code is null": b'{"code":null}',
    "not UTF-8": b'{"code":0,"msg":"\xff"}',
    "too deep": b"[" * 100_000,
    "no data": b'{"code":0,"msg":"success"}',
    "data is null": b'{"code":0,"data":null}',
    "groups is no list": b'{"code":0,"data":{"groups":{},"total":0}}',
    "no total": b'{"code":0,"data":{"groups":[]}}',
    "a group without id": b'{"code":0,"data":{"groups":[{"phones":"85211111114"}],"total":1}}',
    "phones is a list": b'{"code":0,"data":{"groups":[{"groupId":"a","phones":[1]}],"total":1}}',
}


@pytest.mark.parametrize("content", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_read_result_raises_unreadable_for_other_content(content: bytes) -> None:
    with pytest.raises(AnswerUnreadable) as raised:
        read_result(READ, Response(200, {"x-request-id": "77", "date": DATE}, content))
    error = raised.value
    assert f"HTTP 200, {len(content)} bytes" in str(error)
    assert (error.code, error.action, error.http_status) == (None, "listGroup", 200)
    assert error.request_id == "77"
    assert error.server_time is not None
    assert error.__context__ is None


@given(st.binary(max_size=60) | st.from_regex(rb'\{"code":(0|1|null),"data":.{0,20}\}'))
def test_read_result_raises_no_other_errors_for_any_content(content: bytes) -> None:
    for request in (READ, WRITE, delete_group("a")):
        with suppress(OpenPNSError):
            read_result(request, Response(200, {}, content))


@given(st.text(), st.text(max_size=20))
def test_read_result_raises_no_other_errors_for_any_header(date: str, retry_after: str) -> None:
    with pytest.raises(ServiceUnavailable):
        read_result(READ, reply(19004, headers={"date": date, "retry-after": retry_after}))


def test_redirect_says_what_to_do() -> None:
    for location, target in (
        ("https://user:hunter22@pns.test:8443/path?query", "https://pns.test:8443"),
        ("//pns.test", "the same scheme://pns.test"),
        ("/elsewhere", "another path"),
        ("", "another path"),
        ("https://[::1", "something that is not a URL"),
        ("https://\x1b\u202e.test", "https://\ufffd\ufffd.test"),
    ):
        with pytest.raises(AnswerUnreadable) as raised:
            read_result(READ, reply(None, 308, {"location": location}))
        assert f"redirects to {target} (HTTP 308), which is not followed" in str(raised.value)
        assert "set base_url to the new location" in str(raised.value)
    with pytest.raises(AnswerUnreadable, match="redirects to another path"):
        read_result(READ, reply(None, 301))


def test_unknown_and_missing_fields_are_accepted() -> None:
    content = (
        b'{"code":0,"new":1,"data":{"groups":[{"groupId":"a","new":2}],"total":1,"new":3,"next":4}}'
    )
    page = read_result(READ, Response(200, {}, content))
    assert page.groups == [openpns.Group("a", "", [], "", "")]


def test_failure_without_msg_and_request_id_is_read() -> None:
    with pytest.raises(OutcomeUnknown) as raised:
        read_result(WRITE, Response(503, {"x-request-id": "77"}, b'{"code":19006}'))
    assert raised.value.request_id == "77"
    assert raised.value.msg == "Outcome unknown"
    with pytest.raises(UnknownCode) as other:
        read_result(WRITE, Response(200, {}, b'{"code":5,"msg":null,"requestId":12}'))
    assert (other.value.msg, other.value.request_id) == ("", "12")


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"1",
        b'"x"',
        b"{}",
        b'{"audioWhenCallFail":1,"callId":[],"audioWhenDtmfErr":null,"audioWhenDtmfNeed":""}',
        b'{"audioWhenCallFail":"a\\nb","callId":"' + b"1" * 1001 + b'"}',
    ],
)
def test_failure_with_odd_data_is_read(data: bytes) -> None:
    with pytest.raises(BindingNotFound) as raised:
        read_result(READ, Response(200, {}, b'{"code":10013,"data":' + data + b"}"))
    error = raised.value
    assert (error.call_id, error.audio_when_call_fails) == (None, None)
    assert (error.audio_for_wrong_digits, error.audio_that_asks_for_digits) == (None, None)
