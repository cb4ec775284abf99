"""A hostile server cannot harm a client: a request returns a result or raises an error of openpns.

`make fuzz` tries more: it sets FUZZ_TIMES.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.client.fake_server import ACCESS_KEY, OK, PHONE, SECRET
from tests.client.hostile_server import HostileServer, head, response
from tests.promises.bad_bodies import BODIES, mangled, object_of, values

from openpns import Client
from openpns.client.account_requests import get_limits
from openpns.client.answers import Response, read_result
from openpns.client.group_requests import (
    change_phones,
    create_group,
    delete_group,
    find_groups,
    get_group,
    list_groups,
    list_phones,
)
from openpns.client.requests import Request
from openpns.errors import OpenPNSError, TransportError
from openpns.kit.plain_text import plain

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
examples = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=150 * TIMES,
)
TEXT_CHARS_MAX = 2500

GROUP = {"groupId": "b8c2", "groupName": "a", "phones": PHONE, "remark": "", "customerId": "c"}
GOOD: list[dict[str, Any]] = [
    {"data": {"groups": [GROUP], "total": 1, "next": None}},
    {"data": GROUP | {"count": 1, "createdMs": 1, "updatedMs": 2}},
    {"data": {"phones": PHONE, "total": 1}},
    {"data": {"limits": [{"name": "groups", "max": None, "used": 0}]}},
    {"data": {"added": 1, "removed": 0, "unchanged": 0, "count": 1}},
    {"groupId": "b8c2"},
    {"code": 1002, "msg": "Parameter error: phones: wrong"},
    {"code": 19003, "msg": "Too many requests"},
]
REQUESTS = [
    list_groups(),
    find_groups(name="a"),
    get_group("b8c2"),
    list_phones("b8c2"),
    get_limits(),
    create_group(PHONE),
    change_phones("b8c2", add=PHONE),
    delete_group("b8c2"),
]
NAMES = ("code", "msg", "requestId", "data", "groupId", "groups", "phones", "total", "limits")
evil_texts = st.text(st.sampled_from("\x1b\x07\x9b\x7f\u202e\u2028\r\nab"), max_size=9)
evil_values = st.one_of(
    evil_texts.map(json.dumps), evil_texts.map(lambda text: json.dumps([text * 500]))
)
good_bodies = st.sampled_from([json.dumps(OK | more).encode() for more in GOOD])


@st.composite
def answer_bodies(draw: st.DrawFn) -> bytes:
    """The body of a response with bad values, with bad bytes, or of no sense at all."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return draw(st.binary(max_size=200) | st.sampled_from(BODIES))
    if kind == 1:
        return draw(mangled(draw(good_bodies)))
    if kind == 2:
        evil = draw(st.dictionaries(st.sampled_from(NAMES), evil_values, max_size=5))
        return object_of(evil | {"code": draw(st.sampled_from(["5", "1002", "-1"]))})
    bad = draw(st.dictionaries(st.sampled_from(NAMES), values, max_size=5))
    inner = object_of(bad).decode()
    return object_of({"code": "0", "data": inner} if kind == 3 else {"code": "5"} | bad)


@st.composite
def raw_answers(draw: st.DrawFn) -> bytes:
    """All bytes that a server sends on a connection."""
    body = draw(answer_bodies())
    framed = [
        response(body),
        response(body, status="503 Unavailable"),
        head("Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
        head("Date: Thu, 08 Dec 2022 06:07:12 GMT", "Retry-After: 1") + body,
    ]
    answer = draw(st.sampled_from(framed))
    return draw(mangled(answer)) if draw(st.booleans()) else answer


def check_texts(error: OpenPNSError) -> None:
    """Check that an error can be shown and logged."""
    texts = [str(error), *map(str, error.args)]
    texts += [getattr(error, name, None) or "" for name in ("msg", "detail", "request_id")]
    for text in texts:
        assert plain(text) == text
        assert len(text) < TEXT_CHARS_MAX
        if isinstance(error, TransportError):  # a text of the client, not of the server
            assert PHONE not in text


@examples
@given(answer_bodies(), st.sampled_from([200, 301, 404, 413, 429, 500, 503, 599]))
def test_client_reads_any_body(body: bytes, status: int) -> None:
    for request in REQUESTS:
        try:
            read_result(request, Response(status, {}, body))
        except OpenPNSError as error:
            check_texts(error)


@pytest.fixture(scope="module")
def answers() -> list[bytes]:
    """The response that the server sends next, as its only item."""
    return [b""]


@pytest.fixture(scope="module")
def client(answers: list[bytes]) -> Iterator[Client]:
    """A client of a server that sends the next response and closes the connection."""

    def answer() -> Iterator[bytes]:
        yield answers[0]
        raise OSError

    server = HostileServer(answer)
    with Client(
        server.url,
        ACCESS_KEY,
        SECRET,
        timeout_s=1,
        deadline_s=5,
        response_bytes_max=1024 * 1024,
        clock_skew_s_max=0,
        retries=0,
    ) as client:
        yield client
    server.close()


@examples
@given(answer=raw_answers(), sent=st.sampled_from(REQUESTS))
def test_client_survives_any_bytes(
    client: Client, answers: list[bytes], answer: bytes, sent: Request[Any]
) -> None:
    answers[0] = answer
    try:
        client.send(sent)
    except OpenPNSError as error:
        check_texts(error)
