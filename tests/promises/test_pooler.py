"""PgBouncer between the servers and PostgreSQL loses nothing and mixes nothing up."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.pgbouncer import needs_pgbouncer, pgbouncer
from tests.processes import Process, Start, fill, run_openpns

THREADS = 6
ROUNDS = 12
PHONES = [str(85_200_000_000 + number) for number in range(600)]
"""Of a group whose pages are read in slices."""

pytestmark = needs_pgbouncer


@pytest.fixture(params=["session", "transaction"])
async def pooled_url(request: pytest.FixtureRequest, postgres_url: str) -> str:
    """The URL, through PgBouncer, of a database with two customers."""
    await fill(postgres_url)
    url: str = request.getfixturevalue("pooler")(postgres_url, request.param)
    return url


@pytest.fixture
def pooler() -> Iterator[Callable[[str, str], str]]:
    """Starts PgBouncer with few sessions, so that clients share them."""
    with contextlib.ExitStack() as running:
        yield lambda url, mode: running.enter_context(
            pgbouncer(url, mode, default_pool_size="40" if mode == "session" else "4")
        )


def test_servers_behind_pgbouncer_answer_rightly(pooled_url: str, start: Start) -> None:
    server = start("serve", "--database", pooled_url, "--port", "0", "--workers", "2")
    with ThreadPoolExecutor(THREADS) as threads:
        customers = ["cus_1", "cus_2"] * (THREADS // 2)
        assert [*threads.map(lambda customer: work(server, customer), customers)] == [0] * THREADS
    for customer in ("cus_1", "cus_2"):
        listed = server.call("listGroup", {"limit": 1000, "offset": 0}, customer)
        assert int(listed["data"]["total"]) == THREADS // 2 * ROUNDS
    assert server.stop() == 0
    for command in ("verify", "audit", "migrate"):
        done = run_openpns(command, "--database", pooled_url)
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
