"""Fifty clients at once on real servers: some order of their requests must explain the result.

Each phone is sent once, by one client. So the phones of a client show what became of its writes,
and the phone that a replacement left shows which one was last.
"""

import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from tests.conftest import ENGINES
from tests.simulation import conftest
from tests.simulation.conftest import Nodes
from tests.simulation.effort import EFFORT, SEED, command
from tests.simulation.recorder import Connection, Key, new_request

from openpns.groups.wire import ADD, DELETE, REPLACE
from openpns.storage.store import Store

CLIENTS = 50
PHONES_IN_GROUP_MAX = 60
ROUNDS = 20 * EFFORT
GROUP_FULL, GROUP_NOT_FOUND = 19002, 19001


@pytest.fixture(scope="module", params=ENGINES)
def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nodes]:
    """Nodes whose groups are soon full."""
    folder = tmp_path_factory.mktemp("small-groups")
    bound = {"OPENPNS_PHONES_IN_GROUP_MAX": str(PHONES_IN_GROUP_MAX)}
    running = conftest.start_nodes(request, folder, **bound)
    yield running
    running.stop()


@dataclass(frozen=True)
class Update:
    """A client's change of the group, as it saw it."""

    start: int
    end: int
    operate_type: int
    numbers: tuple[str, ...]
    code: int


class Client:
    """One of many, with its own connection."""

    def __init__(self, number: int, connection: Connection, key: Key) -> None:
        self.number = number
        self.updates: list[Update] = []
        self.chance = random.Random(f"{SEED}/{number}")
        self._connection = connection
        self._key = key
        self._sent = 0

    def send(self, action: str, **body: Any) -> dict[str, Any]:
        answer = self._connection.exchange(self._key, action, body)
        assert answer["code"] in (0, GROUP_FULL, GROUP_NOT_FOUND), answer
        return answer

    def answer(self, request: bytes) -> dict[str, Any]:
        """Send a request that may have been sent before; return the envelope without requestId."""
        self._connection.send(request)
        answer = self._connection.receive()
        del answer["requestId"]
        return answer

    @property
    def times(self) -> tuple[int, int]:
        return self._connection.times

    def fresh(self, count: int) -> tuple[str, ...]:
        """Return phones that nobody has sent; the first digits identify the client."""
        first, self._sent = self._sent, self._sent + count
        return tuple(f"852{self.number:02}{n:06}" for n in range(first, self._sent))

    def update(self, group_id: str, operate_type: int, numbers: tuple[str, ...]) -> int:
        answer = self.send(
            "updateGroup", groupId=group_id, operateType=operate_type, phones=",".join(numbers)
        )
        update = Update(*self.times, operate_type, numbers, answer["code"])
        self.updates.append(update)
        return update.code

    def page(self, limit: int = 0, offset: int = 0) -> dict[str, Any]:
        data: dict[str, Any] = self.send("listGroup", limit=limit, offset=offset)["data"]
        return data

    def numbers(self, group_id: str) -> list[str]:
        """The numbers of a group, as a page shows them."""
        (text,) = [row["phones"] for row in self.page()["groups"] if row["groupId"] == group_id]
        return text.split(",") if text else []


@pytest.fixture
def clients(nodes: Nodes, key: Key) -> Iterator[list[Client]]:
    """Clients on both nodes; each worker has some of them."""
    ports = [process.port for process in nodes.processes]
    first = nodes.connect(key)
    others = [Connection(ports[number % 2]) for number in range(CLIENTS - len(first))]
    made = [Client(number, each, key) for number, each in enumerate([*first, *others])]
    yield made
    for connection in [*first, *others]:
        connection.close()


@pytest.fixture
def again(request: pytest.FixtureRequest) -> str:
    return f"to repeat it: {command(request.node.nodeid)}"


def at_once(clients: list[Client], work: Callable[[Client], Any]) -> list[Any]:
    """Let all clients work at the same time."""
    start = threading.Barrier(len(clients), timeout=60)

    def begin(client: Client) -> Any:
        start.wait()
        return work(client)

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(begin, clients))


def test_concurrent_adds_fill_a_group_exactly(clients: list[Client], again: str) -> None:
    group_id = clients[0].send("createGroup", phones="8615100000000")["groupId"]

    def add(client: Client) -> Counter[int]:
        return Counter(client.update(group_id, ADD, client.fresh(1)) for _ in range(3))

    codes = sum(at_once(clients, add), Counter())
    free = PHONES_IN_GROUP_MAX - 1
    assert codes == {0: free, GROUP_FULL: 3 * CLIENTS - free}, again
    acknowledged = [
        number
        for client in clients
        for update in client.updates
        if update.code == 0
        for number in update.numbers
    ]
    shown = clients[0].numbers(group_id)
    assert sorted(shown) == sorted(["8615100000000", *acknowledged]), again


