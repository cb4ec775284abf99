"""At most once: a write sent again, byte for byte, is answered as before and not done again.

Copies go to the same worker, to another one, to another node, to servers that were started anew,
and to servers that are killed in the middle. `OPENPNS_SOAK=1` kills many more times.

Source: docs/api/README.md, "A write is carried out at most once".
"""

import asyncio
import contextlib
import http.client
import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.processes import Process, Start, signed
from tests.promises.test_durable import assert_sound, kill_all
from tests.promises.traffic import SEED, connect, rounds, wait_until

from openpns.clock import now_ms

COPIES = 20
AHEAD_MS = 50_000
"""How far a ts lies ahead, so that it is fresh for nearly two minutes."""

Shown = dict[str, tuple[str, str]]
"""Id and phones of each group, by its name."""


class Request:
    """A signed call of cus_1, the same bytes whenever it is sent."""

    def __init__(self, action: str, ahead_ms: int = AHEAD_MS, **fields: Any) -> None:
        self.body = json.dumps(fields).encode()
        self.headers = signed("cus_1", action, self.body, now_ms() + ahead_ms)

    def send(self, connection: http.client.HTTPConnection) -> "Answer":
        connection.request("POST", "/api/pns/", self.body, self.headers)
        response = connection.getresponse()
        return Answer(response, response.read())


class Answer:
    """What came back; equal to another one where they differ in requestId and Date alone."""

    def __init__(self, response: http.client.HTTPResponse, content: bytes) -> None:
        self.envelope: dict[str, Any] = json.loads(content)
        request_id = self.envelope["requestId"]
        self.worker = int(request_id) >> 12 & 1023
        headers = {name.lower(): value for name, value in response.getheaders()}
        assert headers.pop("x-request-id") == request_id
        headers.pop("date", None)
        self.shown = response.status, headers, content.replace(request_id.encode(), b"")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answer) and self.shown == other.shown

    def __hash__(self) -> int:
        return hash(self.shown[2])

    def __repr__(self) -> str:
        return repr(self.shown)


class Nodes:
    """Two nodes, with two workers and with one, on one database.

    Args:
        serve: Starts a server.
        url: Its database.
    """

    def __init__(self, serve: Start, url: str) -> None:
        self._serve = serve
        self.url = url
        self.servers: list[Process] = []

    def start(self) -> None:
        self.servers = [
            self._serve("--workers", str(count), OPENPNS_PHONES_IN_GROUP_MAX="3")
            for count in (2, 1)
        ]
        self.servers[0].workers(2)

    def kill(self) -> None:
        kill_all(self.servers[0])
        kill_all(self.servers[1], workers=1)

    def stop(self) -> None:
        assert [server.stop(signal.SIGTERM) for server in self.servers] == [0, 0]

    def shown(self) -> Shown:
        """Return all groups, which are the same on both nodes, and of which no two have a name."""
        page, same = (
            server.call("listGroup", {"limit": 0, "offset": 0})["data"] for server in self.servers
        )
        assert page == same
        shown = {
            group["groupName"]: (group["groupId"], group["phones"]) for group in page["groups"]
        }
        assert len(shown) == page["total"]
        return shown

    @contextlib.contextmanager
    def every_worker(self) -> Iterator[list[http.client.HTTPConnection]]:
        """Open a connection to each worker."""
        found: dict[int, http.client.HTTPConnection] = {}
        opened = []
        # Those that lead to a worker that has one stay open, so that the next one goes elsewhere.
        for number in range(400):
            connection = connect(self.servers[number % 2].port)
            opened.append(connection)
            worker = Request("listGroup", limit=1, offset=0).send(connection).worker
            found.setdefault(worker, connection)
            if len(found) == 3:
                break
        assert len(found) == 3, "some worker takes no connections"
        yield [*found.values()]
        for connection in opened:
            connection.close()

    def send_at_once(self, requests: Sequence[Request]) -> list[Answer]:
        """Send each request on a connection of its own, every other one to the other node."""
        barrier = threading.Barrier(len(requests))

        def send(number: int) -> Answer:
            connection = connect(self.servers[number % 2].port)
            connection.connect()
            barrier.wait()
            try:
                return requests[number].send(connection)
            finally:
                connection.close()

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(send, range(len(requests))))


@pytest.fixture
def nodes(serve: Start, served_url: str) -> Nodes:
    made = Nodes(serve, served_url)
    made.start()
    return made


