"""Both clients against a real server: what the table of a method promises, it does."""

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conftest import ENGINES, create_postgres_database
from tests.processes import KEY_OF, Process, SharedServer, Start

import openpns
from openpns import AsyncClient, Client
from openpns.client import http
from openpns.client.requests import Request
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
    """A server that runs, once for each engine, with no groups yet."""
    await _shared_server.begin_anew()
    return _shared_server


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs calls one after another with a client of each kind; returns their results."""
    chosen: Run = request.param
    return chosen


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_group_lives_from_its_creation_to_its_end(
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


def test_groups_are_found_shown_renamed_and_their_changes_told(
    server: SharedServer, run: Run
) -> None:
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
    assert results[11]["groups"] == openpns.Limit(None, 3)
    assert results[11]["groupsInPage"] == openpns.Limit(1000, None)


# What is refused, and the class that says so.
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
    ("no such action", lambda pns: pns.call(Request("nothing")), openpns.ParameterError),
]


def test_an_error_has_the_class_of_its_code_and_what_a_ticket_needs(
    server: SharedServer, run: Run
) -> None:
    for _, use, kind in REFUSED:
        with pytest.raises(kind) as raised:
            run(server, lambda pns, use=use: [lambda: use(pns)])
        error = raised.value
        assert type(error) is kind
        assert error.request_id is not None
        assert error.request_id.isdigit()
        assert error.server_time is not None
        assert abs(error.server_time.timestamp() * 1000 - now_ms()) < 60_000


def test_a_wrong_secret_key_or_path_is_told_by_its_class(server: SharedServer) -> None:
    base_url, access_key, secret = arguments(server)
    for given, kind in (
        ((base_url, access_key, "not-the-secret"), openpns.InvalidSignature),
        ((base_url, "not-the-key", secret), openpns.PermissionDenied),
        ((f"{base_url}/elsewhere/", access_key, secret), openpns.PathNotFound),
        (("http://127.0.0.1:1", access_key, secret), openpns.ConnectFailed),
    ):
        with Client(*given, retries=0) as pns, pytest.raises(kind):
            pns.groups.list()


def test_a_body_that_is_too_large_is_told_by_its_class(serve: Start, run: Run) -> None:
    server = serve("--body-bytes-max", "2000")
    with pytest.raises(openpns.BodyTooLarge, match="2000 bytes"):
        run(server, lambda pns: [lambda: pns.groups.create(["85211111114"] * 1000)])


@pytest.mark.parametrize("off_ms", [-3_600_000, 90_000])
def test_a_client_with_a_wrong_clock_is_served(
    server: SharedServer, run: Run, monkeypatch: pytest.MonkeyPatch, off_ms: int
) -> None:
    monkeypatch.setattr(http, "now_ms", lambda: now_ms() + off_ms)
    with pytest.warns(openpns.ClockSkewWarning) as told:
        (group_id, page) = run(
            server,
            lambda pns: [lambda: pns.groups.create(PHONES), pns.groups.list],
        )
    assert [group.group_id for group in page.groups] == [group_id]
    assert len(told) == 1


def test_a_create_whose_answer_is_lost_makes_one_group(pns_server: Emulator, run: Run) -> None:
    pns_server.faults.drop_after_commit(action="createGroup", times=2)
    made = run(pns_server, lambda pns: [lambda: pns.groups.create(PHONES, "a")])
    assert [group.group_id for group in pns_server.groups()] == made
    pns_server.faults.drop_after_commit(action="createGroup")
    with pytest.raises(openpns.ConnectionLost):
        run(pns_server, lambda pns: [lambda: pns.groups.create(PHONES)], retry_creates=False)
    assert len(pns_server.groups()) == 2


def test_a_client_token_makes_one_group_whoever_sends_it(server: SharedServer, run: Run) -> None:
    def create(*phones: str) -> Any:
        return lambda pns: [lambda: pns.groups.create(phones, client_token="order-7")]

    assert run(server, create(*PHONES)) == run(server, create(*PHONES))
    with pytest.raises(openpns.ClientTokenReused):
        run(server, create(PHONES[0]))


def test_iterating_misses_nothing_while_groups_are_added(serve: Start, run: Run) -> None:
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


def test_iterating_misses_nothing_while_groups_are_deleted(server: SharedServer) -> None:
    with Client(*arguments(server)) as pns:
        made = [pns.groups.create(PHONES, f"group {number}") for number in range(9)]
        seen = []
        for place, group in enumerate(pns.groups.iterate(page_size=2)):
            seen.append(group.group_id)
            if place % 2 == 1:  # the last one of a page: what the next page begins behind
                pns.groups.delete(group.group_id)
    assert seen == made


def test_customers_see_only_their_own_groups(server: SharedServer) -> None:
    with Client(*arguments(server)) as ours, Client(*arguments(server, "cus_2")) as theirs:
        group_id = ours.groups.create(PHONES)
        assert theirs.groups.list() == openpns.GroupPage([], 0)
        with pytest.raises(openpns.GroupNotFound):
            theirs.groups.add_phones(group_id, PHONES)


def test_a_server_that_has_stopped_is_one_that_cannot_be_reached(serve: Start) -> None:
    server = serve()
    with Client(*arguments(server), retries=0) as pns:
        pns.groups.create(PHONES)
        assert server.stop() == 0
        with pytest.raises(openpns.ConnectFailed):
            pns.groups.list()


def test_no_log_of_any_layer_holds_a_secret_or_a_phone_number(
    server: SharedServer, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    run(server, lambda pns: [lambda: pns.groups.create(PHONES), pns.groups.list])
    assert "HTTP Request: POST" in caplog.text
    assert not [text for text in (*PHONES, arguments(server)[2]) if text in caplog.text]
