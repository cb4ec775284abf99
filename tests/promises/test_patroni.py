"""A PostgreSQL that Patroni fails over by itself: nothing is lost, and nobody has to do anything.

The nodes run samples/patroni.yml; the commands are those of docs/scaling.md.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator

import asyncpg
import pytest
from tests.patroni import Node, Patroni, needs_patroni
from tests.processes import Process, Start, fill
from tests.promises.conftest import stop_and_list
from tests.promises.test_durable import assert_sound
from tests.promises.traffic import SEED, Writer, code, running, shown_groups, wait_until

PAUSE_S = 0.01
"""Between two writes of a writer: the nodes' own processes need a part of the machine, too."""

pytestmark = needs_patroni


@pytest.fixture
def patroni() -> Iterator[Patroni]:
    made = Patroni()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def url(patroni: Patroni) -> str:
    """The URL that names both nodes, of a database with two customers."""

    async def create() -> None:
        connection = await asyncpg.connect(patroni.pair()[0].url)
        await connection.execute("CREATE ROLE openpns LOGIN PASSWORD 'PASSWORD'")
        await connection.execute("CREATE DATABASE openpns OWNER openpns")
        await connection.close()

    asyncio.run(create())
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in patroni.nodes)
    url = f"postgresql://openpns:PASSWORD@{hosts}/openpns?target_session_attrs=read-write"
    asyncio.run(fill(url))
    return url


def lose(node: Node) -> None:
    """Kill Patroni, and all processes of its PostgreSQL at once, as if the machine were lost."""
    node.kill_patroni()
    for pid in asyncio.run(stop_and_list(node)):
        with contextlib.suppress(ProcessLookupError):  # that of the query itself
            os.kill(pid, signal.SIGKILL)


def is_written(server: Process) -> bool:
    """Return whether a write succeeds, of a group with a name of its own."""
    name = f"probe-{time.monotonic_ns()}"
    return code(server, "createGroup", groupName=name, phones="85211111111") == 0


def check(writers: list[Writer], server: Process, url: str) -> None:
    """Everything acknowledged is there, and writes succeed again."""
    wait_until(lambda: is_written(server), "written with 0 again")
    shown = shown_groups(server)
    for writer in writers:
        writer.check(shown)
    acknowledged = sum(writer.codes[0] for writer in writers)
    with running(writers, server.port, PAUSE_S):
        time.sleep(0.3)
    shown = shown_groups(server)
    for writer in writers:
        writer.check(shown)
    assert sum(writer.codes[0] for writer in writers) > acknowledged
    asyncio.run(assert_sound(url))


def test_a_lost_leader_and_a_switchover_lose_no_acknowledged_write(
    patroni: Patroni, url: str, start: Start
) -> None:
    server = start("serve", "--database", url, "--port", "0", "--storage-timeout-ms", "1000")
    workers = server.workers(1)
    writers = [Writer(f"w{name}", SEED) for name in range(4)]
    first, second = patroni.pair()
    with running(writers, server.port, PAUSE_S):
        time.sleep(0.5)
        lose(first)
        second.wait_for("leader")
    check(writers, server, url)

    # The lost node comes back, gives up what it alone had, and follows.
    first.start()
    assert patroni.pair() == (second, first)
    with running(writers, server.port, PAUSE_S):
        time.sleep(0.3)
        patroni.control("switchover", "--force", "--candidate", first.name)
        first.wait_for("leader")
    check(writers, server, url)

    assert {code for writer in writers for code in writer.codes} <= {0, 19004, 19006}
    assert [writer.lost for writer in writers] == [0] * len(writers)
    assert server.workers(1) == workers
