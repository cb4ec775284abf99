"""What a cached response could miss, one case each: every worker shows each change at once.

Each worker gets the same request before and after, so that its cache is warm. Changes that an
operator makes to the tables by hand are not covered: nothing is promised for them.
"""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.processes import run_openpns
from tests.simulation.conftest import Nodes
from tests.simulation.recorder import Connection, Key, new_request

from openpns.accounts import access_keys
from openpns.clock import now_ms
from openpns.storage.store import Store

ROUNDS = 100
CONNECTIONS_READING = 6
"""On each worker."""
ALL: dict[str, Any] = {"limit": 10, "offset": 0}


def rows_of(connection: Connection, key: Key, page: dict[str, Any] = ALL) -> list[str]:
    """The phones of each group on a page; its total must fit."""
    answer = connection.exchange(key, "listGroup", page)
    assert answer["code"] == 0
    rows = [row["phones"] for row in answer["data"]["groups"]]
    if page["offset"] == 0 and len(rows) < page["limit"]:
        assert answer["data"]["total"] == len(rows)
    return rows


def do(connection: Connection, key: Key, action: str, **body: Any) -> str:
    """Make a change that must succeed; return the new group's id, if it created one."""
    answer = connection.exchange(key, action, body)
    assert answer["code"] == 0
    return str(answer.get("groupId", ""))


Operate = Callable[..., str]


@pytest.fixture
def operate(nodes: Nodes) -> Operate:
    """Run an operator command on the database; return its output."""

    def run(*arguments: str) -> str:
        done = run_openpns(*arguments, "--database", nodes.url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def _others_read_meanwhile(nodes: Nodes, key: Key) -> Iterator[None]:
    """Others read the same page from all workers all the time, so that reads may be shared."""
    is_finished = threading.Event()
    reading = [nodes.connect(key) for _ in range(CONNECTIONS_READING)]

    def read() -> None:
        while not is_finished.is_set():
            for connection in itertools.chain(*reading):
                connection.send(new_request(key, "listGroup", ALL))
            for connection in itertools.chain(*reading):
                connection.receive()  # a page or a refusal: the test checks its own

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(read)
        yield
        is_finished.set()
        done.result()
    for connection in itertools.chain(*reading):
        connection.close()


@pytest.mark.usefixtures("_others_read_meanwhile")
def test_every_worker_shows_at_once_what_one_acknowledged(
    connections: list[Connection], key: Key, other_key: Key
) -> None:
    group_id = do(connections[0], key, "createGroup", phones="85211111114")
    do(connections[0], other_key, "createGroup", phones="85211111115")
    for number in range(ROUNDS):
        phones = f"852{number:08}"
        writer = connections[number % len(connections)]
        do(writer, key, "updateGroup", groupId=group_id, operateType=2, phones=phones)
        # The others first: their next request is the same as in the round before.
        for reader in (*(other for other in connections if other is not writer), writer):
            assert rows_of(reader, key) == [phones]
            assert rows_of(reader, other_key) == ["85211111115"]


@pytest.mark.usefixtures("_others_read_meanwhile")
async def test_every_worker_refuses_a_disabled_key_at_once_under_load(
    connections: list[Connection], key: Key, store: Store
) -> None:
    for number in range(ROUNDS // 2):
        for disabled_ms, code in ((now_ms(), 1005), (None, 0)):
            await access_keys.disable(store, key.name, disabled_ms)
            # Another worker is the first each time.
            turned = [*connections[number % 3 :], *connections[: number % 3]]
            assert [connection.code(key) for connection in turned] == [code] * 3


def test_every_worker_shows_new_and_deleted_groups_at_once(
    connections: list[Connection], key: Key
) -> None:
    phones: list[str] = []
    ids: list[str] = []
    for number in range(ROUNDS // 4):
        writer = connections[number % len(connections)]
        phones.append(f"852{number:08}")
        ids.append(do(writer, key, "createGroup", phones=phones[-1]))
        if number % 3 == 2:
            middle = len(ids) // 2
            do(writer, key, "deleteGroup", groupId=ids.pop(middle))
            del phones[middle]
        for reader in connections:
            for offset in (0, 1, 5, len(ids), len(ids) + 1):
                page = {"limit": 5, "offset": offset}
                assert rows_of(reader, key, page) == phones[offset : offset + 5]


def test_every_worker_shows_a_group_that_grows_and_shrinks(
    connections: list[Connection], key: Key
) -> None:
    """A page without a limit is sent in chunks if a group is long."""
    everything = {"limit": 0, "offset": 0}
    long = ",".join(f"8521{number:07}" for number in range(300))
    group_id = do(connections[0], key, "createGroup", phones="85211111114")
    for number in range(6):
        writer = connections[number % len(connections)]
        for phones in (long, f"8522{number:07}"):
            do(writer, key, "updateGroup", groupId=group_id, operateType=2, phones=phones)
            assert [rows_of(reader, key, everything) for reader in connections] == [[phones]] * 3


def test_every_worker_shows_imported_groups_at_once(
    connections: list[Connection], key: Key, operate: Operate, tmp_path: Path
) -> None:
    file = tmp_path / "groups.csv"
    for phones in (["85211111114"], ["85211111114", "85211111115"]):
        assert [rows_of(reader, key) for reader in connections] == [phones[:-1]] * 3
        file.write_text(f"groupId,groupName,phones,remark\n,,{phones[-1]},\n", "utf-8")
        operate("groups", "import", str(file), "--customer", key.customer)
        assert [rows_of(reader, key) for reader in connections] == [phones] * 3


@pytest.mark.parametrize("what", ["keys", "customers"])
def test_every_worker_refuses_a_disabled_key_or_customer_on_open_connections(
    connections: list[Connection], key: Key, other_key: Key, operate: Operate, what: str
) -> None:
    name = key.name if what == "keys" else key.customer
    for verb, code in (("enable", 0), ("disable", 1005), ("enable", 0)):
        operate(what, verb, name)
        assert {connection.code(key) for connection in connections} == {code}
        assert {connection.code(other_key) for connection in connections} == {0}


def test_every_worker_refuses_a_replaced_secret_without_grace_at_once(
    connections: list[Connection], key: Key, operate: Operate
) -> None:
    old = {connection.code(key) for connection in connections}
    new = json.loads(operate("keys", "rotate", key.name, "--grace", "0s", "--json"))
    key.secrets.append(new["accessSecret"])
    assert old == {0}
    assert {connection.code(key, 0) for connection in connections} == {1003}
    assert {connection.code(key, 1) for connection in connections} == {0}


def test_every_worker_accepts_a_new_key_that_was_unknown_before(
    connections: list[Connection], key: Key, operate: Operate
) -> None:
    new = Key(key.customer, f"new-{key.name}", ["the-new-keys-secret"])
    assert {connection.code(new) for connection in connections} == {1005}
    operate(
        "keys", "create", "--customer", new.customer,
        "--access-key", new.name, "--access-secret", new.secrets[0],
    )  # fmt: skip
    assert {connection.code(new) for connection in connections} == {0}
