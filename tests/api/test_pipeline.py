import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.api.conftest import Server
from tests.helpers import (
    LIST_ALL,
    FailingStore,
    envelope_of,
    headers_of,
    on_sqlite_only,
    read_chunks,
)

from openpns import limits
from openpns.accounts.access_keys import NewSecret
from openpns.errors import (
    InternalError,
    OutcomeUnknown,
    ReadFailed,
    ServiceUnavailable,
)
from openpns.groups import pages
from openpns.protocol.headers import PATHS
from openpns.storage.store import Params, Row, Store

PHONE = "85211111114"
SECOND_NS = 10**9
CREATE = b'{"phones":"85211111114","groupName":"sales"}'


@on_sqlite_only
@pytest.mark.parametrize("path", sorted(PATHS))
async def test_respond_serves_both_paths_with_and_without_trailing_slash(
    server: Server, path: str
) -> None:
    assert (await server.send(path=path)).status == 200


async def test_respond_returns_the_request_id_in_envelope_and_header(server: Server) -> None:
    reply = await server.send()
    headers = headers_of(reply)
    assert headers["x-request-id"] == envelope_of(reply)["requestId"]
    assert headers["content-type"] == "application/json"


@on_sqlite_only
async def test_respond_answers_another_path_with_404_and_an_envelope(server: Server) -> None:
    reply = await server.send(path="/api/pns/other")
    assert (reply.status, envelope_of(reply)["code"]) == (404, 1002)
    assert "/api/pns/" in envelope_of(reply)["msg"]


@on_sqlite_only
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
async def test_respond_answers_another_method_with_405_and_the_allowed_one(
    server: Server, method: str
) -> None:
    reply = await server.send(method=method)
    assert (reply.status, envelope_of(reply)["code"]) == (405, 1002)
    assert headers_of(reply)["allow"] == "POST"


@on_sqlite_only
async def test_respond_checks_path_and_method_before_it_answers_why_a_body_is_missing(
    server: Server,
) -> None:
    large = LIST_ALL.ljust(limits.BODY_BYTES_MAX + 1)
    assert (await server.send(body=large, path="/")).status == 404
    assert (await server.send(body=large, method="PUT")).status == 405
    reply = await server.send(body=large)
    assert (reply.status, envelope_of(reply)["code"]) == (413, 1002)
    assert str(limits.BODY_BYTES_MAX) in envelope_of(reply)["msg"]


@on_sqlite_only
async def test_respond_answers_503_above_the_bound_of_requests_in_flight(server: Server) -> None:
    slow = SlowStore(server.services.store)
    server.make_api(replace(server.services, store=slow), in_flight_max=1)  # type: ignore[arg-type]
    first = asyncio.create_task(server.send())
    await asyncio.sleep(0.01)
    reply = await server.send()
    assert (reply.status, envelope_of(reply)["code"]) == (503, 19004)
    assert headers_of(reply)["retry-after"] == "1"
    slow.may_continue.set()
    assert (await first).status == 200
    assert await server.code() == 0


