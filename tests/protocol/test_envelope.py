import json

import pytest

from openpns.errors import WIRE_ERRORS, LimitOutOfRange
from openpns.protocol import envelope

REQUEST_ID = b"1602262837283131392"


def test_success_without_fragment_has_three_fields() -> None:
    whole = b"".join(envelope.success(REQUEST_ID))
    assert whole == b'{"code":0,"msg":"success","requestId":"1602262837283131392"}'


def test_success_appends_fragment() -> None:
    fragment = b'"data":{"total":0}'
    pieces = envelope.success(REQUEST_ID, fragment)
    assert b"".join(pieces) == (
        b'{"code":0,"msg":"success","requestId":"1602262837283131392","data":{"total":0}}'
    )
    assert any(piece is fragment for piece in pieces)  # not copied


def test_success_in_chunks_equals_whole_success() -> None:
    chunks = [envelope.success_begin(REQUEST_ID), b",", b'"data":1', envelope.ENVELOPE_END]
    assert b"".join(chunks) == b"".join(envelope.success(REQUEST_ID, b'"data":1'))


def test_failure_has_code_and_msg_without_data() -> None:
    response = envelope.failure(REQUEST_ID.decode(), LimitOutOfRange("limit must be an integer"))
    assert response == (
        b'{"code":10011,"msg":"Incorrect list page capacity: limit must be an integer",'
        b'"requestId":"1602262837283131392"}'
    )


@pytest.mark.parametrize("code", WIRE_ERRORS)
def test_failure_escapes_any_text(code: int) -> None:
    detail = 'a "quote", a \\ and a line\nbreak, 牛'
    response = json.loads(envelope.failure(REQUEST_ID.decode(), WIRE_ERRORS[code](detail)))
    assert list(response) == ["code", "msg", "requestId"]
    assert response["code"] == code
    assert response["msg"].endswith(detail)
    assert response["requestId"] == REQUEST_ID.decode()
