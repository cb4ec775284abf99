"""At most once: a copy of a write gets the first response and is not carried out.

A copy is a write with the same clientToken or nonce or, for a key that is set to unique-ts, with
the same bytes. Copies go to the same worker, to another one, to another node, to restarted servers,
and to servers that are killed meanwhile. Without a token, each request is carried out.
`OPENPNS_SOAK=1` kills many more times.

Source: docs/api/README.md, "At most once".
"""

import asyncio
import contextlib
import hashlib
import http.client
import json
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.conftest import ENGINES
from tests.promises.copies import (
    KINDS,
    PLAIN_KEY,
    Answer,
    Kind,
    Nodes,
    Request,
    TokenWrite,
    Write,
    create,
    delete,
    done,
    joined,
    update,
)
from tests.promises.test_durable import assert_sound
from tests.promises.traffic import SEED, connect, rounds, wait_until

from openpns.clock import now_ms

COPIES = 20


@pytest.fixture(scope="module", params=ENGINES)
def shared_nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("nodes")
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'nodes.db'}"
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "nodes.db")
    else:
        url = request.getfixturevalue("postgres_databases").create(is_migrated=True)
    made = Nodes(url, folder)
    yield made
    made.end()


@pytest.fixture
def nodes(shared_nodes: Nodes) -> Nodes:
    shared_nodes.reset()
    return shared_nodes


def restarted(nodes: Nodes) -> None:
    nodes.stop()
    nodes.start()


def killed(nodes: Nodes) -> None:
    nodes.kill()
    nodes.start()


def test_copies_get_the_first_response_on_every_worker_after_restart_and_kill(
    nodes: Nodes,
) -> None:
    sent: list[tuple[Write, Answer]] = []
    expected: dict[str, str] = {}
    with nodes.every_worker() as (first, *others):
        for kind in KINDS:
            name = kind.__name__
            kept, gone = (done(create(kind, f"{name} {it}", 1).send(first)) for it in range(2))
            writes = [
                create(kind, f"{name} made", 7),
                update(kind, kept, 0, 2),
                update(kind, kept, 1, 1),
                update(kind, kept, 2, 3, 4, 5),
                update(kind, kept, 0, 6),  # refused: the group is full
                delete(kind, gone),
                delete(kind, gone),  # refused: it is deleted
            ]
            answers = [write.send(first) for write in writes]
            codes = [answer.envelope["code"] for answer in answers]
            assert codes == [0, 0, 0, 0, 19002, 0, 19001]
            # From here on each of them would change something if it were carried out again.
            done(update(kind, kept, 2, 1).send(first))
            sent += zip(writes, answers, strict=True)
            expected |= {f"{name} 0": joined(1), f"{name} made": joined(7)}
        before = nodes.shown()
        assert {name: row[1] for name, row in before.items()} == expected
        for connection in (first, *others):
            assert [write.send(connection) for write, _ in sent] == [one for _, one in sent]
    for happens in (restarted, killed):
        happens(nodes)
        with nodes.every_worker() as connections:
            for connection in connections:
                assert [write.send(connection) for write, _ in sent] == [one for _, one in sent]
        assert nodes.shown() == before


@pytest.mark.parametrize("kind", KINDS)
def test_concurrent_copies_on_two_nodes_are_one_write(nodes: Nodes, kind: Kind) -> None:
    def storm(write: Write) -> Answer:
        (answer,) = {*nodes.send_at_once([write] * COPIES)}
        return answer

    kept = done(storm(create(kind, "kept", 1)))
    assert nodes.shown() == {"kept": (kept, joined(1))}
    writes = [update(kind, kept, 0, 2), update(kind, kept, 1, 1), update(kind, kept, 2, 3)]
    for write, left in zip(writes, (joined(1, 2), joined(2), joined(3)), strict=True):
        done(storm(write))
        assert nodes.shown() == {"kept": (kept, left)}
    full = storm(update(kind, kept, 0, 4, 5, 6))
    assert full.envelope["code"] == 19002
    done(storm(delete(kind, kept)))
    assert nodes.shown() == {}
    gone = storm(delete(kind, kept))
    assert gone.envelope["code"] == 19001
    asyncio.run(assert_sound(nodes.url))


