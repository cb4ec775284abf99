"""Overload: bounds on requests in flight, rates of keys, and bad requests that cost little.

No quick form asserts a time. The long form of the flood does: see "A flood" in
bench/results/README.md.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests import direct
from tests.api.conftest import Server
from tests.processes import Process, Start, signed
from tests.promises.traffic import IS_SOAK, connect, shown_groups
from tests.server import conftest as parts

from openpns.accounts import access_keys, customers
from openpns.accounts.access_keys import NewSecret
from openpns.storage.store import Params, Row, Store

ROOT = Path(__file__).parents[2]
secret_box, key, log, server = parts.secret_box, parts.key, parts.log, parts.server

CREATE = {"phones": "85211111114"}
FLOOD_CONNECTIONS = 32
FLOOD_S = 10.0 if IS_SOAK else 1.0
RATE = 100
P99_FACTOR = 20
"""How much longer a request of another key may take in a flood; docs/promises.md states it."""


# -- too many requests in flight --------------------------------------------------------------


def _create(server: Process, name: str, codes: list[int]) -> None:
    """Create a group; try again until the server has room for the request."""
    connection = connect(server.port)
    while True:
        body = CREATE | {"groupName": name}
        code = server.call("createGroup", body, connection=connection)["code"]
        if code != 19004:
            break
        time.sleep(0.01)
    codes.append(code)
    connection.close()


async def test_server_refuses_requests_over_the_bound_while_others_wait(
    serve: Start, served_url: str
) -> None:
    server = serve("--requests-in-flight-max", "2", "--storage-timeout-ms", "60000")
    codes: list[int] = []
    waiting = [threading.Thread(target=_create, args=(server, name, codes)) for name in "ab"]
    lock = "UPDATE customer_state SET groups_revision = groups_revision WHERE customer_id = 'cus_1'"
    async with direct.holding(served_url, lock):
        for thread in waiting:
            thread.start()
        page = {"limit": 1, "offset": 0}
        for _ in range(600):  # until both are in flight
            if server.call("listGroup", page, "cus_2")["code"] == 19004:
                break
            await asyncio.sleep(0.01)
        text = json.dumps(page).encode()
        for _ in range(20):  # each gets a response, although the others still wait
            connection = connect(server.port)
            connection.request("POST", "/api/pns/", text, signed("cus_2", "listGroup", text))
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert json.loads(answer.read())["code"] == 19004
            connection.close()
        assert codes == []
    for thread in waiting:
        await asyncio.to_thread(thread.join)
    assert codes == [0, 0]
    assert server.call("listGroup", page, "cus_2")["code"] == 0
    assert len(shown_groups(server)) == 2


def test_server_under_load_carries_out_or_refuses_each_request(serve: Start) -> None:
    server = serve("--requests-in-flight-max", "2")
    codes: Counter[int] = Counter()

    def write() -> None:
        connection = connect(server.port)
        for _ in range(10):
            # Many of them have the same bytes; each is a request of its own.
            codes[server.call("createGroup", CREATE, connection=connection)["code"]] += 1
        connection.close()

    writers = [threading.Thread(target=write) for _ in range(20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert codes.total() == 200
    assert set(codes) <= {0, 19004}
    assert len(shown_groups(server)) == codes[0] > 0
    assert server.call("createGroup", CREATE)["code"] == 0


# -- bad requests -----------------------------------------------------------------------------


class CountingStore:
    """A store that records every statement that it runs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.ran: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.ran.append(name)
        return getattr(self._store, name)

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:
        self.ran.append(name)
        return await self._store.fetch(name, params)

    async def get_cached(self, name: str, value: str, since_s: float) -> Row | None:
        self.ran.append(name)
        return await self._store.get_cached(name, value, since_s)


async def test_bad_requests_cost_one_read_of_the_key(server: Server) -> None:
    store = server.services.store
    counting = CountingStore(store)
    made = {
        kind: await access_keys.create(
            store, server.secret_box, server.clock, "cus_1", sha256_only=kind == "strict"
        )
        for kind in ("disabled", "strict")
    }
    await access_keys.disable(store, made["disabled"].access_key, server.clock())
    server.make_api(replace(server.services, store=counting))  # type: ignore[arg-type]
    right = dict(server.headers())
    bad = {
        1003: [{"sign": "0" * 32}, dict(server.headers(key=made["strict"]))],
        1004: [dict(server.headers(ts=server.clock() - 60_001))],
        1005: [
            dict(server.headers(key=NewSecret("no-such-key", "no-such-secret", ""))),
            dict(server.headers(key=made["disabled"])),
        ],
    }
    for code, requests in bad.items():
        for changed in requests:
            assert await server.code(headers=[*(right | changed).items()]) == code
            assert counting.ran == ["key_find"]
            counting.ran.clear()
    await customers.disable(store, "cus_1", server.clock())
    assert await server.code() == 1005
    assert counting.ran == ["key_find"]
    counting.ran.clear()
    assert await server.code(headers=[*(right | {"sign": ""}).items()]) == 1001
    assert counting.ran == []
    await customers.disable(store, "cus_1", None)
    assert await server.code("createGroup", b'{"phones":"85211111114"}') == 0
    assert counting.ran == ["key_find", "write"]
