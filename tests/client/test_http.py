"""Both clients, from one table of cases."""

import asyncio
import copy
import inspect
import json
import logging
import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from tests.client.fake_server import ACCESS_KEY, DATE, OK, PHONE, SECRET, URL
from tests.client.shells import (
    GROUP,
    Server,
    Shell,
    Use,
    answer,
    page,
    phones,
    run_sync,
)

import openpns
from openpns import AsyncClient, Client, errors
from openpns.client import exchange, http
from openpns.client.requests import RawRequest
from openpns.errors import ConfigError, OpenPNSError


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BACKOFF_S", 0.001)


FOUND = openpns.GroupPage(
    [openpns.Group("b8c2", "groupA", [PHONE, "85235753351"], "Number Group A", "cus_1")], 1
)
SHOWN = GROUP | {"count": 2, "createdMs": 1_670_479_632_933, "updatedMs": 1_670_479_632_934}
DETAILS = openpns.GroupDetails(
    "b8c2",
    "groupA",
    [PHONE, "85235753351"],
    "Number Group A",
    "cus_1",
    2,
    datetime(2022, 12, 8, 6, 7, 12, 933_000, UTC),
    datetime(2022, 12, 8, 6, 7, 12, 934_000, UTC),
)


# Each method: how it is used, the response, and the result.
METHODS: list[tuple[str, Use, httpx2.Response, Any]] = [
    (
        "list",
        lambda pns: pns.groups.list(limit=10),
        page(GROUP, total=3),
        openpns.GroupPage(
            [openpns.Group("b8c2", "groupA", [PHONE, "85235753351"], "Number Group A", "cus_1")],
            3,
        ),
    ),
    ("list nothing", lambda pns: pns.groups.list(), page(total=0), openpns.GroupPage([], 0)),
    ("find", lambda pns: pns.groups.find(name="group"), page(GROUP, next=None), FOUND),
    ("find far", lambda pns: pns.groups.find(phone=PHONE, offset=1), page(GROUP), FOUND),
    ("get", lambda pns: pns.groups.get("b8c2"), answer(data=SHOWN), DETAILS),
    ("iterate nothing", lambda pns: pns.groups.iterate(), page(total=0, next=None), []),
    ("phones", lambda pns: pns.groups.phones("b8c2"), phones(PHONE, "1"), [PHONE, "1"]),
    ("phones of none", lambda pns: pns.groups.phones("b8c2"), phones(), []),
    ("create", lambda pns: pns.groups.create([PHONE], name="A"), answer(groupId="b8c2"), "b8c2"),
    ("add", lambda pns: pns.groups.add_phones("b8c2", [PHONE]), answer(), None),
    ("remove", lambda pns: pns.groups.remove_phones("b8c2", PHONE), answer(), None),
    ("replace", lambda pns: pns.groups.replace_phones("b8c2", (PHONE,)), answer(), None),
    (
        "change",
        lambda pns: pns.groups.change("b8c2", add=[PHONE]),
        answer(data={"added": 1, "removed": 0, "unchanged": 2, "count": 3}),
        openpns.GroupChange(added=1, removed=0, unchanged=2, count=3),
    ),
    ("rename", lambda pns: pns.groups.rename("b8c2", name="B"), answer(), None),
    ("delete", lambda pns: pns.groups.delete("b8c2"), answer(), None),
    (
        "limits",
        lambda pns: pns.limits(),
        answer(data={"limits": [{"name": "a", "max": None, "used": 5}, {"name": "b", "max": 1}]}),
        {"a": openpns.Limit(None, 5), "b": openpns.Limit(1, None)},
    ),
    ("any", lambda pns: pns.send(RawRequest("newAction")), answer(new=1), OK | {"new": 1}),
]


@pytest.mark.parametrize(
    ("use", "reply", "result"), [row[1:] for row in METHODS], ids=[row[0] for row in METHODS]
)
def test_method_returns_the_result(
    shell: Shell, use: Use, reply: httpx2.Response, result: Any
) -> None:
    server = Server(reply)
    assert shell(server, use) == result
    (sent,) = server.requests
    assert (sent.method, str(sent.url)) == ("POST", URL)
    assert sent.headers["accessKey"] == ACCESS_KEY
    assert sent.headers["User-Agent"].startswith(f"openpns/{openpns.__version__} ")
    assert isinstance(json.loads(sent.content), dict)


def test_both_clients_have_the_same_methods() -> None:
    names = {name for name in dir(http.Groups) if not name.startswith("_")}
    assert names == {name for name in dir(http.AsyncGroups) if not name.startswith("_")}
    assert len(names) > 10


def test_help_shows_arguments_and_result_of_a_method() -> None:
    with Client("https://pns.test", ACCESS_KEY, SECRET) as pns:
        method = pns.groups.list
        text = str(inspect.signature(method))
        assert (
            text == "(limit: int = 1000, offset: int = 0) -> openpns.client.group_types.GroupPage"
        )
        assert (method.__name__, method.__qualname__) == ("list", "Groups.list")
        assert (inspect.getdoc(method) or "").startswith("Return a page of number groups")
        assert inspect.getdoc(http.Groups.list) == inspect.getdoc(method)
        assert inspect.signature(pns.groups.delete).return_annotation is type(None)


