"""PgBouncer between the servers and PostgreSQL loses nothing and mixes nothing up."""

import contextlib
import re
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.conftest import CITUS
from tests.databases import SERVING_ROLE, create_serving_role
from tests.pgbouncer import PgBouncer, needs_pgbouncer
from tests.processes import Process, Start, fill, run_openpns
from tests.promises.traffic import SEED, Writer, code, running, shown_groups, wait_until

THREADS = 6
ROUNDS = 12
PHONES = [str(85_200_000_000 + number) for number in range(600)]
"""Of a group whose pages are read in slices."""

pytestmark = needs_pgbouncer


@pytest.fixture(params=["session", "transaction"])
async def pooler(request: pytest.FixtureRequest, postgres_url: str) -> AsyncIterator[PgBouncer]:
    """PgBouncer with few sessions, so that clients share them; a database with two customers.

    Everything goes through it, the migrations included.
    """
    await create_serving_role(postgres_url)
    size = "40" if request.param == "session" else "4"
    running = PgBouncer(postgres_url, request.param, default_pool_size=size)
    try:
        await fill(running.url)
        migrate = ["migrate", "--database", running.url, "--serving-role", SERVING_ROLE]
        done = run_openpns(*migrate, *(["--distribute"] if CITUS else []))
        assert (done.returncode, done.stderr) == (0, "")
        yield running
    finally:
        running.stop()


def test_servers_behind_pgbouncer_answer_rightly_and_outlive_it(
    pooler: PgBouncer, start: Start
) -> None:
    url = re.sub("//[^:]*:", f"//{SERVING_ROLE}:", pooler.url)
    server = start("serve", "--database", url, "--port", "0", "--workers", "2")
    with ThreadPoolExecutor(THREADS) as threads:
        customers = ["cus_1", "cus_2"] * (THREADS // 2)
        assert [*threads.map(lambda customer: work(server, customer), customers)] == [0] * THREADS
    for customer in ("cus_1", "cus_2"):
        listed = server.call("listGroup", {"limit": 1000, "offset": 0}, customer)
        assert int(listed["data"]["total"]) == THREADS // 2 * ROUNDS

    workers = server.workers(2)
    writers = [Writer(f"w{name}", SEED) for name in range(4)]
    with running(writers, server.port):
        time.sleep(0.3)
        pooler.kill()
        wait_until(lambda: code(server) == 19004, "answered with 19004")
        pooler.start()
        wait_until(lambda: code(server) == 0, "answered with 0 again")
    shown = shown_groups(server)
    for writer in writers:
        writer.check(shown)
    with running(writers, server.port):
        time.sleep(0.2)
    assert {code for writer in writers for code in writer.codes} <= {0, 19004, 19006}
    assert [writer.lost for writer in writers] == [0] * len(writers)
    assert server.workers(2) == workers

    assert server.stop() == 0
    for command in ("verify", "audit"):
        done = run_openpns(command, "--database", pooler.url)
        assert (done.returncode, done.stderr) == (0, "")


def work(server: Process, customer: str) -> int:
    """Create, change and read groups; return how many responses are wrong."""
    wrong = 0
    with contextlib.closing(server.connect()) as connection:

        def call(action: str, **body: object) -> Any:
            answer = server.call(action, body, customer, connection)
            assert answer["code"] == 0, answer
            return answer.get("data", answer)

        for number in range(ROUNDS):
            name, phones = f"{threading.get_ident()} {number}", ",".join(PHONES[number:])
            group = call("createGroup", phones=phones, groupName=name)["groupId"]
            call("updateGroup", groupId=group, remark=name)
            got = call("getGroup", groupId=group)
            wrong += (got["groupName"], got["remark"]) != (name, name)
            page = call("listGroup", limit=500, offset=0)
            wrong += group not in {one["groupId"] for one in page["groups"]}
            page = call("listGroupPhones", groupId=group, limit=600, offset=0)
            wrong += page["phones"] != phones
    return wrong
