"""The rows of the contract: the API in process on both engines, a real server, the emulator."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from tests.contract.given import (
    CONTRACTS,
    Contract,
    FaultyStore,
    FixedClock,
    FixedIds,
    Row,
    fill,
    fill_deliveries,
)
from tests.databases import serving_url
from tests.direct import Snapshot
from tests.helpers import as_request, body_of

from openpns.accounts.master_key import open_secret_box
from openpns.api.counters import Counters
from openpns.api.pipeline import Api
from openpns.api.request_log import RequestLog
from openpns.core.context import Services
from openpns.core.logs import logger
from openpns.errors import WIRE_ERRORS
from openpns.protocol.signing import sign
from openpns.storage import connect
from openpns.storage.store import Store
from openpns.testing import Emulator

ROOT = Path(__file__).parents[2]
SEED = ROOT / "contract" / "seed.json"
MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ROWS = [row for contract in CONTRACTS.values() for row in contract.rows]


@pytest.fixture(params=CONTRACTS)
def contract(request: pytest.FixtureRequest) -> Contract:
    return CONTRACTS[request.param]


def test_contract_has_a_row_for_every_code() -> None:
    shown = {json.loads(row["answer"])["code"] for row in ROWS}
    # The servers of these rows have no rate limit, so that 19003 is impossible.
    assert shown == {0, *WIRE_ERRORS} - {19003}


def test_contract_row_names_are_unique() -> None:
    assert len({row["name"] for row in ROWS}) == len(ROWS)


def test_contract_answers_the_vendor_example_as_its_page_does() -> None:
    page = json.loads(SEED.read_text("utf-8"))
    row = CONTRACTS["groups"].rows[0]
    assert json.loads(row["body"]) == page["body"]
    # Through lists of pairs, so that the order of the fields counts.
    ours, theirs = (
        json.loads(text, object_pairs_hook=list)
        for text in (row["answer"], json.dumps(page["answer"]))
    )
    assert ours == theirs


async def test_api_answers_every_row(
    contract: Contract, store: Store, database_url: str, tmp_path: Path
) -> None:
    start = await Start.make(contract, store, database_url, tmp_path)
    serving = await connect.open_store(serving_url(database_url))
    secret_box = await open_secret_box(serving, database_url, MASTER_KEY)
    services = Services(
        FaultyStore(serving, start.fault),  # type: ignore[arg-type]
        start.ids,
        start.clock,
        **contract.settings,
    )
    for row in contract.rows:
        await start.reset()
        services.call_traces.clear()  # all questions have the same callId
        request_log = RequestLog(Counters(), logger())
        api = Api(services, secret_box, request_log)
        body_bytes_max = contract.settings["body_bytes_max"]
        for request in _requests(row):
            start.prepare(request)
            got = await _handle(api, request, body_bytes_max)
            assert (row["name"], *got) == _expected(row, request)
        request = _list_bindings(contract, row)
        start.prepare(request)
        _, bindings = await _handle(api, request, body_bytes_max)
        _check_left(contract, row, await _groups(contract, store), bindings)
    await start.close()
    await serving.close()


async def test_server_answers_every_row(server: "FixedServer") -> None:
    store = await connect.open_store(server.url)
    start = await Start.make(server.contract, store, server.url, server.folder)
    try:
        for row in server.contract.rows:
            await start.reset()
            for request in _requests(row):
                start.prepare(request)
                assert (row["name"], *server.send(request)) == _expected(row, request)
            request = _list_bindings(server.contract, row)
            start.prepare(request)
            _, bindings = server.send(request)
            _check_left(server.contract, row, await _groups(server.contract, store), bindings)
    finally:
        await start.close()
        await store.close()


def test_emulator_answers_every_row(contract: Contract, tmp_path: Path) -> None:
    customers = contract.given["customers"]
    apart = ("webhook", "deliveries")
    state = {
        "customers": [
            {name: value for name, value in customer.items() if name not in apart}
            for customer in customers
        ]
    }
    ids = FixedIds(contract, tmp_path)
    with Emulator(state=state, ids=ids, **contract.settings) as pns:
        address = ("127.0.0.1", int(pns.base_url.rpartition(":")[2]))
        for row in contract.rows:
            pns.reset()
            for customer in customers:
                service = pns._service
                pns._run(fill_deliveries(service._store, service._secret_box, customer))
            ids.reset()
            pns.clock.freeze()
            for request in _requests(row):
                pns.clock.set(contract.now_ms(request))
                if "fault" in request:
                    error = FaultyStore.faults[request["fault"]]
                    pns.faults.error(error.code, error.detail)
                assert (row["name"], *_send(address, request)) == _expected(row, request)
            groups = {group.group_id: ",".join(group.phones) for group in pns.groups("cus_1")}
            _, bindings = _send(address, _list_bindings(contract, row))
            _check_left(contract, row, groups, bindings)


class FixedServer:
    """A server process with fixed time and ids on an SQLite database."""

    def __init__(self, contract: Contract, folder: Path) -> None:
        self.contract = contract
        self.url = f"sqlite:///{folder / 'contract.db'}"
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        settings = {"database": self.url, "log_level": "error"} | contract.settings
        environ = {f"OPENPNS_{name.upper()}": str(value) for name, value in settings.items()}
        arguments = (contract.name, str(self.port), str(folder))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.fixed_server", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            env=os.environ | environ | {"OPENPNS_MASTER_KEY": MASTER_KEY},
        )

    def send(self, request: Row) -> tuple[int, str]:
        for _ in range(200):
            try:
                return _send(("127.0.0.1", self.port), request)
            except ConnectionRefusedError:
                assert self.process.poll() is None, "the server has exited"
                time.sleep(0.05)
        raise AssertionError("the server does not listen")

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0


def _send(address: tuple[str, int], request: Row) -> tuple[int, str]:
    """Send a request byte for byte; return the status and the body of the response."""
    body = request["body"].encode()
    lines = [f"{request['method']} {request['path']} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in request["headers"]]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode() + body)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.read().decode()


@pytest.fixture
async def _migrated(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'contract.db'}"
    store = await connect.open_store(url, create=True)
    await connect.migrate(store, url)
    await store.close()


@pytest.fixture
def server(_migrated: None, contract: Contract, tmp_path: Path) -> Iterator[FixedServer]:
    running = FixedServer(contract, tmp_path)
    yield running
    running.stop()


class Start:
    """Puts a database into the state that every row starts from.

    Args:
        folder: For the files that name a fault and the time and count the ids.
    """

    def __init__(self, contract: Contract, folder: Path, first: Snapshot) -> None:
        self._contract = contract
        self._first = first
        self.fault = folder / "fault"
        self.clock = FixedClock(contract, folder)
        self.ids = FixedIds(contract, folder)

    @classmethod
    async def make(cls, contract: Contract, store: Store, url: str, folder: Path) -> Self:
        """Insert what every row starts from, and keep it."""
        clock, ids = FixedClock(contract, folder), FixedIds(contract, folder)
        await fill(contract, store, url, ids, clock, MASTER_KEY)
        return cls(contract, folder, await Snapshot.take(url))

    async def reset(self) -> None:
        self.fault.unlink(missing_ok=True)
        self.clock.set(self._contract.given["nowMs"])
        await self._first.restore()
        self.ids.reset()

    async def close(self) -> None:
        await self._first.close()

    def prepare(self, request: Row) -> None:
        """Set the time and the fault of a request."""
        self.clock.set(self._contract.now_ms(request))
        self.fault.unlink(missing_ok=True)
        if "fault" in request:
            self.fault.write_text(request["fault"])


def _requests(row: Row) -> list[Row]:
    """Return the requests that come before, and the row's own."""
    return [*row.get("before", []), row]


