"""Both clients against a real server and against the emulator."""

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from tests.conftest import ENGINES, create_postgres_database
from tests.processes import KEY_OF, Process, SharedServer, Start

import openpns
from openpns import AsyncClient, Client
from openpns.client import http
from openpns.client.exchange import Exchanger
from openpns.client.group_requests import create_group
from openpns.client.requests import RawRequest, Request
from openpns.clock import now_ms
from openpns.testing import Emulator

PHONES = ["85211111114", "85235753351"]
Run = Callable[..., Any]


def arguments(
    server: Process | SharedServer | Emulator, customer: str = "cus_1"
) -> tuple[str, str, str]:
    if isinstance(server, Emulator):
        return server.base_url, server.access_key, server.access_secret
    return (f"http://127.0.0.1:{server.port}", *KEY_OF[customer])


def run_sync(
    server: Process | SharedServer, use: Callable[[Any], list[Any]], **settings: Any
) -> list[Any]:
    with Client(*arguments(server), **settings) as pns:
        return [_listed(value()) for value in use(pns)]


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, Iterator) else value


def run_async(
    server: Process | SharedServer, use: Callable[[Any], list[Any]], **settings: Any
) -> list[Any]:
    async def main() -> list[Any]:
        async with AsyncClient(*arguments(server), **settings) as pns:
            return [await _awaited(value()) for value in use(pns)]

    return asyncio.run(main())


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else [item async for item in value]


@pytest.fixture(scope="session", params=ENGINES)
def _shared_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedServer]:
    folder = tmp_path_factory.mktemp("shared-server")
    url = f"sqlite:///{folder / 'shared.db'}"
    if request.param == "postgres":
        base = request.getfixturevalue("postgres_server")
        url = asyncio.run(create_postgres_database(base))
    shared = SharedServer(url, folder)
    yield shared
    shared.process.stop()


