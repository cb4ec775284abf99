"""Acknowledged is durable: a write that got code 0 survives any crash, any other is all or nothing.

`OPENPNS_SOAK=1` kills many more times; `OPENPNS_SOAK_SEED` chooses other writes and moments.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter

import pytest
from tests.processes import KEY_OF, MASTER_KEY, Process, Start, fill
from tests.promises.conftest import Cluster
from tests.promises.traffic import (
    SEED,
    Writer,
    connect,
    rounds,
    running,
    send,
    shown_groups,
    wait_until,
)

from openpns.api.registry import CHECKS
from openpns.core import audit
from openpns.core.audit import Entry, Filter
from openpns.core.verify import verify
from openpns.storage import connect as storage

WRITERS = 4


def kill_all(server: Process, workers: int = 2) -> None:
    """Kill all processes of a server at once, as a power cut does."""
    pids = server.workers(workers)
    server.process.send_signal(signal.SIGKILL)
    for worker in pids:
        os.kill(worker, signal.SIGKILL)
    server.wait()


async def assert_sound(url: str) -> list[Entry]:
    """Check that all rows of a database agree; return the audit entries of requests."""
    store = await storage.open_store(url, timeout_ms=60_000)
    wrong: list[str] = []
    await verify(store, CHECKS, wrong.append)
    slices = [slice_ async for slice_ in audit.find(store, Filter(access_key=KEY_OF["cus_1"][0]))]
    await store.close()
    assert wrong == []
    return [entry for slice_ in slices for entry in slice_ if entry.request_id is not None]


def check(writers: list[Writer], server: Process, url: str) -> None:
    shown = shown_groups(server)
    for writer in writers:
        writer.check(shown)
    entries = asyncio.run(assert_sound(url))
    # Each acknowledged write has one entry, and what was not done has none: the entries of a group
    # add up to its phones, unless it is older than the trail.
    acknowledged = {request_id for writer in writers for request_id in writer.acknowledged}
    assert acknowledged <= {entry.request_id for entry in entries}
    assert len({entry.request_id for entry in entries}) == len(entries)
    in_doubt = sum(writer.lost for writer in writers)
    in_doubt += sum(writer.codes[19006] for writer in writers)
    assert len(entries) <= len(acknowledged) + in_doubt
    counts: Counter[str | None] = Counter()
    created = {entry.subject for entry in entries if entry.action == "createGroup"}
    for entry in entries:
        counts[entry.subject] += entry.details.get("added", 0) - entry.details.get("removed", 0)
    held = {group_id: phones.count(",") + bool(phones) for group_id, phones in shown.values()}
    assert {group_id: counts[group_id] for group_id in created if counts[group_id]} == {
        group_id: count for group_id, count in held.items() if count and group_id in created
    }


def test_killed_server_keeps_what_it_acknowledged(serve: Start, served_url: str) -> None:
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
def test_server_survives_a_killed_postgresql_and_keeps_what_it_acknowledged(
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
            wait_until(lambda: _code(server) == 19004, "it is answered with 19004")
            refused += 1
            cluster.start()
            wait_until(lambda: _code(server) == 0, "it is answered with 0 again")
        check(writers, server, cluster_url)
    assert refused > 0
    codes = {code for writer in writers for code in writer.codes}
    assert 0 in codes
    assert codes <= {0, 19004, 19006}
    assert server.workers(2) == workers
    assert server.stop() == 0


def _code(server: Process) -> int:
    """Return the code that the request of a new client gets."""
    connection = connect(server.port)
    try:
        code: int = send(connection, "listGroup", {"limit": 1, "offset": 0})["code"]
        return code
    finally:
        connection.close()