@pytest.mark.parametrize("kind", KINDS)
def test_copies_among_other_writes_are_one_write_each(nodes: Nodes, kind: Kind) -> None:
    """Each write gets its own response if copies of others share its transaction."""
    writes = [create(kind, f"g{number % 8}", number % 8) for number in range(8)]
    crowd = [number % 8 for number in range(40)]
    random.Random(SEED).shuffle(crowd)
    got: dict[int, set[Answer]] = {}
    answers = nodes.send_at_once([writes[number] for number in crowd])
    for number, answer in zip(crowd, answers, strict=True):
        got.setdefault(number, set()).add(answer)
    assert {len(each) for each in got.values()} == {1}
    ids = {done(answer) for each in got.values() for answer in each}
    assert {row[0] for row in nodes.shown().values()} == ids
    assert len(ids) == 8
    asyncio.run(assert_sound(nodes.url))


def test_one_client_token_with_another_body_is_refused_on_every_worker(nodes: Nodes) -> None:
    with nodes.every_worker() as (first, *others):
        kept, gone = (done(create(TokenWrite, name, 1).send(first)) for name in ("kept", "gone"))
        token = {"clientToken": "order-7"}
        made = done(create(TokenWrite, "made", 1, **token).send(first))
        done(update(TokenWrite, kept, 0, 2, **token).send(first))
        done(delete(TokenWrite, gone, **token).send(first))
        before = nodes.shown()
        for connection in (first, *others):
            changed = [
                create(TokenWrite, "other", 1, **token),
                create(TokenWrite, "made", 2, **token),
                update(TokenWrite, kept, 1, 2, **token),
                update(TokenWrite, made, 0, 2, **token),
                delete(TokenWrite, kept, **token),
            ]
            codes = [write.send(connection).envelope["code"] for write in changed]
            assert codes == [19007] * len(changed)
    assert nodes.shown() == before


def sign_like_a_client(action: str, body: bytes, ts: int) -> dict[str, str]:
    """Sign as docs/api/signing.md says, with the standard library alone."""
    access_key, secret = PLAIN_KEY
    text = f"accessKey={access_key}&action={action}&bizType=5&ts={ts}".encode()
    text += b"&body=" + body + f"&accessSecret={secret}".encode()
    return {
        "accessKey": access_key,
        "action": action,
        "bizType": "5",
        "ts": str(ts),
        "sign": hashlib.md5(text).hexdigest(),
        "Content-Type": "application/json",
    }


@pytest.mark.parametrize("ts_step_ms", [1, 1000])
def test_identical_requests_without_a_token_are_carried_out_each(
    nodes: Nodes, ts_step_ms: int
) -> None:
    """A quick client sends two requests within one ms; others take `ts` in whole seconds."""
    ts = time.time_ns() // 1_000_000 // ts_step_ms * ts_step_ms

    def send(action: str, **fields: Any) -> list[dict[str, Any]]:
        """Send the same bytes twice on one connection, and then to each worker."""
        body = json.dumps(fields).encode()
        headers = sign_like_a_client(action, body, ts)
        envelopes = []
        for connection in (connections[0], connections[0], *connections[1:]):
            connection.request("POST", "/api/pns/", body, headers)
            envelopes.append(json.loads(connection.getresponse().read()))
        return envelopes

    with nodes.every_worker() as connections:
        created = send("createGroup", phones=joined(1))
        assert [envelope["code"] for envelope in created] == [0] * 4
        ids = [envelope["groupId"] for envelope in created]
        assert len(nodes.shown()) == len(set(ids)) == 4
        added = send("updateGroup", groupId=ids[0], operateType=0, phones=joined(2), detail=True)
        assert [envelope["data"]["added"] for envelope in added] == [1, 0, 0, 0]
        assert [envelope["data"]["unchanged"] for envelope in added] == [0, 1, 1, 1]
        deleted = send("deleteGroup", groupId=ids[0])
        assert [envelope["code"] for envelope in deleted] == [0, 19001, 19001, 19001]
        assert len(nodes.shown()) == 3