@pytest.fixture
async def server(_shared_server: SharedServer) -> SharedServer:
    """A running server without groups, one for each engine."""
    await _shared_server.reset()
    return _shared_server


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Sends requests one after another with a client of each kind; returns their results."""
    chosen: Run = request.param
    return chosen


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "hmac-sha256"])
def test_methods_create_change_and_delete_a_group(
    server: SharedServer, run: Run, algorithm: str
) -> None:
    (group_id,) = run(
        server,
        lambda pns: [lambda: pns.groups.create(PHONES, "柏林东区商家002", "第二梯队")],
        algorithm=algorithm,
    )
    results = run(
        server,
        lambda pns: [
            pns.groups.list,
            lambda: pns.groups.add_phones(group_id, ["4915876139303"]),
            pns.groups.list,
            lambda: pns.groups.remove_phones(group_id, PHONES),
            pns.groups.list,
            lambda: pns.groups.replace_phones(group_id, PHONES[0]),
            lambda: pns.groups.list(limit=1, offset=0),
            lambda: pns.groups.remove_phones(group_id, PHONES),
            pns.groups.list,
            lambda: pns.groups.delete(group_id),
            pns.groups.list,
        ],
        algorithm=algorithm,
    )
    pages = results[::2]
    assert [[group.phones for group in page.groups] for page in pages] == [
        [PHONES],
        [[*PHONES, "4915876139303"]],
        [["4915876139303"]],
        [[PHONES[0]]],
        [[]],
        [],
    ]
    assert [page.total for page in pages] == [1, 1, 1, 1, 1, 0]
    assert pages[0].groups == [
        openpns.Group(group_id, "柏林东区商家002", PHONES, "第二梯队", "cus_1")
    ]
    assert results[1::2] == [None] * 5


def test_extensions_find_show_rename_and_change_groups(server: SharedServer, run: Run) -> None:
    with Client(*arguments(server)) as pns:
        first, second, third = (
            pns.groups.create([phone], name)
            for phone, name in zip([*PHONES, PHONES[0]], ["Straße", "STRASSE 2", "b"], strict=True)
        )
    change = openpns.GroupChange(added=1, removed=0, unchanged=1, count=2)
    results = run(
        server,
        lambda pns: [
            lambda: pns.groups.find(phone=f"+{PHONES[0]}"),
            lambda: pns.groups.find(phone=PHONES[0], limit=1, offset=1),
            lambda: pns.groups.find(name="strasse", order="newest"),
            lambda: pns.groups.find(group_id="0" * 32),
            lambda: pns.groups.iterate(page_size=1, order="name"),
            lambda: pns.groups.change(first, add=PHONES, dry_run=True),
            lambda: pns.groups.phones(first),
            lambda: pns.groups.change(first, add=PHONES),
            lambda: pns.groups.rename(first, remark="new"),
            lambda: pns.groups.get(first),
            lambda: pns.groups.phones(first, page_size=1),
            pns.limits,
        ],
    )
    found = [page.groups for page in results[:4]]
    ids = [[group.group_id for group in groups] for groups in [*found, results[4]]]
    assert ids == [[first, third], [third], [second, first], [], [third, first, second]]
    assert [page.total for page in results[:4]] == [2, 2, 2, 0]
    assert results[5:9] == [change, [PHONES[0]], change, None]
    shown = results[9]
    assert (shown.group_id, shown.name, shown.remark) == (first, "Straße", "new")
    assert (shown.phones, shown.count) == (PHONES, 2)
    assert 0 < shown.created.timestamp() <= shown.updated.timestamp() <= now_ms() / 1000
    assert results[10] == PHONES
    assert results[11]["groups"] == openpns.Limit(2_000_000, 3)
    assert results[11]["groupsInPage"] == openpns.Limit(1000, None)


# The request that is refused, and the class of the error.
NO_GROUP = openpns.GroupNotFound
REFUSED: list[tuple[str, Callable[[Any], Any], type[openpns.WireError]]] = [
    ("limit", lambda pns: pns.groups.list(limit=1001), openpns.LimitOutOfRange),
    ("offset", lambda pns: pns.groups.list(offset=-1), openpns.OffsetOutOfRange),
    ("type", lambda pns: pns.groups.list(limit="10"), openpns.ParameterError),
    ("phone", lambda pns: pns.groups.create(["nonsense"]), openpns.ParameterError),
    ("no group", lambda pns: pns.groups.delete("0" * 32), openpns.GroupNotFound),
    ("order", lambda pns: pns.groups.find(order="upwards"), openpns.ParameterError),
    ("phones", lambda pns: pns.groups.find(phone=",".join(PHONES)), openpns.ParameterError),
    ("dry run", lambda pns: pns.groups.change("0" * 32, add="x", dry_run=True), NO_GROUP),
    ("no such action", lambda pns: pns.send(RawRequest("nothing")), openpns.ParameterError),
]


def test_errors_have_the_class_of_their_code(server: SharedServer, run: Run) -> None:
    for _, use, kind in REFUSED:
        with pytest.raises(kind) as raised:
            run(server, lambda pns, use=use: [lambda: use(pns)])
        error = raised.value
        assert type(error) is kind
        assert error.request_id is not None
        assert error.request_id.isdigit()
        assert error.server_time is not None
        assert abs(error.server_time.timestamp() * 1000 - now_ms()) < 60_000


def test_wrong_settings_raise_the_class_of_their_code(server: SharedServer) -> None:
    base_url, access_key, secret = arguments(server)
    for given, kind in (
        ((base_url, access_key, "not-the-secret"), openpns.InvalidSignature),
        ((base_url, "not-the-key", secret), openpns.PermissionDenied),
        ((f"{base_url}/elsewhere/", access_key, secret), openpns.PathNotFound),
        (("http://127.0.0.1:1", access_key, secret), openpns.ConnectFailed),
    ):
        with Client(*given, retries=0) as pns, pytest.raises(kind):
            pns.groups.list()


def test_large_body_raises_body_too_large(serve: Start, run: Run) -> None:
    server = serve("--body-bytes-max", "2000")
    with pytest.raises(openpns.BodyTooLarge, match="2000 bytes"):
        run(server, lambda pns: [lambda: pns.groups.create(["85211111114"] * 1000)])


@pytest.mark.parametrize("off_ms", [-240_000, 90_000])
def test_client_with_wrong_clock_corrects_it(
    server: SharedServer, run: Run, monkeypatch: pytest.MonkeyPatch, off_ms: int
) -> None:
    monkeypatch.setattr(http, "now_ms", lambda: now_ms() + off_ms)
    with pytest.warns(openpns.ClockSkewWarning) as warned:
        (group_id, page) = run(
            server,
            lambda pns: [lambda: pns.groups.create(PHONES), pns.groups.list],
        )
    assert [group.group_id for group in page.groups] == [group_id]
    assert len(warned) == 1


def test_write_with_lost_responses_is_carried_out_once(pns_server: Emulator, run: Run) -> None:
    pns_server.faults.drop_after_commit(action="createGroup", times=2)
    (group_id,) = run(pns_server, lambda pns: [lambda: pns.groups.create(PHONES[0], "a")])
    assert [group.group_id for group in pns_server.groups()] == [group_id]
    assert [request.action for request in pns_server.requests] == [
        "createGroup",
        "getLimits",
        "createGroup",
        "createGroup",
    ]
    pns_server.faults.drop_after_commit(action="updateGroup")
    (change,) = run(pns_server, lambda pns: [lambda: pns.groups.change(group_id, add=PHONES)])
    assert (change.added, change.count) == (1, 2)
    pns_server.faults.drop_after_commit(action="deleteGroup", times=2)
    assert run(pns_server, lambda pns: [lambda: pns.groups.delete(group_id)]) == [None]
    assert pns_server.groups() == []


def test_write_with_lost_response_is_sent_once_without_retry_writes(
    pns_server: Emulator, run: Run
) -> None:
    pns_server.faults.drop_after_commit(action="createGroup")
    with pytest.raises(openpns.ConnectionLost):
        run(pns_server, lambda pns: [lambda: pns.groups.create(PHONES)], retry_writes=False)
    assert len(pns_server.groups()) == 1
    assert [request.action for request in pns_server.requests] == ["createGroup"]


class OtherServer:
    """A server that knows neither clientToken nor getLimits; the first response is lost."""

    def __init__(self) -> None:
        self.created = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.headers["action"] != "createGroup":
            return httpx2.Response(200, json={"code": 1002, "msg": "unknown action"})
        self.created += 1
        if self.created == 1:
            raise httpx2.ReadError("reset")
        return httpx2.Response(200, json={"code": 0, "groupId": str(self.created)})


def test_write_to_another_server_is_carried_out_once() -> None:
    server = OtherServer()
    transport = httpx2.MockTransport(server)
    with (
        Client("https://pns.test", "key", "secret", transport=transport) as pns,
        pytest.raises(openpns.ConnectionLost),
    ):
        pns.groups.create(PHONES)
    assert server.created == 1


@pytest.fixture
def signed_ts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Freezes the clients' clock; the `ts` of each request."""
    frozen_ms = now_ms()
    signed: list[int] = []
    sign: Any = Exchanger._sign

    def record(self: Exchanger, action: str, content: bytes, ts: int) -> Any:
        signed.append(ts)
        return sign(self, action, content, ts)

    monkeypatch.setattr(http, "now_ms", lambda: frozen_ms)
    monkeypatch.setattr(Exchanger, "_sign", record)
    return signed