class SlowStore:
    """A store whose reads wait for an event."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.may_continue = asyncio.Event()

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:
        await self.may_continue.wait()
        return await self._store.fetch(name, params)

    async def get_cached(self, name: str, value: str, since_s: float) -> Mapping[str, Any] | None:
        await self.may_continue.wait()
        return await self._store.get_cached(name, value, since_s)


@on_sqlite_only
async def test_chunked_response_that_is_never_sent_is_no_longer_in_flight(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PHONES_IN_CHUNKED_PAGE_MIN", 1)
    created = await server.send("createGroup", b'{"phones":"85211111114,85211111115"}')
    assert envelope_of(created)["code"] == 0
    server.make_api(in_flight_max=1)
    for _ in range(3):
        reply = await server.send()
        assert not isinstance(reply.body, tuple)
        await reply.body.aclose()
        assert reply.close is not None
        reply.close()
    assert (await server.send()).status == 200


@on_sqlite_only
@pytest.mark.parametrize(
    ("error", "status", "code", "may_retry"),
    [
        (ServiceUnavailable("the storage is away"), 503, 19004, True),
        (OutcomeUnknown("the storage was lost"), 503, 19006, False),
        (ReadFailed("the storage is damaged"), 200, 10009, False),
        (InternalError(), 500, 19005, False),
    ],
)
async def test_respond_answers_a_storage_failure_with_its_code(
    server: Server, error: Exception, status: int, code: int, *, may_retry: bool
) -> None:
    store = FailingStore(server.services.store, "write", error)
    server.make_api(replace(server.services, store=store))
    reply = await server.send("createGroup", CREATE)
    assert (reply.status, envelope_of(reply)["code"]) == (status, code)
    assert ("retry-after" in headers_of(reply)) is may_retry
    assert server.log.lines[0]["level"] == "error"


@on_sqlite_only
async def test_respond_answers_a_bug_and_logs_it_without_the_text_of_the_error(
    server: Server,
) -> None:
    bug = RuntimeError(f"cannot store {PHONE}")
    store = FailingStore(server.services.store, "write", bug)
    server.make_api(replace(server.services, store=store))
    reply = await server.send("createGroup", CREATE)
    assert reply.status == 500
    assert envelope_of(reply)["msg"] == "Internal error"
    (line,) = server.log.lines
    assert (line["cause"], line["code"]) == ("RuntimeError", 19005)
    assert line["request_id"] == envelope_of(reply)["requestId"]
    assert any("helpers.py" in place for place in line["trace"])
    assert PHONE not in server.log.text


async def test_respond_refuses_an_unknown_action_and_names_the_known_ones(server: Server) -> None:
    reply = await server.send("removeGroup")
    assert envelope_of(reply)["code"] == 1002
    assert "listGroup, createGroup, updateGroup, deleteGroup" in envelope_of(reply)["msg"]


@on_sqlite_only
@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("application/json; charset=utf-8", 0),
        ("text/plain", 0),
        ("multipart/form-data; boundary=x", 1002),
        ("application/x-www-form-urlencoded", 1002),
    ],
)
async def test_respond_refuses_a_form_and_takes_any_other_content_type_as_json(
    server: Server, content_type: str, code: int
) -> None:
    headers = [*server.headers(), ("content-type", content_type)]
    assert await server.code(headers=headers) == code


@pytest.fixture
def _all_pages_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PHONES_IN_CHUNKED_PAGE_MIN", 1)
    monkeypatch.setattr(pages, "GROUPS_IN_SLICE", 2)


async def _create_five(server: Server) -> None:
    for number in range(5):
        assert await server.code("createGroup", b'{"phones":"8521111111%d"}' % number) == 0


async def test_large_page_is_sent_in_chunks_with_the_same_content(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _create_five(server)
    whole = envelope_of(await server.send())
    server.make_api()  # one that has not cached the page
    monkeypatch.setattr(pages, "PHONES_IN_CHUNKED_PAGE_MIN", 1)
    monkeypatch.setattr(pages, "GROUPS_IN_SLICE", 2)
    chunks = await read_chunks(await server.send())
    in_chunks = json.loads(b"".join(chunks))
    assert len(chunks) > 3
    assert list(in_chunks) == list(whole)
    assert in_chunks["data"] == whole["data"]


@pytest.mark.usefixtures("_all_pages_in_chunks")
async def test_truncated_response_is_not_json_and_is_logged(server: Server) -> None:
    await _create_five(server)
    store = FailingStore(server.services.store, "stream", RuntimeError(PHONE))
    server.make_api(replace(server.services, store=store))
    received: list[bytes] = []
    with pytest.raises(InternalError, match="the response was truncated") as raised:
        await read_chunks(await server.send(), received)
    assert received
    assert raised.value.__suppress_context__  # who prints it must not print the cause's text
    with pytest.raises(json.JSONDecodeError):
        json.loads(b"".join(received))
    (line,) = server.log.lines
    assert (line["event"], line["cause"]) == ("response truncated", "RuntimeError")
    assert PHONE not in server.log.text


@pytest.mark.usefixtures("_all_pages_in_chunks")
async def test_closed_connection_releases_the_response(server: Server) -> None:
    await _create_five(server)
    reply = await server.send()
    assert not isinstance(reply.body, tuple)
    await anext(reply.body)
    await reply.body.aclose()
    assert server.log.lines == []
    assert await server.code("createGroup", CREATE) == 0


async def test_successful_request_leaves_no_line(server: Server) -> None:
    assert await server.code("createGroup", CREATE) == 0
    assert server.log.text == ""


@on_sqlite_only
async def test_failed_request_leaves_one_line_with_its_ids(
    server: Server,
) -> None:
    reply = await server.send("deleteGroup", b'{"groupId":"%s"}' % (b"0" * 32))
    (line,) = server.log.lines
    assert line["event"] == "request failed"
    assert line["level"] == "warning"
    assert line["request_id"] == envelope_of(reply)["requestId"]
    assert line["action"] == "deleteGroup"
    assert line["access_key"] == server.key.access_key
    assert line["customer_id"] == "cus_1"
    assert line["code"] == 19001


@on_sqlite_only
async def test_log_holds_no_secret_no_phone_and_no_text_that_is_not_an_access_key(
    server: Server,
) -> None:
    secret = server.key.access_secret
    pasted = [(name, secret if name == "accesskey" else value) for name, value in server.headers()]
    assert await server.code(headers=pasted) == 1005
    assert await server.code("createGroup", b'{"phones":"%s,x"}' % PHONE.encode()) == 1002
    assert await server.code("createGroup", b'{"phones":%s}' % PHONE.encode()) == 1002
    assert await server.code("listGroup", CREATE) == 1002
    assert await server.code(PHONE, CREATE) == 1002
    assert await server.code(path=f"/{secret}") == 1002
    assert len(server.log.lines) == 6
    assert server.log.lines[0]["access_key"] == "(unknown)"
    assert secret not in server.log.text
    assert PHONE not in server.log.text


async def test_respond_notes_when_a_key_was_used(server: Server) -> None:
    used = server.services.key_used_ms
    stranger = NewSecret(server.key.access_key, "another-secret", "cus_1")
    assert await server.code(key=stranger) == 1003
    assert used == {}
    assert await server.code("unknown") == 1002
    assert used == {server.key.access_key: server.clock.now_ms}
