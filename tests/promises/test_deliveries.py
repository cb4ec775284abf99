"""Every event reaches its webhook, whatever process ends and when; a repeat has the same id.

`OPENPNS_SOAK=1` kills many more times; `OPENPNS_SOAK_SEED` chooses other moments.
"""

import asyncio
import json
import os
import random
import re
import signal
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from tests import direct
from tests.deliveries.hook_server import (
    KIND,
    HookServer,
    Received,
    ThreadedHookServer,
    add_webhook,
    drop,
    repeated,
    take,
    verified,
)
from tests.processes import MASTER_KEY, Process, Start, add_numbers, free_port
from tests.promises.traffic import IS_SOAK, SEED, rounds

from openpns.accounts.master_key import open_secret_box
from openpns.clock import now_ms
from openpns.core import outbox
from openpns.core.outbox import Event
from openpns.storage import connect
from openpns.storage.store import StatementBatch, Transaction, database_path

ALLOWED = (
    *("--webhook-http-allowed", "on", "--webhook-networks-allowed", "127.0.0.0/8"),
    *("--webhook-timeout-ms", "1000"),
)
STARTED = r"delivering to webhooks\W.*process\D+([0-9]+)"
KINDS = f"{KIND},unboundCall"


def started(process: Process) -> list[int]:
    """Return the pids of the delivery workers that a process has started so far."""
    return [int(pid) for pid in re.findall(STARTED, process.log.read_text("utf-8"))]


def wait_until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def _wait_for_workers(server: Process, count: int) -> None:
    wait_until(lambda: len(started(server)) >= count, "the worker is not replaced")


async def hook(url: str, *receivers: HookServer) -> list[str]:
    """Give the customers webhooks; return their secrets."""
    store = await connect.open_store(url)
    box = await open_secret_box(store, url, MASTER_KEY)
    await store.close()
    return [
        await add_webhook(url, box, f"cus_{n}", receiver.url, kinds=KINDS)
        for n, receiver in enumerate(receivers, 1)
    ]