def test_retries_send_the_same_body(shell: Shell) -> None:
    server = Server(
        httpx2.ReadTimeout("slow"),
        httpx2.Response(502, text="<html>"),
        page(total=0),
    )
    shell(server, lambda pns: pns.groups.list())
    assert len({request.content for request in server.requests}) == 1
    assert len(server.requests) == 3


def test_wrong_clock_is_reported_and_corrected(shell: Shell) -> None:
    server = Server(
        httpx2.Response(200, json=OK | {"code": 1004}, headers={"Date": DATE}), page(total=0)
    )
    with pytest.warns(openpns.ClockSkewWarning, match="ahead of the server's"):
        shell(server, lambda pns: pns.groups.list(), clock_skew_s_max=10**9)
    assert server.requests[1].headers["ts"].startswith("16704796")


MAPPED = {
    "ConnectError": errors.ConnectFailed,
    "ConnectTimeout": errors.ConnectFailed,
    "PoolTimeout": errors.ConnectFailed,
    "ProxyError": errors.ConnectFailed,
    "UnsupportedProtocol": errors.ConnectFailed,
    "TimeoutException": errors.AnswerTooLate,
    "ReadTimeout": errors.AnswerTooLate,
    "WriteTimeout": errors.AnswerTooLate,
    "DecodingError": errors.AnswerUnreadable,
    "NetworkError": errors.ConnectionLost,
    "ReadError": errors.ConnectionLost,
    "WriteError": errors.ConnectionLost,
    "CloseError": errors.ConnectionLost,
    "ProtocolError": errors.ConnectionLost,
    "LocalProtocolError": errors.ConnectionLost,
    "RemoteProtocolError": errors.ConnectionLost,
    "TransportError": errors.ConnectionLost,
    "RequestError": errors.ConnectionLost,
    "TooManyRedirects": errors.ConnectionLost,
}


def test_every_request_error_of_httpx2_is_mapped() -> None:
    kinds = [kind for kind in vars(httpx2).values() if isinstance(kind, type)]
    names = {kind.__name__ for kind in kinds if issubclass(kind, httpx2.RequestError)}
    assert names <= {*MAPPED, "SSEError"}  # server-sent events are never requested


@pytest.mark.parametrize("name", MAPPED)
def test_network_failure_has_a_class_of_openpns(shell: Shell, name: str) -> None:
    kind = getattr(httpx2, name)
    with pytest.raises(MAPPED[name]) as raised:
        shell(Server(kind("it broke")), lambda pns: pns.groups.list(), retries=0)
    assert type(raised.value) is MAPPED[name]
    assert str(raised.value).startswith("listGroup: ")
    assert str(raised.value).endswith(f"({name}: it broke)")
    assert isinstance(raised.value, errors.TransportError)
    assert raised.value.action == "listGroup"


def test_requests_ask_for_no_compression_and_send_no_cookie(shell: Shell) -> None:
    first = page(GROUP, total=2, next="b8c2")
    first.headers["Set-Cookie"] = "tracked=yes"
    server = Server(first, page(total=2, next=None))
    shell(server, lambda pns: pns.groups.iterate())
    for request in server.requests:
        assert request.headers["Accept-Encoding"] == "identity"
        assert "Cookie" not in request.headers
    assert len(server.requests) == 2


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_plain_http_to_another_machine_warns(kind: type[Client | AsyncClient]) -> None:
    for base_url in (
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "http://localhost:1",
        "https://a.test",
    ):
        kind(base_url, ACCESS_KEY, SECRET)
    with pytest.warns(
        openpns.PlainHttpWarning, match=r"^http://pns\.test/api/pns/ is plain HTTP"
    ) as warned:
        kind("http://pns.test", ACCESS_KEY, SECRET)
    assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.parametrize("name", ["ReadError", "RemoteProtocolError"])