def test_concurrent_changes_of_a_group_have_an_order(clients: list[Client], again: str) -> None:
    group_id = clients[0].send("createGroup", phones="8615100000000")["groupId"]

    def change(client: Client) -> None:
        added: list[str] = []
        for _ in range(ROUNDS):
            kind = client.chance.choice(
                ["add", "add", "add", "delete", "delete", "replace", "read"]
            )
            if kind == "replace" and client.chance.random() < 0.3:
                client.update(group_id, REPLACE, client.fresh(1))
            elif kind == "delete" and added:
                client.update(group_id, DELETE, (added.pop(), added.pop()))
            elif kind == "read":
                seen = client.numbers(group_id)
                assert len(seen) == len(set(seen)) <= PHONES_IN_GROUP_MAX, again
            else:
                numbers = client.fresh(3)
                if client.update(group_id, ADD, numbers) == 0:
                    added += numbers[:2]

    at_once(clients, change)
    check_outcome(clients, clients[0].numbers(group_id), again)
    codes = Counter(update.code for client in clients for update in client.updates)
    assert codes[0] > CLIENTS, again
    assert codes[GROUP_FULL] > 0, again


Prepare = Callable[[str, dict[str, Any]], Callable[[], bytes]]
"""Takes an action and a body; returns what each client calls for the bytes that it sends."""


def same_bytes(key: Key) -> Prepare:
    """Let all clients send the same bytes."""

    def prepare(action: str, body: dict[str, Any]) -> Callable[[], bytes]:
        request = new_request(key, action, body)
        return lambda: request

    return prepare


def same_token(key: Key) -> Prepare:
    """Let all clients send the same clientToken, each in its own request."""

    def prepare(action: str, body: dict[str, Any]) -> Callable[[], bytes]:
        with_token = body | {"clientToken": secrets.token_hex(8)}
        return lambda: new_request(key, action, with_token)

    return prepare


@pytest.fixture
async def unique_ts_key(nodes: Nodes, store: Store, key: Key) -> Key:
    """A key of the same customer that is set to unique-ts."""
    return await conftest.new_key(store, nodes.url, key.customer, unique_ts=True)


def test_identical_requests_of_a_unique_ts_key_at_once_are_one_write(
    clients: list[Client], unique_ts_key: Key, again: str
) -> None:
    for _ in range(ROUNDS):
        check_copies(clients, same_bytes(unique_ts_key), again)


def test_requests_with_one_client_token_at_once_are_one_write(
    clients: list[Client], key: Key, unique_ts_key: Key, again: str
) -> None:
    for number in range(ROUNDS):
        check_copies(clients, same_token((key, unique_ts_key)[number % 2]), again)


def check_copies(clients: list[Client], prepare: Prepare, again: str) -> None:
    """Let all clients send copies of a few writes, of which not all can be carried out."""
    first = clients[0]
    full, one, other = first.fresh(PHONES_IN_GROUP_MAX), first.fresh(1), first.fresh(1)
    before = first.page(1)["total"]
    create = prepare("createGroup", {"phones": ",".join(full)})
    made = at_once(clients, lambda client: client.answer(create()))
    assert made.count(made[0]) == CLIENTS, again
    group_id = made[0]["groupId"]
    assert first.page(1)["total"] == before + 1, again

    def update(operate_type: int, numbers: tuple[str, ...]) -> Callable[[], bytes]:
        body = {"groupId": group_id, "operateType": operate_type, "phones": ",".join(numbers)}
        return prepare("updateGroup", body)

    # Of the two that add, one finds room at most, and only after the third.
    sent = [update(ADD, one), update(ADD, other), update(DELETE, full[:1])]
    answers = at_once(clients, lambda client: client.answer(sent[client.number % 3]()))
    codes = [{answer["code"] for answer in answers[number::3]} for number in range(3)]
    assert codes[2] == {0}, again
    assert codes[0] | codes[1] <= {0, GROUP_FULL}, again
    assert [len(each) for each in codes] == [1, 1, 1], again
    added = [*(one if codes[0] == {0} else ()), *(other if codes[1] == {0} else ())]
    assert first.numbers(group_id) == [*full[1:], *added], again
    delete = prepare("deleteGroup", {"groupId": group_id})
    assert at_once(clients, lambda client: client.answer(delete())["code"]) == [0] * CLIENTS, again


