"""Requests leave no reference cycles.

Those that have grown old are found only by a full garbage collection, which stops the event loop.
"""

import asyncio
import gc
import itertools
import json
from collections.abc import Iterator

import pytest
from bench.attacks import PHONES, REQUESTS, Requests
from tests.api.conftest import Server
from tests.helpers import as_request, envelope_of, read_chunks

from openpns.numbers import service as numbers
from openpns.transport.first_step import resumed

DID = "8613900000001"
AT_ONCE = 4
FAULTS = {"sign": ("sign", "0" * 32), "key": ("accesskey", "no-such-key"), "ts": ("ts", "1")}


@pytest.fixture
def _own_garbage() -> Iterator[None]:
    """Leave out what other tests have made, and collect nothing on the way."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("_own_garbage")
async def test_requests_of_every_kind_leave_no_reference_cycles(server: Server) -> None:
    await numbers.add(server.services.store, server.clock, "cus_1", [DID])
    created = await server.send("createGroup", b'{"phones":"8613800000001"}')
    group = envelope_of(created)["groupId"]
    counter = itertools.count(10_000)

    async def send(kind: Requests) -> None:
        text = json.dumps(kind.body).replace("{group}", group).replace("{did}", DID)
        body = text.replace("{n}", str(next(counter))).encode()
        headers = dict(server.headers(kind.action, body))
        if kind.fault:
            headers.update([FAULTS[kind.fault]])
        response = server.api.respond(as_request(headers.items(), body))
        try:  # as a connection does
            waits_for = response.send(None)
        except StopIteration as stop:
            reply = stop.value
        else:
            reply = await resumed(response, waits_for)
        if not isinstance(reply.body, tuple):
            await read_chunks(reply)

    left: dict[str, int] = {}
    for name, kind in REQUESTS.items():
        if kind.body.get("phones") == PHONES:
            continue  # takes long, and is refused no differently
        for _ in range(2):  # the first ones make what stays
            gc.collect()
            await asyncio.gather(*[send(kind) for _ in range(AT_ONCE)])
        left[name] = gc.collect()
    assert {name: count for name, count in left.items() if count} == {}