def test_concurrent_identical_requests_without_a_token_are_carried_out_each(
    nodes: Nodes,
) -> None:
    write = Request("createGroup", now_ms(), phones=joined(1))
    ids = [done(answer) for answer in nodes.send_at_once([write] * COPIES)]
    assert len(nodes.shown()) == len(set(ids)) == COPIES
    write = Request("deleteGroup", now_ms(), groupId=ids[0])
    codes = sorted(answer.envelope["code"] for answer in nodes.send_at_once([write] * COPIES))
    assert codes == [0] + [19001] * (COPIES - 1)
    assert len(nodes.shown()) == COPIES - 1
    asyncio.run(assert_sound(nodes.url))


class Chain:
    """Writes to one group, each sent only after the one before was acknowledged.

    If each is carried out once, they leave what `left` says. If one were carried out again later,
    they would leave something else, or get another response.
    """

    def __init__(self, kind: Kind, name: str, *, is_dropped: bool) -> None:
        self.name = name
        self.left = None if is_dropped else joined(4, 1)
        self.sent: list[Write] = []
        self.answers: list[set[Answer]] = []
        self._steps: list[Callable[[str], Write]] = [
            lambda _: create(kind, name, 1, 2),
            lambda group_id: update(kind, group_id, 0, 3),
            lambda group_id: update(kind, group_id, 1, 1),
            lambda group_id: update(kind, group_id, 2, 4),
            lambda group_id: update(kind, group_id, 0, 1),
        ]
        if is_dropped:
            self._steps.append(lambda group_id: delete(kind, group_id))

        self._lock = threading.Lock()

    @property
    def is_finished(self) -> bool:
        return len(self.sent) == len(self._steps) and all(self.answers)

    def next(self) -> int:
        """Return the number of the next write, or of the last one."""
        with self._lock:
            if not self.is_finished and (not self.answers or self.answers[-1]):
                group_id = done(next(iter(self.answers[0]))) if self.answers else ""
                self.answers.append(set())
                self.sent.append(self._steps[len(self.sent)](group_id))
            return len(self.sent) - 1

    def send(self, number: int, connection: http.client.HTTPConnection) -> None:
        answer = self.sent[number].send(connection)
        if answer.envelope["code"] != 19004:
            self.answers[number].add(answer)


Choose = Callable[[], tuple[Chain, int] | None]
"""Returns what to send: a chain and the number of a write; None at the end."""


def leading(chain: Chain) -> Choose:
    """Send each write of a chain until it is acknowledged."""
    return lambda: None if chain.is_finished else (chain, chain.next())


def echoing(chains: Sequence[Chain], chance: random.Random) -> Choose:
    """Send copies of what was sent of any chain so far, without end."""

    def choose() -> tuple[Chain, int]:
        chain = chance.choice([chain for chain in chains if chain.sent] or chains)
        return chain, chance.randrange(chain.next() + 1)

    return choose


@contextlib.contextmanager
def sending(nodes: Nodes, chains: Sequence[Chain], echoes: int) -> Iterator[None]:
    """Send every chain in order, and copies of everything that was sent so far, all the time."""
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


def test_copies_are_one_write_while_servers_are_killed(nodes: Nodes) -> None:
    chance = random.Random(SEED)
    left: dict[str, str] = {}
    for number in rounds(quick=2, soak=12):
        chains = [
            Chain(kind, f"{kind.__name__}-{number}-{place}", is_dropped=place % 2 == 1)
            for place in range(4)
            for kind in KINDS
        ]
        with sending(nodes, chains, echoes=6):
            time.sleep(chance.uniform(0.05, 0.3))
            nodes.kill()
        nodes.start()
        with sending(nodes, chains, echoes=6):
            for chain in chains:
                wait_until(lambda chain=chain: chain.is_finished, f"{chain.name} is finished")
        # Once more, while nothing else happens.
        connection = connect(nodes.servers[1].port)
        for chain in chains:
            for place in range(len(chain.sent)):
                chain.send(place, connection)
        connection.close()
        assert {len(answers) for chain in chains for answers in chain.answers} == {1}
        for chain in chains:
            for answers in chain.answers:
                done(*answers)
        left |= {chain.name: chain.left for chain in chains if chain.left}
        assert {name: row[1] for name, row in nodes.shown().items()} == left
    asyncio.run(assert_sound(nodes.url))
