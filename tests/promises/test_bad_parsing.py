"""Bad input is harmless: the API with bodies and headers that no client sends on purpose.

Without sockets, so that many more can be tried; test_bad_input.py uses real ones.
`make fuzz` tries more: it sets FUZZ_TIMES.
"""

import gc
import json
import os
import weakref
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.conftest import Server
from tests.helpers import LIST_ALL, FailingStore, as_request, envelope_of, on_sqlite_only
from tests.promises.bad_bodies import BIND_DIGITS, DID, FIELDS, HUGE, REFUSED, bodies, bodies_of
from tests.server import conftest as parts

from openpns.numbers import service as numbers
from openpns.transport.messages import Reply, Request

secret_box, key, log, server = parts.secret_box, parts.key, parts.log, parts.server

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
examples = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=150 * TIMES,
)


@pytest.fixture(autouse=True)
async def _numbers(server: Server) -> None:
    """Give the customer a virtual number with digits."""
    await numbers.add(server.services.store, server.clock, server.key.customer_id, [DID])
    assert await server.code("bindAXBExtension", json.dumps(BIND_DIGITS).encode()) == 0


def _is_answered_well(reply: Reply, allowed: set[int]) -> dict[str, Any]:
    """Check that a response is an envelope with an allowed code; return it."""
    envelope = envelope_of(reply)
    assert envelope["code"] in allowed, envelope
    assert envelope["requestId"].isdigit()
    if envelope["code"]:
        assert list(envelope) == ["code", "msg", "requestId"]
        assert len(envelope["msg"]) < 300
    assert reply.status in (200, 413) or 19005 in allowed
    return envelope


@pytest.mark.parametrize("action", FIELDS)
async def test_api_answers_every_known_bad_body(server: Server, action: str) -> None:
    refused = 0
    for body in bodies_of(action):
        reply = await server.send(action, body)
        refused += bool(_is_answered_well(reply, REFUSED | {0})["code"])
    assert refused > (100 if FIELDS[action] else 50)
    for body in HUGE:
        reply = await server.send(action, body)
        assert reply.status == 413
        _is_answered_well(reply, {1002})
    assert {line["level"] for line in server.log.lines} == {"warning"}
    assert "85211111114" not in server.log.text
    assert await server.code() == 0


@on_sqlite_only
@examples
@given(st.data())
async def test_api_answers_any_bad_body(server: Server, data: st.DataObject) -> None:
    action = data.draw(st.sampled_from(sorted(FIELDS)))
    body = data.draw(bodies(action))
    _is_answered_well(await server.send(action, body), REFUSED | {0})


NAMES = st.sampled_from(
    ["accesskey", "action", "biztype", "ts", "sign", "algorithm", "content-type", "x", ""]
)
HEADER_VALUES = st.one_of(
    st.text(st.characters(max_codepoint=127), max_size=80),
    st.sampled_from(["0", "9" * 19, "9" * 20, "md5", "sha256", "5", "a" * 60_000, "%00", "${x}"]),
)


@on_sqlite_only
@examples
@given(st.lists(st.tuples(NAMES, HEADER_VALUES), max_size=12), st.data())
async def test_api_answers_any_headers(
    server: Server, others: list[tuple[str, str]], data: st.DataObject
) -> None:
    own = server.headers()
    kept = data.draw(st.lists(st.sampled_from(own), unique=True))
    headers = data.draw(st.permutations(kept + others))
    reply = await server.send(body=LIST_ALL, headers=headers or [("x", "y")])
    _is_answered_well(reply, {0, 1001, 1002, 1003, 1004, 1005})


class _WatchedRequest(Request, weakref=True):
    """A request that a weak reference can watch."""


@on_sqlite_only
@pytest.mark.parametrize("error", [None, RuntimeError("a bug")])
async def test_api_releases_a_failed_request_with_its_body(
    server: Server, error: Exception | None
) -> None:
    if error is not None:
        store = FailingStore(server.services.store, "key_find", error)
        server.make_api(replace(server.services, store=store))
    sent = as_request(server.headers(body=b"no json"), b"no json")
    request = _WatchedRequest(sent.method, sent.target, sent.headers, [], 0.0, sent.body)
    watched = weakref.ref(request)
    gc.disable()
    try:
        reply = await server.api.respond(request)
        _is_answered_well(reply, {1002} if error is None else {19005})
        del request
        if error is not None:
            error.__traceback__ = None  # the test's own error, which the test still has
        assert watched() is None
    finally:
        gc.enable()
