import http.client
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from tests.helpers import signed_headers
from tests.testing.conftest import CREATE, LIST, PlainClient

from openpns.accounts.access_keys import NewSecret
from openpns.testing import Emulator

Talk = Callable[[bytes], bytes]
LIST_TEXT = json.dumps(LIST).encode()


@pytest.fixture
def address(pns_server: Emulator) -> tuple[str, int]:
    return "127.0.0.1", int(pns_server.base_url.rpartition(":")[2])


@pytest.fixture
def talk(address: tuple[str, int]) -> Iterator[Talk]:
    """Sends bytes over one connection, ends its sending side, and returns all that comes."""
    with closing(socket.create_connection(address, timeout=10)) as connection:

        def send(data: bytes) -> bytes:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            pieces = []
            while piece := connection.recv(65536):
                pieces.append(piece)
            return b"".join(pieces)

        yield send


def head(pns: Emulator, body: bytes, *more: str, version: str = "1.1") -> bytes:
    """The head of a signed listGroup."""
    key = NewSecret(pns.access_key, pns.access_secret, "")
    lines = [f"POST /api/pns/ HTTP/{version}", "Host: localhost"]
    signed = signed_headers(key, "listGroup", body, pns.clock())
    lines += [f"{name}: {value}" for name, value in signed]
    return "\r\n".join([*lines, *more, "", ""]).encode()


def test_a_connection_carries_call_after_call(send: PlainClient) -> None:
    send("createGroup", CREATE)
    first = send.connection.sock
    assert send("listGroup", LIST).code == 0
    assert send.send_raw("GET", "/", None, {}).status == 404
    assert send.send_raw("POST", "/", b"nobody reads this", {}).status == 404
    assert send("listGroup", LIST).code == 0
    assert send.connection.sock is first


def test_calls_may_be_sent_before_the_answer_to_the_last_one(
    pns_server: Emulator, talk: Talk
) -> None:
    one = head(pns_server, LIST_TEXT, f"Content-Length: {len(LIST_TEXT)}") + LIST_TEXT
    answers = talk(one + one + one)
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.count(b'"code":0') == 3


def test_a_body_may_come_in_chunks(pns_server: Emulator, talk: Talk) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in LIST_TEXT) + b"0\r\n\r\n"
    answer = talk(head(pns_server, LIST_TEXT, "Transfer-Encoding: chunked") + chunks)
    assert b'"code":0' in answer
    assert pns_server.requests[0].body == LIST


@pytest.mark.parametrize("framing", ["Content-Length: 2000000", "Transfer-Encoding: chunked"])
def test_a_body_over_the_bound_is_refused_and_the_answer_arrives(
    pns_server: Emulator, talk: Talk, framing: str
) -> None:
    body = b"x" * 2_000_000
    if "chunked" in framing:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answer = talk(head(pns_server, b"", framing) + body)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"the body may have at most 1048576 bytes" in answer
    assert pns_server.requests[0].body is None


def test_a_caller_that_asks_first_is_told_to_go_on(pns_server: Emulator, talk: Talk) -> None:
    more = (f"Content-Length: {len(LIST_TEXT)}", "Expect: 100-continue")
    answer = talk(head(pns_server, LIST_TEXT, *more) + LIST_TEXT)
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert b'"code":0' in answer


def test_a_caller_that_asks_first_is_told_that_its_body_is_too_long(
    pns_server: Emulator, talk: Talk
) -> None:
    more = ("Content-Length: 2000000", "Expect: 100-continue")
    answer = talk(head(pns_server, b"", *more))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


def test_a_large_page_comes_in_chunks(pns_server: Emulator, send: PlainClient) -> None:
    phones = [str(8613800138000 + number) for number in range(300)]
    for _ in range(20):
        pns_server.add_group(phones)
    answer = send("listGroup", LIST)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    data = answer.envelope["data"]
    assert [group["phones"] for group in data["groups"]] == [",".join(phones)] * 20
    assert data["total"] == 20
    assert pns_server.requests[-1].code == 0


def test_an_old_caller_is_answered_and_its_connection_closed(
    pns_server: Emulator, talk: Talk
) -> None:
    length = f"Content-Length: {len(LIST_TEXT)}"
    answer = talk(head(pns_server, LIST_TEXT, length, version="1.0") + LIST_TEXT)
    assert b'"code":0' in answer


def test_head_gets_no_body(send: PlainClient) -> None:
    send.connection.request("HEAD", "/")
    response = send.connection.getresponse()
    assert (response.status, response.read()) == (404, b"")
    assert int(response.headers["Content-Length"]) > 0


@pytest.mark.parametrize("path", ["http://localhost/api/pns/", "/api%2Fpns/?x=1", "/v1/api/pns"])
def test_a_path_may_be_written_in_several_ways(
    pns_server: Emulator, send: PlainClient, path: str
) -> None:
    key = NewSecret(pns_server.access_key, pns_server.access_secret, "")
    headers = dict(signed_headers(key, "listGroup", LIST_TEXT, pns_server.clock()))
    assert send.send_raw("POST", path, LIST_TEXT, headers).code == 0


def test_a_header_that_is_no_ascii_is_passed_over(pns_server: Emulator, talk: Talk) -> None:
    length = f"Content-Length: {len(LIST_TEXT)}"
    sent = head(pns_server, LIST_TEXT, "X-Name: ÿ", length)
    assert b'"code":0' in talk(sent + LIST_TEXT)


def test_a_header_that_is_sent_twice_is_refused(pns_server: Emulator, talk: Talk) -> None:
    sent = head(pns_server, LIST_TEXT, "action: listGroup", f"Content-Length: {len(LIST_TEXT)}")
    assert b"the header action must be sent once" in talk(sent + LIST_TEXT)


def test_what_is_no_http_is_answered_400(talk: Talk) -> None:
    assert talk(b"rubbish\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request\r\nconnection: close")


def test_a_caller_that_says_nothing_is_told_nothing(pns_server: Emulator, talk: Talk) -> None:
    assert talk(b"") == b""
    assert pns_server.requests == []


def test_a_caller_that_leaves_in_its_body_changes_nothing(pns_server: Emulator, talk: Talk) -> None:
    answer = talk(head(pns_server, LIST_TEXT, "Content-Length: 1000") + b"{")
    assert b"the caller went away before the body was read" in answer
    assert pns_server.requests[0].body is None


def test_a_caller_that_leaves_before_its_fault_is_no_matter(
    pns_server: Emulator, talk: Talk
) -> None:
    pns_server.faults.drop_before_commit()
    assert talk(head(pns_server, LIST_TEXT, "Content-Length: 1000") + b"{") == b""


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(
    pns_server: Emulator, send: PlainClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        pns_server.add_group([str(8613800138000 + number) for number in range(300)])
    store = pns_server._service._store
    plain = store.stream

    async def stream(*arguments: object) -> object:
        async for rows in plain(*arguments):  # type: ignore[arg-type]
            yield rows
            raise RuntimeError("in its middle")

    monkeypatch.setattr(store, "stream", stream)
    with pytest.raises(http.client.IncompleteRead):
        send("listGroup", LIST)


def test_an_address_of_no_machine_is_named() -> None:
    from openpns.errors import ConfigError

    for host in ("192.0.2.1", "no such host", "x" * 64):
        with pytest.raises(ConfigError, match=f"cannot listen on '{host}' port 0: "):
            Emulator(host=host).start()
