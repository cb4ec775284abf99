"""Attacks are what they are called: their signatures, bodies and lengths."""

import pytest
from bench.attacks import HELD, REQUESTS, faulty_request, signed_request

from openpns.clock import now_ms
from openpns.protocol import signing

KEY, SECRET, BODY = "key-of-cus-1", "secret-of-cus-1", b'{"limit":1,"offset":0}'


def sign(body: bytes, action: str = "listGroup", length: int | None = None) -> bytes:
    return signed_request(KEY, SECRET, action, body, length)


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


def right_sign(headers: dict[str, str]) -> str:
    return signing.sign(headers["accessKey"], "listGroup", "5", headers["ts"], BODY, SECRET)


def test_request_without_a_fault_is_signed_now() -> None:
    headers = headers_of(faulty_request("", KEY, SECRET, "listGroup", BODY, 0))
    assert headers["accessKey"] == KEY
    assert headers["sign"] == right_sign(headers)
    assert abs(now_ms() - int(headers["ts"])) < 60_000


def test_faults_are_one_each() -> None:
    sent = {
        fault: headers_of(faulty_request(fault, KEY, SECRET, "listGroup", BODY, 7))
        for fault in ("sign", "key", "ts")
    }
    assert {fault: headers["sign"] == right_sign(headers) for fault, headers in sent.items()} == {
        "sign": False,
        "key": True,
        "ts": True,
    }
    assert [headers["accessKey"] for headers in sent.values()] == [KEY, "no-such-key-7", KEY]
    assert now_ms() - int(sent["ts"]["ts"]) > 60_000


def test_every_fault_of_a_kind_is_known() -> None:
    assert {sent.fault for sent in REQUESTS.values()} == {"", "sign", "key", "ts"}
    assert not REQUESTS.keys() & HELD.keys()


@pytest.mark.parametrize("kind", HELD)
def test_held_connection_sends_a_whole_request_unless_it_is_unfinished(kind: str) -> None:
    sent = HELD[kind].sent(3, sign)
    head, _, body = sent.partition(b"\r\n\r\n")
    announced = headers_of(sent).get("Content-Length") if b"Content-Length" in head else None
    if "bod" in kind:
        assert len(body) < int(announced or 0)
    elif announced is not None:
        assert len(body) == int(announced)
    assert len(sent) < 2**20
    assert (sent == b"") is ("silent" in kind)