def test_error_quotes_no_phone_and_no_control_character(shell: Shell, name: str) -> None:
    failure = getattr(httpx2, name)(f"illegal chunk: {PHONE}\x1b[2J\x9b\u202e" + "x" * 1000)
    with pytest.raises(errors.ConnectionLost) as raised:
        shell(Server(failure), lambda pns: pns.groups.list(), retries=0)
    text = str(raised.value)
    assert "illegal chunk: …\ufffd[2J\ufffd\ufffdxxx" in text
    assert len(text) < 400


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(shell: Shell, status: int) -> None:
    server = Server(httpx2.Response(status, headers={"Location": "https://elsewhere.test/a?b=c"}))
    with pytest.raises(errors.AnswerUnreadable, match="set base_url") as raised:
        shell(server, lambda pns: pns.groups.create([PHONE]))
    assert f"redirects to https://elsewhere.test (HTTP {status})" in str(raised.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "failure",
    [
        httpx2.Response(200, json=OK | {"code": 1003, "msg": "Invalid signature"}),
        httpx2.Response(502, text=f"<html>{PHONE}"),
        httpx2.ReadError("reset"),
        httpx2.ConnectError("refused"),
    ],
)
def test_errors_show_no_secret_and_no_phone_number(
    shell: Shell, failure: httpx2.Response | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(OpenPNSError) as raised:
        shell(Server(failure), _create, retries=0)
    error = raised.value
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    shown = "".join(frame for frame in trace.format() if "/tests/" not in frame)
    assert "exchange" in shown
    for text in (shown, str(error), repr(error), caplog.text):
        assert SECRET not in text
        assert PHONE not in text
    assert error.__cause__ is error.__context__ is None


def _create(pns: Any) -> Any:
    return pns.groups.create([PHONE])


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_traceback_of_wrong_argument_shows_no_secret(
    kind: type[Client] | type[AsyncClient],
) -> None:
    for base_url in ("nothing", "http://[::1", "http://a\x00b", "http://xn--\xe4.test"):
        with pytest.raises(ConfigError, match="base_url") as raised:
            kind(base_url, ACCESS_KEY, SECRET)
        trace = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        text = "".join(frame for frame in trace.format() if "/tests/" not in frame)
        assert "load_config" in text or "__init__" in text
        assert SECRET not in text


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_repr_shows_url_and_access_key(
    kind: type[Client] | type[AsyncClient],
) -> None:
    pns = kind("https://pns.test", ACCESS_KEY, SECRET)
    assert repr(pns) == f"{kind.__name__}('{URL}', '{ACCESS_KEY}')"
    shown = repr([pns, pns.config, vars(pns), vars(vars(pns)["_exchanger"]), pns.groups])
    assert SECRET not in shown


def test_errors_can_be_pickled() -> None:
    for failure in (httpx2.Response(200, json=OK | {"code": 19001}), httpx2.ReadError("reset")):
        with pytest.raises(OpenPNSError) as raised:
            run_sync(Server(failure), lambda pns: pns.groups.delete("b8c2"), retries=0)
        for again in (pickle.loads(pickle.dumps(raised.value)), copy.copy(raised.value)):
            assert type(again) is type(raised.value)
            assert (str(again), vars(again)) == (str(raised.value), vars(raised.value))


def test_closed_client_raises(shell: Shell) -> None:
    opened: list[Any] = []
    server = Server(page(total=0))

    def use(pns: Any) -> Any:
        opened.append(pns)
        return pns.groups.list()

    shell(server, use)
    with pytest.raises(errors.ClientClosed, match="closed"):
        asyncio.run(opened[0].groups.list())
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_client_cannot_be_pickled_or_copied(kind: type[Client | AsyncClient]) -> None:
    client = kind("https://pns.test", ACCESS_KEY, SECRET)
    for work in (pickle.dumps, copy.deepcopy, copy.copy):
        for what in (client, client.groups)[: 1 if work is copy.copy else 2]:
            with pytest.raises(TypeError, match="Make one in each process") as raised:
                work(what)
            assert SECRET not in str(raised.value)


def test_error_of_the_users_transport_is_raised_as_it_is(shell: Shell) -> None:
    with pytest.raises(AssertionError, match="my own check"):
        shell(Server(AssertionError("my own check")), lambda pns: pns.groups.list())


def test_close_closes_the_transport() -> None:
    closed: list[str] = []

    class Transport(httpx2.MockTransport):
        def close(self) -> None:
            closed.append("sync")

        async def aclose(self) -> None:
            closed.append("async")

    transport = Transport(Server(page(total=0)))
    Client("https://pns.test", ACCESS_KEY, SECRET, transport=transport).close()
    asyncio.run(AsyncClient("https://pns.test", ACCESS_KEY, SECRET, transport=transport).close())
    assert closed == ["sync", "async"]


def test_threads_share_a_client() -> None:
    seen: set[int] = set()

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.add(threading.get_ident())
        barrier.wait(10)
        return answer(groupId=json.loads(request.content)["groupName"])

    barrier = threading.Barrier(4)
    with (
        Client(
            "https://pns.test", ACCESS_KEY, SECRET, transport=httpx2.MockTransport(handler)
        ) as pns,
        ThreadPoolExecutor(4) as pool,
    ):
        names = [str(number) for number in range(16)]
        assert list(pool.map(lambda name: pns.groups.create(PHONE, name), names)) == names
    assert len(seen) == 4


async def test_tasks_share_a_client() -> None:
    async def handler(request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(0)
        return answer(groupId=json.loads(request.content)["groupName"])

    transport = httpx2.MockTransport(handler)
    async with (
        AsyncClient("https://pns.test", ACCESS_KEY, SECRET, transport=transport) as pns,
        asyncio.TaskGroup() as tasks,
    ):
        made = [tasks.create_task(pns.groups.create(PHONE, str(n))) for n in range(16)]
    assert [task.result() for task in made] == [str(number) for number in range(16)]