@pytest.fixture
def unique_ts_server() -> Iterator[Emulator]:
    """A server that takes a write with a known `ts` and body for a copy."""
    key = {"accessKey": "key-1", "accessSecret": "secret-1", "uniqueTs": True}
    state = {"customers": [{"customerId": "cus_1", "accessKeys": [key]}]}
    with Emulator(state=state, access_key="key-1") as pns:
        yield pns


CREATES = {
    "token": create_group(PHONES, "same"),
    "raw": RawRequest("createGroup", {"phones": PHONES[0], "groupName": "same"}),
}


@pytest.mark.parametrize("create", CREATES.values(), ids=CREATES)
async def test_equal_writes_of_tasks_are_all_carried_out(
    unique_ts_server: Emulator, signed_ts: list[int], create: Request[Any]
) -> None:
    async with AsyncClient(*arguments(unique_ts_server)) as pns:
        await asyncio.gather(*[pns.send(create) for _ in range(30)])
    assert len(set(signed_ts)) == len(signed_ts) == 30
    assert len(unique_ts_server.groups()) == 30


@pytest.mark.parametrize("create", CREATES.values(), ids=CREATES)
def test_equal_writes_of_threads_are_all_carried_out(
    unique_ts_server: Emulator, signed_ts: list[int], create: Request[Any]
) -> None:
    with Client(*arguments(unique_ts_server)) as pns, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: pns.send(create), range(30)))
    assert len(set(signed_ts)) == len(signed_ts) == 30
    assert len(unique_ts_server.groups()) == 30


