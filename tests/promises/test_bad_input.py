"""Bad input is harmless: real bytes to a real server, whose other client notices nothing.

`make fuzz` tries more: it sets FUZZ_TIMES. Source: docs/operating/serving.md, "Malformed requests".
"""

import asyncio
import json
import os
import resource
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.helpers import LIST_ALL
from tests.processes import MASTER_KEY, Process, add_numbers, fill, signed
from tests.promises.bad_bodies import BIND_DIGITS, DID, FIELDS, HUGE, REFUSED, bodies_of, mangled
from tests.promises.wire import Answer, Bystander, Sending, send_all

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
AT_ONCE = 32
MEMORY_BYTES_MAX = 768 * 1024 * 1024

# Responses of the HTTP server itself, without a body; docs/operating/serving.md lists them.
WITHOUT_ENVELOPE = {400, 414, 431}
WITH_ENVELOPE = {200, 404, 405, 413}
ALLOWED = {0, 1001, 1003, 1004, 1005} | REFUSED


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server with short timeouts, and no more memory than it should need."""
    folder = tmp_path_factory.mktemp("bad-input")
    url = f"sqlite:///{folder / 'bad.db'}"
    asyncio.run(fill(url))
    asyncio.run(add_numbers(url, "cus_1", DID))
    bounds = ("--header-timeout-ms", "1500", "--body-timeout-ms", "1000")
    bounds += ("--idle-timeout-ms", "1500")
    process = Process(
        ["serve", "--database", url, "--port", "0", *bounds],
        folder / "log",
        {"OPENPNS_MASTER_KEY": MASTER_KEY},
    ).wait_until_up()
    for worker in process.workers(1):
        if hasattr(resource, "prlimit"):  # Linux
            resource.prlimit(worker, resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    assert process.call("bindAXBExtension", BIND_DIGITS)["code"] == 0
    yield process
    assert process.stop() == 0


@pytest.fixture(autouse=True)
def _others_are_not_harmed(server: Process) -> Iterator[None]:
    """Another client gets its responses; the worker lives; no bug is logged."""
    workers = server.workers(1)
    with Bystander(server) as bystander:
        yield
    assert bystander.error is None
    assert set(bystander.codes) <= {0}
    assert server.workers(1) == workers
    assert server.call("listGroup", {"limit": 0, "offset": 0})["code"] == 0
    log = server.log.read_text("utf-8")
    for word in ("[error", "Traceback", "panic", "code=19005"):
        assert word not in log, word


def head(
    body: bytes = LIST_ALL, action: str = "listGroup", *more: bytes, length: bytes | None = None
) -> bytes:
    """The head of a signed request, with more lines than it needs; it closes the connection."""
    own = [f"{name}: {value}".encode() for name, value in signed("cus_1", action, body).items()]
    own.append(b"Content-Length: %d" % len(body) if length is None else length)
    own.append(b"Connection: close")
    lines = [b"POST /api/pns/ HTTP/1.1", b"Host: x", *own, *more]
    return b"\r\n".join(line for line in lines if line) + b"\r\n\r\n"


def request(body: bytes = LIST_ALL, action: str = "listGroup", *more: bytes) -> bytes:
    """A signed request."""
    return head(body, action, *more) + body


def kept(body: bytes = LIST_ALL) -> bytes:
    """A signed listGroup that another request may follow."""
    return request(body).replace(b"Connection: close\r\n", b"")


def check(answer: Answer, *, is_head: bool = False) -> dict[str, Any]:
    """Check that bad input may get a response; return its envelope."""
    if answer.status in WITHOUT_ENVELOPE:
        assert answer.body == b""
        return {}
    assert answer.status in WITH_ENVELOPE, answer
    if is_head and not answer.body:
        return {}
    envelope: dict[str, Any] = json.loads(answer.body)
    assert list(envelope)[:3] == ["code", "msg", "requestId"]
    assert envelope["code"] in ALLOWED, envelope
    return envelope


def one(server: Process, sending: Sending | bytes) -> Answer:
    """Send on one connection; return the one answer."""
    ((answer,),) = send_all(server.port, [sending])
    return answer


# -- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", FIELDS)
def test_server_answers_signed_requests_with_every_known_bad_body(
    server: Process, action: str
) -> None:
    known = [body for body in bodies_of(action) if len(body) < 200_000] + bodies_of(action)[-4:]
    for start in range(0, len(known), AT_ONCE):
        batch = known[start : start + AT_ONCE]
        close = (request(body, action) for body in batch)
        for body, answers in zip(batch, send_all(server.port, close), strict=True):
            assert len(answers) == 1, body[:100]
            assert answers[0].status == 200
            check(answers[0])


@pytest.mark.parametrize("body", HUGE, ids=["commas", "noise"])
def test_server_answers_413_to_a_body_one_byte_too_long(server: Process, body: bytes) -> None:
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    in_chunks = head(body, "createGroup", b"Transfer-Encoding: chunked", length=b"") + chunks
    for sent in (request(body, "createGroup"), in_chunks):
        for answer in (found for found in send_all(server.port, [sent])[0]):
            assert answer.status == 413
            assert check(answer)["code"] == 1002
    announced = head(body, "createGroup")  # and never sent
    assert one(server, announced).status == 413


# -- HTTP -------------------------------------------------------------------------------------

CHUNKED = b"Transfer-Encoding: chunked"
NOT_HTTP = {
    "binary": (bytes(range(256)) * 40, 400),
    "tls": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500), 400),
    "http2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "http0.9": (b"GET /\r\n\r\n", 400),
    "nul in a value": (request(LIST_ALL, "listGroup", b"X: a\0b"), 400),
    "folded": (request(LIST_ALL, "listGroup", b"X: a\r\n b"), 400),
    "space before colon": (request(LIST_ALL, "listGroup", b"X : a"), 400),
    "no colon": (request(LIST_ALL, "listGroup", b"X"), 400),
    "non-ascii name": (request(LIST_ALL, "listGroup", b"X\xe4: a"), 400),
    "non-ascii path": (b"POST /\xff HTTP/1.1\r\n\r\n", 400),
    "long path": (b"POST /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", (414, 431)),
    "long header": (request(LIST_ALL, "listGroup", b"X: " + b"a" * 200_000), 431),
    "thousands of headers": (request(LIST_ALL, "listGroup", *[b"X: a"] * 5000), 431),
    "two lengths": (request(LIST_ALL, "listGroup", b"Content-Length: 21"), 400),
    "length list": (head(length=b"Content-Length: 22, 22") + LIST_ALL, 400),
    "length +22": (head(length=b"Content-Length: +22") + LIST_ALL, 400),
    "length -1": (head(length=b"Content-Length: -1") + LIST_ALL, 400),
    "length 0x16": (head(length=b"Content-Length: 0x16") + LIST_ALL, 400),
    "length of 30 digits": (head(length=b"Content-Length: " + b"9" * 30) + LIST_ALL, 400),
    "unknown coding": (head(length=b"Transfer-Encoding: gzip") + LIST_ALL, 400),
    "same length twice": (request(LIST_ALL, "listGroup", b"Content-Length: 22"), 400),
    "length and chunks": (request(LIST_ALL, "listGroup", CHUNKED), 400),
    "chunks of noise": (
        head(LIST_ALL, "listGroup", CHUNKED, length=b"") + b"zz\r\nx\r\n",
        400,
    ),
    "gzip in chunks": (
        head(length=b"Transfer-Encoding: gzip, chunked") + b"1\r\nx\r\n0\r\n\r\n",
        400,
    ),
    "bare LF": (request().replace(b"\r\n", b"\n"), 400),
    "chunked twice": (head(length=b"Transfer-Encoding: chunked, x") + LIST_ALL, 400),
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_server_refuses_what_is_not_http_without_an_envelope(server: Process, name: str) -> None:
    sent, status = NOT_HTTP[name]
    (answers,) = send_all(server.port, [sent])
    allowed = status if isinstance(status, tuple) else (status,)
    assert len(answers) <= 1  # none if the server closed with much unread
    for answer in answers:
        assert (answer.status in allowed, answer.body) == (True, b"")


def odd_requests() -> dict[str, tuple[bytes, int]]:
    """Requests that are odd but valid HTTP, with the code of each; signed now."""
    return {
        "non-ascii value": (request(LIST_ALL, "listGroup", b"X: \xff\xe4"), 0),
        "64 KB less a little": (request(LIST_ALL, "listGroup", b"X: " + b"a" * 64_000), 0),
        "90 headers": (request(LIST_ALL, "listGroup", *[b"X: a"] * 90), 0),
        "empty lines first": (b"\r\n" * 100 + request(), 0),
        "absolute path": (request().replace(b"POST /", b"POST http://x/", 1), 0),
        "http1.0": (request().replace(b"HTTP/1.1", b"HTTP/1.0", 1), 0),
        "unknown expectation": (request(LIST_ALL, "listGroup", b"Expect: pigs"), 0),
        "upgrade": (request(LIST_ALL, "listGroup", b"Connection: upgrade", b"Upgrade: h2c"), 0),
        "huge chunk": (
            head(LIST_ALL, "listGroup", CHUNKED, length=b"") + b"f" * 15 + b"\r\nx",
            1002,
        ),
        "huge extension": (
            head(LIST_ALL, "listGroup", CHUNKED, length=b"") + b"1;" + b"a" * 50_000 + b"\r\nx\r\n",
            1002,
        ),
        "trailers": (
            head(LIST_ALL, "listGroup", CHUNKED, length=b"")
            + b"%x\r\n%s\r\n0\r\nts: 1\r\n\r\n" % (len(LIST_ALL), LIST_ALL),
            0,
        ),
    }


@pytest.mark.parametrize("name", odd_requests())
def test_server_answers_odd_http_with_an_envelope(server: Process, name: str) -> None:
    sent, code = odd_requests()[name]
    answer = one(server, sent)
    assert (answer.status, check(answer)["code"]) == (200, code)


def test_server_answers_pipelined_requests_in_order(server: Process) -> None:
    bodies = [b'{"limit":%d,"offset":0}' % limit for limit in (1, 1001, 2, 5000, 3)]
    (answers,) = send_all(server.port, [b"".join(kept(body) for body in bodies) + b"\0\r\n\r\n"])
    assert [check(answer).get("code") for answer in answers] == [0, 10011, 0, 10011, 0, None]
    assert answers[-1].status == 400


# -- clients that are slow or go away -------------------------------------------------------------


def test_server_closes_connections_that_never_complete_a_request(server: Process) -> None:
    slow = [
        Sending([]),
        Sending([b"POST /api/pns/ HT"]),
        Sending([b"POST /api/pns/ HTTP/1.1\r\nX: "], goes_on=b"a"),
        Sending([b"POST /api/pns/ HTTP/1.1\r\n"], goes_on=b"X: a\r\n"),
        Sending([b"\r\n"], goes_on=b"\r\n"),
        Sending([b"PRI * HTTP/2.0\r\n"]),
        Sending([kept(), b"POST /"]),
    ]
    answers = send_all(server.port, slow)
    assert [len(found) for found in answers[:3]] == [0, 0, 0]
    assert check(answers[6][0])["code"] == 0
    for found in answers:
        for answer in found:
            check(answer)


def test_server_answers_a_body_that_never_ends(server: Process) -> None:
    endless = head(LIST_ALL, "listGroup", CHUNKED, length=b"")
    slow = [
        Sending([head(), LIST_ALL[:9]]),
        Sending([head(length=b"Content-Length: 1048576")], goes_on=b" "),
        Sending([endless, b"1\r\n{\r\n"]),
        Sending([endless, b"f"]),
        Sending([endless], goes_on=b"1\r\n \r\n"),
    ]
    for answers in send_all(server.port, slow):
        (answer,) = answers
        assert check(answer)["msg"] == "Parameter error: the body must arrive within 1000 ms"


def test_server_answers_a_request_that_arrives_byte_by_byte(server: Process) -> None:
    sent = request()
    pieces = [sent[place : place + 1] for place in range(len(sent))]
    assert check(one(server, Sending(pieces)))["code"] == 0


def test_server_keeps_nothing_of_half_closed_or_reset_connections(server: Process) -> None:
    everything = {"limit": 0, "offset": 0}
    before = server.call("listGroup", everything)["data"]["groups"]
    whole = request(b'{"phones":"85235753351"}', "createGroup")
    cuts = range(0, len(whole) + 1, 16)
    send_all(server.port, [Sending([whole[:cut]], half_close=True) for cut in cuts])
    send_all(server.port, [Sending([whole[:cut]], reset=True) for cut in cuts])
    page = server.call("listGroup", everything)["data"]
    assert page["groups"][: len(before)] == before
    assert {group["phones"] for group in page["groups"][len(before) :]} <= {"85235753351"}
    assert page["total"] == len(page["groups"])


def test_server_has_memory_for_many_incomplete_bodies(server: Process) -> None:
    length = b"Content-Length: 1048576"
    sent = Sending([head(length=length) + b" " * 1_048_575])
    for answers in send_all(server.port, [sent] * AT_ONCE):
        (answer,) = answers
        assert check(answer)["code"] == 1002


# -- anything -------------------------------------------------------------------------------------


@settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=4 * TIMES,
    phases=[Phase.generate],
)
@given(st.data())
def test_server_answers_or_closes_any_input(server: Process, data: st.DataObject) -> None:
    good = [
        request(),
        request(b'{"phones":"1"}', "createGroup"),
        kept() * 3,
        b"GET / HTTP/1.1\r\n\r\n",
    ]
    sendings = data.draw(
        st.lists(
            st.one_of(st.binary(max_size=2000), st.sampled_from(good).flatmap(mangled)),
            min_size=AT_ONCE,
            max_size=AT_ONCE,
        )
    )
    for sent, answers in zip(sendings, send_all(server.port, sendings), strict=True):
        for answer in answers:
            if answer.status != 100:
                check(answer, is_head=b"HEAD" in sent)
