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
from typing import Any

import pytest
from tests.contract.given import (
    GIVEN,
    ROWS,
    SETTINGS,
    FaultyStore,
    FixedIds,
    clock,
    fill,
)
from tests.databases import serving_url
from tests.direct import empty
from tests.helpers import as_request, body_of

from openpns.accounts.master_key import open_secret_box
from openpns.api.counters import Counters
from openpns.api.pipeline import Api
from openpns.api.request_log import RequestLog
from openpns.core.context import Services
from openpns.core.logs import logger
from openpns.errors import WIRE_ERRORS
from openpns.storage import connect
from openpns.storage.store import Store
from openpns.testing import Emulator
from openpns.transport.messages import Reply

ROOT = Path(__file__).parents[2]
SEED = ROOT / "contract" / "seed.json"
MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_contract_has_a_row_for_every_code() -> None:
    shown = {json.loads(row["answer"])["code"] for row in ROWS}
    # The servers of these rows have no rate limit, so that 19003 is impossible.
    assert shown == {0, *WIRE_ERRORS} - {19003}


def test_contract_row_names_are_unique() -> None:
    assert len({row["name"] for row in ROWS}) == len(ROWS)


def test_contract_answers_the_vendor_example_as_its_page_does() -> None:
    page = json.loads(SEED.read_text("utf-8"))
    row = ROWS[0]
    assert json.loads(row["body"]) == page["body"]
    # Through lists of pairs, so that the order of the fields counts.
    ours, theirs = (
        json.loads(text, object_pairs_hook=list)
        for text in (row["answer"], json.dumps(page["answer"]))
    )
    assert ours == theirs


async def test_api_answers_every_row(store: Store, database_url: str, tmp_path: Path) -> None:
    start = Start(store, database_url, tmp_path)
    serving = await connect.open_store(serving_url(database_url))
    secret_box = await open_secret_box(serving, database_url, MASTER_KEY)
    services = Services(
        FaultyStore(serving, start.fault),  # type: ignore[arg-type]
        start.ids,
        clock,
        **SETTINGS,
    )
    for row in ROWS:
        await start.reset(row)
        request_log = RequestLog(Counters(), logger())
        api = Api(services, secret_box, request_log)
        for request in _requests(row):
            reply = await _handle(api, request)
            got = (row["name"], reply.status, body_of(reply).decode())
            assert got == _expected(row, request)
        await _check_left(store, row)
    await serving.close()


async def test_server_answers_every_row(server: "FixedServer") -> None:
    store = await connect.open_store(server.url)
    start = Start(store, server.url, server.folder)
    try:
        for row in ROWS:
            await start.reset(row)
            for request in _requests(row):
                assert (row["name"], *server.send(request)) == _expected(row, request)
            await _check_left(store, row)
    finally:
        await store.close()


def test_emulator_answers_every_row(tmp_path: Path) -> None:
    customer = GIVEN["customers"][0]
    untouched = {group["groupId"]: group["phones"] for group in customer["groups"]}
    state = {"customers": GIVEN["customers"]}
    ids = FixedIds(tmp_path)
    with Emulator(state=state, ids=ids, **SETTINGS) as pns:
        port = int(pns.base_url.rpartition(":")[2])
        for row in ROWS:
            pns.reset()
            ids.reset()
            pns.clock.freeze()
            pns.clock.set(GIVEN["nowMs"])
            if "fault" in row:
                error = FaultyStore.faults[row["fault"]]
                pns.faults.error(error.code, error.detail)
            for request in _requests(row):
                with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                    assert (row["name"], *_send(connection, request)) == _expected(row, request)
            left = {group.group_id: ",".join(group.phones) for group in pns.groups("cus_1")}
            assert (row["name"], left) == (row["name"], row.get("then", untouched))


class FixedServer:
    """A server process with fixed time and ids on an SQLite database."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'contract.db'}"
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        settings = {"database": self.url, "log_level": "error"} | SETTINGS
        environ = {f"OPENPNS_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.fixed_server", str(self.port), str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            env=os.environ | environ | {"OPENPNS_MASTER_KEY": MASTER_KEY},
        )

    def send(self, request: dict[str, Any]) -> tuple[int, str]:
        with self._connect() as connection:
            return _send(connection, request)

    def _connect(self) -> socket.socket:
        for _ in range(200):
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=10)
            except ConnectionRefusedError:
                assert self.process.poll() is None, "the server has exited"
                time.sleep(0.05)
        raise AssertionError("the server does not listen")

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0


def _send(connection: socket.socket, request: dict[str, Any]) -> tuple[int, str]:
    """Send a request byte for byte; return the status and the body of the response."""
    body = request["body"].encode()
    lines = [f"{request['method']} {request['path']} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in request["headers"]]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
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
def server(_migrated: None, tmp_path: Path) -> Iterator[FixedServer]:
    running = FixedServer(tmp_path)
    yield running
    running.stop()


class Start:
    """Puts a database into the state that every row starts from.

    Args:
        folder: For the files that name a fault and count the group ids.
    """

    def __init__(self, store: Store, url: str, folder: Path) -> None:
        self._store = store
        self._url = url
        self.fault = folder / "fault"
        self.ids = FixedIds(folder)

    async def reset(self, row: dict[str, Any]) -> None:
        self.fault.unlink(missing_ok=True)
        await empty(self._url)
        await fill(self._store, self._url, self.ids, MASTER_KEY)
        self.ids.reset()
        if "fault" in row:
            self.fault.write_text(row["fault"])


def _requests(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the requests that come before, and the row's own."""
    return [*row.get("before", []), row]


async def _handle(api: Api, request: dict[str, Any]) -> Reply:
    body = request["body"].encode()
    headers = [("host", "localhost")]
    headers += [(name.lower(), value) for name, value in request["headers"]]
    sent = as_request(
        headers,
        body,
        method=request["method"],
        path=request["path"],
        body_bytes_max=SETTINGS["body_bytes_max"],
    )
    return await api.respond(sent)


def _expected(row: dict[str, Any], request: dict[str, Any]) -> tuple[str, int, str]:
    return row["name"], request["status"], request["answer"]


async def _check_left(store: Store, row: dict[str, Any]) -> None:
    """Check that a write did what the row says, and any other request nothing."""
    customer = GIVEN["customers"][0]
    untouched = {group["groupId"]: group["phones"] for group in customer["groups"]}
    rows = await store.fetch("group_export", {"customer_id": customer["customerId"]})
    left = {group_id: phones for group_id, _, phones, _ in rows}
    assert (row["name"], left) == (row["name"], row.get("then", untouched))