def test_client_token_creates_one_group(server: SharedServer, run: Run) -> None:
    def create(*phones: str) -> Any:
        return lambda pns: [lambda: pns.groups.create(phones, client_token="order-7")]

    assert run(server, create(*PHONES)) == run(server, create(*PHONES))
    with pytest.raises(openpns.ClientTokenReused):
        run(server, create(PHONES[0]))


def test_iterate_skips_nothing_while_groups_are_added(serve: Start, run: Run) -> None:
    server = serve("--workers", "2")
    with Client(*arguments(server)) as pns:
        before = [pns.groups.create(PHONES, f"group {number}") for number in range(12)]
        stop = threading.Event()

        def add() -> None:
            while not stop.is_set():
                pns.groups.create(PHONES)

        adding = threading.Thread(target=add)
        adding.start()
        try:
            (found,) = run(server, lambda pns: [lambda: pns.groups.iterate(page_size=5)])
        finally:
            stop.set()
            adding.join()
    ids = [group.group_id for group in found]
    assert ids[:12] == before
    assert len(set(ids)) == len(ids)


def test_iterate_skips_nothing_while_groups_are_deleted(server: SharedServer) -> None:
    with Client(*arguments(server)) as pns:
        made = [pns.groups.create(PHONES, f"group {number}") for number in range(9)]
        seen = []
        for place, group in enumerate(pns.groups.iterate(page_size=2)):
            seen.append(group.group_id)
            if place % 2 == 1:  # the last one of a page, whose id is the next `after`
                pns.groups.delete(group.group_id)
    assert seen == made


def test_client_sees_only_groups_of_its_customer(server: SharedServer) -> None:
    with Client(*arguments(server)) as ours, Client(*arguments(server, "cus_2")) as theirs:
        group_id = ours.groups.create(PHONES)
        assert theirs.groups.list() == openpns.GroupPage([], 0)
        with pytest.raises(openpns.GroupNotFound):
            theirs.groups.add_phones(group_id, PHONES)


def test_stopped_server_raises_connect_failed(serve: Start) -> None:
    server = serve()
    with Client(*arguments(server), retries=0) as pns:
        pns.groups.create(PHONES)
        assert server.stop() == 0
        with pytest.raises(openpns.ConnectFailed):
            pns.groups.list()


def test_logs_show_no_secret_and_no_phone_number(
    server: SharedServer, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    run(server, lambda pns: [lambda: pns.groups.create(PHONES), pns.groups.list])
    assert "HTTP Request: POST" in caplog.text
    assert not [text for text in (*PHONES, arguments(server)[2]) if text in caplog.text]