def _list_bindings(contract: Contract, row: Row) -> Row:
    """Return the request that shows what a row has left of the first customer's bindings."""
    key = contract.given["customers"][0]["accessKeys"][0]
    names = ("accessKey", "action", "bizType", "ts")
    values = (key["accessKey"], "getAXBList", "5", str(contract.now_ms(row)))
    body = '{"limit":0,"offset":0}'
    signature = sign(*values, body.encode(), key["accessSecret"])
    headers = [*zip(names, values, strict=True), ("sign", signature)]
    shown = {"method": "POST", "path": "/api/pns/", "headers": headers, "body": body}
    return shown | {"nowMs": contract.now_ms(row)}


async def _handle(api: Api, request: Row, body_bytes_max: int) -> tuple[int, str]:
    body = request["body"].encode()
    headers = [("host", "localhost")]
    headers += [(name.lower(), value) for name, value in request["headers"]]
    sent = as_request(
        headers,
        body,
        method=request["method"],
        path=request["path"],
        body_bytes_max=body_bytes_max,
    )
    reply = await api.respond(sent)
    return reply.status, body_of(reply).decode()


def _expected(row: Row, request: Row) -> tuple[str, int, str]:
    return row["name"], request["status"], request["answer"]


def _check_left(contract: Contract, row: Row, groups: dict[str, str], bindings: str) -> None:
    """Check that a write did what the row says, and any other request nothing.

    Args:
        groups: The phones of each group of the first customer.
        bindings: The response to the request of `_list_bindings`.
    """
    customer = contract.given["customers"][0]
    untouched = {group["groupId"]: group["phones"] for group in customer["groups"]}
    assert (row["name"], groups) == (row["name"], row.get("then", untouched))
    live = [binding["bindId"] for binding in json.loads(bindings)["data"]["bindList"]]
    assert (row["name"], live) == (row["name"], row.get("live", []))


async def _groups(contract: Contract, store: Store) -> dict[str, str]:
    customer_id = contract.given["customers"][0]["customerId"]
    rows = await store.fetch("group_export", {"customer_id": customer_id})
    return {group_id: phones for group_id, _, phones, _ in rows}
