"""Acknowledged is durable: what was answered with 0 outlives any crash, the rest is whole or not.

`OPENPNS_SOAK=1` kills many more times; `OPENPNS_SOAK_SEED` chooses other writes and moments.
"""

import asyncio
import os
import random
import signal
import time

import pytest
from tests.processes import MASTER_KEY, Process, Start, fill
from tests.promises.conftest import Cluster
from tests.promises.traffic import (
    SEED,
    Writer,
    call,
    connect,
    rounds,
    running,
    shown_groups,
    wait_until,
)

from openpns.domain import verify
from openpns.storage import connect as storage

WRITERS = 4


def kill_all(server: Process, workers: int = 2) -> None:
    """End a server's every process at once, as a power cut does."""
    pids = server.workers(workers)
    server.process.send_signal(signal.SIGKILL)
    for worker in pids:
        os.kill(worker, signal.SIGKILL)
    server.wait()


async def assert_sound(url: str) -> None:
    """Read every row of a database and see that all agree."""
    store = await storage.open_store(url, timeout_ms=60_000)
    told: list[str] = []
    await verify.read_all(store, told.append)
    await store.close()
    assert told == []


def check(writers: list[Writer], server: Process, url: str) -> None:
    shown = shown_groups(server)
    for writer in writers:
        writer.check(shown)
    asyncio.run(assert_sound(url))


def test_a_server_killed_while_it_writes_keeps_what_it_acknowledged(
    serve: Start, served_url: str
) -> None:
    chance = random.Random(SEED)
    writers = [Writer(f"w{number}", SEED) for number in range(WRITERS)]
    for _ in rounds(quick=3, soak=40):
        server = serve("--workers", "2")
        check(writers, server, served_url)
        with running(writers, server.port):
            time.sleep(chance.uniform(0.1, 0.6))
            kill_all(server)
    check(writers, serve("--workers", "2"), served_url)
    assert sum(writer.codes[0] for writer in writers) > 0
    assert sum(writer.lost for writer in writers) > 0
    assert {code for writer in writers for code in writer.codes} == {0}


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL])
def test_a_server_outlives_a_killed_postgresql_and_keeps_what_it_acknowledged(
    start: Start, cluster: Cluster, cluster_url: str, number: int
) -> None:
    asyncio.run(fill(cluster_url))
    server = start(
        *("serve", "--database", cluster_url, "--port", "0", "--workers", "2"),
        *("--storage-timeout-ms", "2000"),
        OPENPNS_MASTER_KEY=MASTER_KEY,
    )
    workers = server.workers(2)
    chance = random.Random(SEED)
    writers = [Writer(f"w{number}", SEED) for number in range(WRITERS)]
    refused = 0
    for _ in rounds(quick=2, soak=20):
        with running(writers, server.port):
            time.sleep(chance.uniform(0.1, 0.5))
            cluster.kill(number)
            # A new client: the writers may all have been in the middle of a commit.
            wait_until(lambda: _code(server) == 19004, "answered with 19004")
            refused += 1
            cluster.start()
            wait_until(lambda: _code(server) == 0, "answered with 0 again")
        check(writers, server, cluster_url)
    assert refused > 0
    codes = {code for writer in writers for code in writer.codes}
    assert 0 in codes
    assert codes <= {0, 19004, 19006}
    assert server.workers(2) == workers
    assert server.stop() == 0


def _code(server: Process) -> int:
    """Return what a new client's call is answered with."""
    connection = connect(server.port)
    try:
        code: int = call(connection, "listGroup", {"limit": 1, "offset": 0})["code"]
        return code
    finally:
        connection.close()
