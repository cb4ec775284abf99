"""The very next question answers by what was acknowledged before it, whichever server gets it."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conftest import create_postgres_database
from tests.processes import Process, Start, fill, run_openpns

from openpns.bindings import operations
from openpns.clock import now_ms
from openpns.numbers import audios
from openpns.numbers import service as numbers
from openpns.numbers.audios import Audios
from openpns.storage import connect
from openpns.storage.store import Store

A, B, C = "85211111111", "85222222222", "85233333333"
X = "85290000001"
NOT_BOUND = 10013
ROUNDS = 25


class Server:
    """A server, and a connection to it that is kept open."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.connection = process.connect()

    def do(self, action: str, **body: Any) -> dict[str, Any]:
        """Send a request that must succeed; return its data."""
        answer = self._process.call(action, body, connection=self.connection)
        assert answer["code"] == 0, answer
        return answer.get("data") or answer

    def call(self, caller: str, did: str = X) -> str | int:
        """Ask who is called; return the callee, or the code."""
        body = {"caller": caller, "did": did}
        answer = self._process.call("queryAXB", body, connection=self.connection)
        return answer["data"]["callee"] if answer["code"] == 0 else answer["code"]

    def ask(self, caller: str, did: str = X) -> dict[str, Any]:
        """Ask who is called; return the data of the answer, also of a failure."""
        body = {"caller": caller, "did": did}
        answer = self._process.call("queryAXB", body, connection=self.connection)
        return answer.get("data", {})


@pytest.fixture
def url(postgres_server: str) -> str:
    """A database with two customers, the first of which has a virtual number."""
    made = asyncio.run(create_postgres_database(postgres_server))
    asyncio.run(fill(made))
    done = run_openpns("migrate", "--post", "--database", made)
    assert done.returncode == 0, done.stderr
    asyncio.run(_add_number(made))
    return made


async def _add_number(url: str) -> None:
    store = await connect.open_store(url)
    await numbers.add(store, now_ms, "cus_1", [X])
    await store.close()


@pytest.fixture
def servers(start: Start, url: str) -> Iterator[list[Server]]:
    """Two servers on one database."""
    made = [Server(start("serve", "--database", url, "--port", "0")) for _ in range(2)]
    yield made
    for server in made:
        server.connection.close()


@pytest.fixture
def operator(url: str) -> Iterator[tuple[asyncio.Runner, Store]]:
    with asyncio.Runner() as runner:
        store = runner.run(connect.open_store(url))
        yield runner, store
        runner.run(store.close())


def test_question_after_an_unbind_is_10013_on_the_other_server(servers: list[Server]) -> None:
    for number in range(ROUNDS):
        one, other = servers[number % 2], servers[1 - number % 2]
        bind_id = one.do("bindAXB", phoneA=A, phoneB=B, expireSecond=0)["bindId"]
        assert [other.call(A), one.call(B)] == [B, A]
        one.do("unbindAXB", bindId=bind_id)
        assert [other.call(A), one.call(B)] == [NOT_BOUND] * 2


def test_question_after_a_change_of_a_group_is_of_it_on_the_other_server(
    servers: list[Server],
) -> None:
    group_id = servers[0].do("createGroup", phones=f"{B},{C}")["groupId"]
    servers[0].do("bindAXG", phoneA=A, phoneB=B, groupId=group_id, expireSecond=0)
    for number in range(ROUNDS):
        one, other = servers[number % 2], servers[1 - number % 2]
        assert [other.call(phone) for phone in (A, B, C)] == [B, A, A]
        one.do("updateGroup", groupId=group_id, operateType=1, phones=B)
        assert [other.call(phone) for phone in (A, B, C)] == [NOT_BOUND, NOT_BOUND, A]
        one.do("updateGroup", groupId=group_id, operateType=0, phones=B)


def test_question_after_a_change_by_the_operator_is_of_it_on_both_servers(
    servers: list[Server], operator: tuple[asyncio.Runner, Store]
) -> None:
    runner, store = operator
    servers[0].do("bindAXB", phoneA=A, phoneB=B, expireSecond=0)
    for _ in range(ROUNDS):
        runner.run(numbers.set_state(store, now_ms, X, "disabled"))
        assert [server.call(A) for server in servers] == [NOT_BOUND] * 2
        runner.run(numbers.set_state(store, now_ms, X, "active"))
        assert [server.call(A) for server in servers] == [B] * 2
        runner.run(operations.hold(store, now_ms, "cus_1"))
        assert [server.call(A) for server in servers] == [NOT_BOUND] * 2
        runner.run(operations.confirm(store, "cus_1"))
        assert [server.call(A) for server in servers] == [B] * 2


def test_question_after_a_change_of_an_audio_has_it_on_both_servers(
    servers: list[Server], operator: tuple[asyncio.Runner, Store]
) -> None:
    runner, store = operator
    servers[0].do("bindAXB", phoneA=A, phoneB=B, expireSecond=0)
    for number in range(ROUNDS):
        url = f"https://audio.example/{number}.wav"
        runner.run(audios.set_for_customer(store, "cus_1", Audios(url)))
        assert [server.ask(A)["audioWhenCallFail"] for server in servers] == [url] * 2
        assert [server.ask(C)["audioWhenCallFail"] for server in servers] == [url] * 2
        runner.run(audios.set_for_number(store, X, Audios("")))
        assert [server.ask(A)["audioWhenCallFail"] for server in servers] == [""] * 2
        assert [server.ask(C) for server in servers] == [{}] * 2
        runner.run(audios.set_for_number(store, X, Audios()))


def test_binding_ends_on_the_second_although_nobody_has_swept(servers: list[Server]) -> None:
    """Servers sweep every 30 s; this takes less."""
    one, other = servers
    one.do("bindAXB", phoneA=A, phoneB=B, expireSecond=1)
    (row,) = other.do("getAXBList", limit=10, offset=0)["bindList"]
    end_ms = row["expireAt"] * 1000
    seen = []
    while not seen or seen[-1][2] != NOT_BOUND:
        begun_ms = time.time() * 1000
        callee = other.call(A)
        seen.append((begun_ms, time.time() * 1000, callee))
        assert begun_ms < end_ms + 10_000
    # An answer tells of a moment between its question's begin and end.
    assert all(begun_ms <= end_ms for begun_ms, _, callee in seen if callee == B)
    assert all(ended_ms >= end_ms for _, ended_ms, callee in seen if callee == NOT_BOUND)
    assert other.do("getAXBList", limit=10, offset=0) == {"bindList": [], "total": 0}
    assert one.do("bindAXB", phoneA=B, phoneB=A, expireSecond=0)["did"] == X