def create(name: str, *numbers: int, **fields: Any) -> Request:
    return Request("createGroup", groupName=name, phones=joined(*numbers), **fields)


def update(group_id: str, operate: int, *numbers: int) -> Request:
    return Request("updateGroup", groupId=group_id, operateType=operate, phones=joined(*numbers))


def joined(*numbers: int) -> str:
    return ",".join(f"8521111{number:04}" for number in numbers)


def done(answer: Answer) -> str:
    """Make sure that a write was carried out; return the id of the group that it made."""
    assert answer.envelope["code"] == 0, answer
    return str(answer.envelope.get("groupId"))


def restarted(nodes: Nodes) -> None:
    nodes.stop()
    nodes.start()


def killed(nodes: Nodes) -> None:
    nodes.kill()
    nodes.start()


def test_the_same_bytes_have_the_first_answer_on_every_worker_also_after_restart_and_kill(
    nodes: Nodes,
) -> None:
    with nodes.every_worker() as (first, *others):
        kept, gone = (done(create(name, 1).send(first)) for name in ("kept", "gone"))
        writes = [
            create("made", 7),
            update(kept, 0, 2),
            update(kept, 1, 1),
            update(kept, 2, 3, 4, 5),
            update(kept, 0, 6),  # refused: the group is full
            Request("deleteGroup", groupId=gone),
            Request("deleteGroup", AHEAD_MS - 1000, groupId=gone),  # refused: it is gone
        ]
        answers = [write.send(first) for write in writes]
        assert [answer.envelope["code"] for answer in answers] == [0, 0, 0, 0, 19002, 0, 19001]
        # From here on each of them would change something, were it carried out again.
        done(update(kept, 2, 1).send(first))
        before = nodes.shown()
        assert {name: row[1] for name, row in before.items()} == {
            "kept": joined(1),
            "made": joined(7),
        }
        for connection in (first, *others):
            assert [write.send(connection) for write in writes] == answers
    for happens in (restarted, killed):
        happens(nodes)
        with nodes.every_worker() as connections:
            for connection in connections:
                assert [write.send(connection) for write in writes] == answers
        assert nodes.shown() == before


def test_a_storm_of_copies_on_two_nodes_is_one_write(nodes: Nodes) -> None:
    def storm(request: Request) -> Answer:
        (answer,) = {*nodes.send_at_once([request] * COPIES)}
        return answer

    kept = done(storm(create("kept", 1)))
    assert nodes.shown() == {"kept": (kept, joined(1))}
    writes = [update(kept, 0, 2), update(kept, 1, 1), update(kept, 2, 3)]
    for write, left in zip(writes, (joined(1, 2), joined(2), joined(3)), strict=True):
        done(storm(write))
        assert nodes.shown() == {"kept": (kept, left)}
    full = storm(update(kept, 0, 4, 5, 6))
    assert full.envelope["code"] == 19002
    dropping = Request("deleteGroup", groupId=kept)
    done(storm(dropping))
    assert nodes.shown() == {}
    asyncio.run(assert_sound(nodes.url))


def test_copies_in_a_crowd_of_other_writes_are_one_write_each(nodes: Nodes) -> None:
    """Writes that go in one transaction with copies of each other are told apart."""
    requests = [create(f"g{number % 8}", number % 8) for number in range(8)]
    crowd = [requests[number % 8] for number in range(40)]
    random.Random(SEED).shuffle(crowd)
    told: dict[bytes, set[Answer]] = {}
    for request, answer in zip(crowd, nodes.send_at_once(crowd), strict=True):
        told.setdefault(request.body, set()).add(answer)
    assert {len(answers) for answers in told.values()} == {1}
    ids = {done(answer) for answers in told.values() for answer in answers}
    assert {row[0] for row in nodes.shown().values()} == ids
    assert len(ids) == 8
    asyncio.run(assert_sound(nodes.url))


def test_one_client_token_on_two_nodes_is_one_group(nodes: Nodes) -> None:
    requests = []
    for _ in range(COPIES):
        requests.append(create("made", 1, clientToken="order-7"))
        wait_until(lambda: now_ms() + AHEAD_MS > int(requests[-1].headers["ts"]), "another ts")
    assert len({request.headers["sign"] for request in requests}) == COPIES
    (answer,) = {*nodes.send_at_once(requests)}
    assert nodes.shown() == {"made": (done(answer), joined(1))}
    with nodes.every_worker() as connections:
        for connection in connections:
            other = create("other", 1, clientToken="order-7").send(connection)
            assert other.envelope["code"] == 19007
    assert len(nodes.shown()) == 1