def test_identical_requests_at_once_are_carried_out_each(
    clients: list[Client], key: Key, again: str
) -> None:
    for _ in range(ROUNDS // 4):
        check_each_is_carried_out(clients, same_bytes(key), again)


def check_each_is_carried_out(clients: list[Client], prepare: Prepare, again: str) -> None:
    first = clients[0]
    before = first.page(1)["total"]
    (phone,) = first.fresh(1)
    create = prepare("createGroup", {"phones": phone})
    made = at_once(clients, lambda client: client.answer(create()))
    assert {answer["code"] for answer in made} == {0}, again
    ids = {answer["groupId"] for answer in made}
    assert len(ids) == CLIENTS, again
    assert first.page(1)["total"] == before + CLIENTS, again
    body = {"groupId": min(ids), "operateType": ADD, "phones": first.fresh(1)[0]}
    add, delete = prepare("updateGroup", body), prepare("deleteGroup", {"groupId": min(ids)})
    answers = at_once(clients, lambda client: client.answer(add())["code"])
    assert answers == [0] * CLIENTS, again
    assert first.numbers(min(ids)) == [phone, body["phones"]], again
    codes = Counter(at_once(clients, lambda client: client.answer(delete())["code"]))
    assert codes == {0: 1, GROUP_NOT_FOUND: CLIENTS - 1}, again


def check_outcome(clients: list[Client], shown: list[str], again: str) -> None:
    """Check that some order of the acknowledged changes leaves these phones."""
    done = [update for client in clients for update in client.updates if update.code == 0]
    replacements = [update for update in done if update.operate_type == REPLACE]
    # Nobody deletes the phone of a replacement: that of the last one is there, and no other.
    left = [update for update in replacements if set(update.numbers) & set(shown)]
    assert len(left) == 1, again
    last = left[0]
    assert not [update for update in replacements if update.start > last.end], again
    for client in clients:
        own = {number for number in shown if number.startswith(f"852{client.number:02}")}
        assert own - set(last.numbers) in list(outcomes(client, last)), (client.number, again)
    added = {n: update for update in done if update.operate_type != DELETE for n in update.numbers}
    assert set(shown) <= set(added), again
    assert len(shown) == len(set(shown)) <= PHONES_IN_GROUP_MAX, again
    for position, number in enumerate(shown):
        later = [added[other] for other in shown[position:]]
        assert not [update for update in later if update.end < added[number].start], again


def outcomes(client: Client, last: Update) -> Iterator[set[str]]:
    """Yield which phones of a client can be left if this was the last replacement."""
    done = [update for update in client.updates if update.code == 0]
    for cut in range(len(done) + 1):
        before, after = done[:cut], done[cut:]
        is_possible = (
            all(update.start <= last.end for update in before if update is not last)
            and all(update.end >= last.start for update in after)
            and not any(update.operate_type == REPLACE for update in after)
        )
        if is_possible:
            left: set[str] = set()
            for update in after:
                numbers = set(update.numbers)
                left = left | numbers if update.operate_type == ADD else left - numbers
            yield left


def test_concurrent_creates_and_deletes_leave_each_group_once_or_deleted(
    clients: list[Client], again: str
) -> None:
    shared = [clients[0].send("createGroup", phones="8615100000000")["groupId"] for _ in range(10)]

    def work(client: Client) -> tuple[dict[str, tuple[int, int]], Counter[str]]:
        """Return the groups that were left, with the times of their creation, and the deletions."""
        own: dict[str, tuple[int, int]] = {}
        deleted: Counter[str] = Counter()
        for group_id in client.chance.sample(shared, len(shared)):
            made = client.send("createGroup", phones=client.fresh(1)[0])["groupId"]
            own[made] = client.times
            deleted[group_id] += client.send("deleteGroup", groupId=group_id)["code"] == 0
            if client.chance.random() < 0.5:
                gone = client.chance.choice(list(own))
                assert client.send("deleteGroup", groupId=gone)["code"] == 0, again
                del own[gone]
        return own, deleted

    done = at_once(clients, work)
    assert sum((deleted for _, deleted in done), Counter()) == Counter(shared), again
    made = {group_id: times for own, _ in done for group_id, times in own.items()}
    page = clients[0].page()
    shown = [row["groupId"] for row in page["groups"]]
    assert page["total"] == len(shown), again
    assert sorted(shown) == sorted(made), again
    for position, group_id in enumerate(shown):
        begun = made[group_id][0]
        assert not [other for other in shown[position:] if made[other][1] < begun], again


def test_paging_skips_and_repeats_no_group_during_creates(
    clients: list[Client], again: str
) -> None:
    creators, readers = clients[10:], clients[:10]
    walks: list[tuple[set[str], list[str]]] = []
    acknowledged: list[str] = []
    # Every creator waits with its second group until a walk has begun, and that walk continues only
    # when a second group exists: groups are created during at least one walk.
    has_walk_begun, is_second_made = threading.Event(), threading.Event()

    def create(client: Client) -> None:
        for number in range(ROUNDS // 2):
            made = client.send("createGroup", phones=client.fresh(1)[0])["groupId"]
            acknowledged.append(made)
            if number == 0:
                assert has_walk_begun.wait(60), again
            else:
                is_second_made.set()

    def walk(client: Client) -> None:
        """Page from the first group to the last, again and again."""
        limit, seen = client.number + 1, ["none"]
        while len(seen) < len(creators) * (ROUNDS // 2):
            known, seen = set(acknowledged), []
            while rows := client.page(limit, len(seen))["groups"]:
                seen += [row["groupId"] for row in rows]
                has_walk_begun.set()
                assert is_second_made.wait(60), again
            walks.append((known, seen))

    at_once(clients, lambda client: (create if client in creators else walk)(client))
    whole: list[str] = []
    while rows := readers[0].page(1000, len(whole))["groups"]:
        whole += [row["groupId"] for row in rows]
    assert sorted(whole) == sorted(acknowledged), again
    for known, seen in walks:
        assert seen == whole[: len(seen)], again
        assert known <= set(seen), again
    assert any(known < set(seen) for known, seen in walks), again