async def add(url: str, customer_id: str, ids: range) -> None:
    store = await connect.open_store(url)

    def steps() -> Transaction[None]:
        events = [Event(str(one), KIND, b'{"id":%d}' % one) for one in ids]
        yield StatementBatch(
            "delivery_add", [outbox.add(customer_id, one, now_ms()).params for one in events]
        )

    await store.write(steps)
    await store.close()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts `openpns worker` processes; those that still run are ended after the test."""
    running: list[Process] = []

    def begin(url: str, *arguments: str) -> Process:
        log = tmp_path / f"worker-{len(running)}.log"
        given = ["worker", "--database", url, *ALLOWED, *arguments]
        running.append(Process(given, log, {"OPENPNS_MASTER_KEY": MASTER_KEY}))
        running[-1].wait_for(STARTED)
        return running[-1]

    yield begin
    for process in running:
        if process.process.poll() is None:
            process.stop()


def test_killed_workers_lose_no_event_and_repeat_with_the_same_id(
    serve: Start, worker: Callable[..., Process], served_url: str
) -> None:
    chance = random.Random(SEED)
    with ThreadedHookServer() as first, ThreadedHookServer() as second:
        secrets = asyncio.run(hook(served_url, first.receiver, second.receiver))
        server = serve("--webhook-worker", "on", *ALLOWED)
        server.wait_for(STARTED)
        expected: dict[str, set[str]] = defaultdict(set)
        for turn in rounds(3, 40):
            other = worker(served_url)
            for n in (1, 2):
                ids = range(10_000 * turn + 1000 * n, 10_000 * turn + 1000 * n + 40)
                asyncio.run(add(served_url, f"cus_{n}", ids))
                expected[f"cus_{n}"] |= set(map(str, ids))
            time.sleep(chance.random() * 0.4)
            os.kill(started(server)[-1], signal.SIGKILL)
            time.sleep(chance.random() * 0.2)
            other.process.send_signal(signal.SIGKILL)
            other.wait()
            _wait_for_workers(server, turn + 2)
        receivers = {"cus_1": first.receiver, "cus_2": second.receiver}
        for customer_id, receiver in receivers.items():
            wait_until(
                lambda r=receiver, c=customer_id: set(r.ids()) >= expected[c],  # type: ignore[misc]
                f"events of {customer_id} are missing",
            )
        counting = "SELECT count(*) FROM delivery WHERE state <> 'delivered'"
        wait_until(lambda: asyncio.run(direct.query(served_url, counting)) == [(0,)], "not stored")
        server.stop()
        for receiver, secret in zip(receivers.values(), secrets, strict=True):
            by_id = defaultdict(set)
            for one in receiver.received:
                assert verified(secret, one)
                by_id[one.id].add(one.body)
            assert by_id == {one: {b'{"id":%d}' % int(one)} for one in by_id}
        for customer_id, receiver in receivers.items():
            assert set(receiver.ids()) == expected[customer_id]


def test_lost_database_connections_lose_and_repeat_nothing(
    worker: Callable[..., Process], served_url: str
) -> None:
    if database_path(served_url) is not None:
        pytest.skip("SQLite has no connections to lose")
    chance = random.Random(SEED)

    async def cut() -> None:
        connection = await asyncpg.connect(served_url)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()

    with ThreadedHookServer() as hooked:
        asyncio.run(hook(served_url, hooked.receiver))
        process = worker(served_url)
        expected = set()
        for turn in rounds(3, 40):
            ids = range(1000 * turn + 1, 1000 * turn + 101)
            asyncio.run(add(served_url, "cus_1", ids))
            expected |= set(map(str, ids))
            time.sleep(chance.random() * 0.5)
            asyncio.run(cut())
        wait_until(lambda: set(hooked.receiver.ids()) >= expected, "events are missing")
        assert process.stop() == 0
        assert repeated(hooked.receiver.ids()) == {}


def test_call_without_a_binding_is_pushed_by_the_server_itself(
    serve: Start, served_url: str
) -> None:
    admin = free_port()
    with ThreadedHookServer() as hooked:
        asyncio.run(hook(served_url, hooked.receiver))
        asyncio.run(add_numbers(served_url, "cus_1", "85290000001"))
        options = ("--webhook-worker", "on", *ALLOWED, "--admin-port", str(admin))
        server = serve(*options)
        question = {"caller": "85233333333", "did": "85290000001"}
        answers = [server.call("queryAXB", question) for _ in range(5)]
        assert {answer["code"] for answer in answers} == {10013}
        wait_until(lambda: len(hooked.receiver.received) == 5, "nothing is pushed")
        bodies = [json.loads(one.body) for one in hooked.receiver.received]
        asked = [answer["requestId"] for answer in answers]
        assert sorted(body["requestId"] for body in bodies) == sorted(asked)
        assert {body["data"]["requestParams"]["caller"] for body in bodies} == {"85233333333"}

        def metrics() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as response:
                return str(response.read().decode())

        line = 'openpns_delivery_attempts_total{result="delivered"} 5.0'
        wait_until(lambda: line in metrics(), "not counted")
        assert server.stop() == 0


def test_stopped_server_finishes_the_attempts_in_flight(serve: Start, served_url: str) -> None:
    async def wait(receiver: HookServer, got: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        await take(receiver, got, writer)

    with ThreadedHookServer(wait) as hooked:
        asyncio.run(hook(served_url, hooked.receiver))
        asyncio.run(add(served_url, "cus_1", range(1, 2)))
        server = serve("--webhook-worker", "on", *ALLOWED)
        wait_until(lambda: hooked.receiver.received, "nothing is sent")
        assert server.stop() == 0
    rows = asyncio.run(direct.query(served_url, "SELECT state, tries, lease_owner FROM delivery"))
    assert rows == [("delivered", 1, "")]


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_backlog_harms_neither_the_api_nor_memory_nor_other_customers(
    serve: Start, served_url: str
) -> None:
    """10 000 events for a dead receiver; a million with OPENPNS_SOAK."""
    backlog = 1_000_000 if IS_SOAK else 10_000
    body = "x" * 500
    fill = (
        "INSERT INTO delivery (customer_id, delivery_id, kind, body, created_ms, state, tries, "
        "round_tries, next_ms, lease_owner, last_ms, last_status, last_error) "
        f"SELECT 'cus_1', CAST(i AS text), '{KIND}', '{body}', 1, 'pending', 0, 0, 1, '', 0, 0, '' "
    )
    if database_path(served_url) is None:
        fill += f"FROM generate_series(1, {backlog}) AS s (i)"
    else:
        counted = "SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < "
        fill = f"WITH RECURSIVE s (i) AS ({counted}{backlog}) {fill}FROM s"

    with ThreadedHookServer(drop) as dead, ThreadedHookServer() as good:
        asyncio.run(hook(served_url, dead.receiver, good.receiver))
        server = serve("--webhook-worker", "on", *ALLOWED)
        server.wait_for(STARTED)
        asyncio.run(add(served_url, "cus_2", range(1, 11)))
        wait_until(lambda: len(good.receiver.received) == 10, "nothing is sent")
        (worker,) = started(server)
        before_mib = peak_mib(worker)
        asyncio.run(direct.run(served_url, fill))
        wait_until(lambda: dead.receiver.received, "the backlog is not tried")
        for turn in range(1, 11):
            asyncio.run(add(served_url, "cus_2", range(100 * turn, 100 * turn + 5)))
            answers = [server.call("createGroup", {"phones": "85211111111"}) for _ in range(5)]
            assert {answer["code"] for answer in answers} == {0}
        wait_until(lambda: len(good.receiver.received) == 60, "other customers wait")
        # An attempt at a time, with pauses; the rest has not been read.
        assert len(dead.receiver.received) < backlog / 10
        assert dead.receiver.in_flight_max == 1
        assert peak_mib(worker) - before_mib < 10
        assert started(server) == [worker]
        server.stop()


def peak_mib(pid: int) -> float:
    """Return the most memory that a process has had resident."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+([0-9]+)", text)
    assert found is not None
    return int(found[1]) / 1024