class Chain:
    """Writes to one group, each sent only when the one before is known to be done.

    Carried out once each they leave what `left` says; any one of them done again, later, would
    leave something else, or be answered in another way.
    """

    def __init__(self, name: str, *, is_dropped: bool) -> None:
        self.name = name
        self.left = None if is_dropped else joined(4, 1)
        self.sent: list[Request] = []
        self.told: list[set[Answer]] = []
        self._steps: list[Callable[[str], Request]] = [
            lambda _: create(name, 1, 2),
            lambda group_id: update(group_id, 0, 3),
            lambda group_id: update(group_id, 1, 1),
            lambda group_id: update(group_id, 2, 4),
            lambda group_id: update(group_id, 0, 1),
        ]
        if is_dropped:
            self._steps.append(lambda group_id: Request("deleteGroup", groupId=group_id))

        self._lock = threading.Lock()

    @property
    def is_finished(self) -> bool:
        return len(self.sent) == len(self._steps) and all(self.told)

    def next(self) -> int:
        """Return the number of the write that is to be done now, or the last one's."""
        with self._lock:
            if not self.is_finished and (not self.told or self.told[-1]):
                group_id = done(next(iter(self.told[0]))) if self.told else ""
                self.told.append(set())
                self.sent.append(self._steps[len(self.sent)](group_id))
            return len(self.sent) - 1

    def send(self, number: int, connection: http.client.HTTPConnection) -> None:
        answer = self.sent[number].send(connection)
        if answer.envelope["code"] != 19004:
            self.told[number].add(answer)


Choose = Callable[[], tuple[Chain, int] | None]
"""Returns what to send now: a chain and the number of a write; None at the end."""


def leading(chain: Chain) -> Choose:
    """Send each write of a chain until it is done."""
    return lambda: None if chain.is_finished else (chain, chain.next())


def echoing(chains: Sequence[Chain], chance: random.Random) -> Choose:
    """Send again, without an end, what was sent of any chain so far."""

    def choose() -> tuple[Chain, int]:
        chain = chance.choice([chain for chain in chains if chain.sent] or chains)
        return chain, chance.randrange(chain.next() + 1)

    return choose


@contextlib.contextmanager
def sending(nodes: Nodes, chains: Sequence[Chain], echoes: int) -> Iterator[None]:
    """Send every chain in order, and copies of all that was sent so far, all the time."""
    stop = threading.Event()

    def run(choose: Choose, node: int) -> None:
        connection = connect(nodes.servers[node].port)
        while not stop.is_set() and (chosen := choose()):
            chain, number = chosen
            try:
                chain.send(number, connection)
            except (OSError, http.client.HTTPException):
                connection.close()
                time.sleep(0.02)
        connection.close()

    leaders = [leading(chain) for chain in chains]
    echoers = [echoing(chains, random.Random(f"{SEED} {number}")) for number in range(echoes)]
    with ThreadPoolExecutor(len(leaders) + len(echoers)) as pool:
        running = [
            pool.submit(run, choose, number % 2) for number, choose in enumerate(leaders + echoers)
        ]
        try:
            yield
        finally:
            stop.set()
    for one in running:
        one.result()


def test_copies_are_one_write_though_servers_are_killed_in_the_middle(nodes: Nodes) -> None:
    chance = random.Random(SEED)
    left: dict[str, str] = {}
    for number in rounds(quick=2, soak=12):
        chains = [Chain(f"{number}-{place}", is_dropped=place % 2 == 1) for place in range(6)]
        with sending(nodes, chains, echoes=6):
            time.sleep(chance.uniform(0.05, 0.3))
            nodes.kill()
        nodes.start()
        with sending(nodes, chains, echoes=6):
            for chain in chains:
                wait_until(lambda chain=chain: chain.is_finished, f"{chain.name} is over")
        # Once more, when nothing else happens.
        connection = connect(nodes.servers[1].port)
        for chain in chains:
            for place in range(len(chain.sent)):
                chain.send(place, connection)
        connection.close()
        assert {len(told) for chain in chains for told in chain.told} == {1}
        for chain in chains:
            for told in chain.told:
                done(*told)
        left |= {chain.name: chain.left for chain in chains if chain.left}
        assert {name: row[1] for name, row in nodes.shown().items()} == left
    asyncio.run(assert_sound(nodes.url))
