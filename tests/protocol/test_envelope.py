import json

import pytest

from openpns.errors import WIRE_ERRORS, LimitOutOfRange
from openpns.protocol import envelope

REQUEST_ID = "1602262837283131392"


def test_a_success_without_data_has_three_fields() -> None:
    assert (
        envelope.success(REQUEST_ID)
        == b'{"code":0,"msg":"success","requestId":"1602262837283131392"}'
    )


def test_what_the_action_returns_comes_last() -> None:
    assert (
        envelope.success(REQUEST_ID, b'"data":{"total":0}')
        == b'{"code":0,"msg":"success","requestId":"1602262837283131392","data":{"total":0}}'
    )


def test_an_answer_in_pieces_is_the_same_as_a_whole_one() -> None:
    pieces = [envelope.success_begin(REQUEST_ID), b",", b'"data":1', envelope.ENVELOPE_END]
    assert b"".join(pieces) == envelope.success(REQUEST_ID, b'"data":1')


def test_a_failure_has_the_code_and_the_text_and_no_data() -> None:
    answer = envelope.failure(REQUEST_ID, LimitOutOfRange("limit must be an integer"))
    assert answer == (
        b'{"code":10011,"msg":"Incorrect list page capacity: limit must be an integer",'
        b'"requestId":"1602262837283131392"}'
    )


@pytest.mark.parametrize("code", WIRE_ERRORS)
def test_every_failure_reads_back_whatever_its_text_holds(code: int) -> None:
    detail = 'a "quote", a \\ and a line\nbreak, 牛'
    answer = json.loads(envelope.failure(REQUEST_ID, WIRE_ERRORS[code](detail)))
    assert list(answer) == ["code", "msg", "requestId"]
    assert answer["code"] == code
    assert answer["msg"].endswith(detail)
    assert answer["requestId"] == REQUEST_ID
