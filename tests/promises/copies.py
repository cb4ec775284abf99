"""Writes that are sent several times, to two nodes on one database.

A copy is a write with the same clientToken or nonce or, for a key that is set to unique-ts, with
the same bytes.
"""

import asyncio
import contextlib
import http.client
import itertools
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

from tests.direct import empty
from tests.processes import KEY_OF, MASTER_KEY, Process, fill
from tests.promises.test_durable import kill_all
from tests.promises.traffic import connect

from openpns.accounts import access_keys
from openpns.accounts.master_key import open_secret_box
from openpns.clock import now_ms
from openpns.protocol import signing
from openpns.protocol.headers import hmac_headers
from openpns.storage import connect as storage

AHEAD_MS = 50_000
"""How far a ts is ahead, so that it is accepted for nearly two minutes."""

PLAIN_KEY = KEY_OF["cus_1"]
UNIQUE_TS_KEY = ("unique-ts-key-of-cus-1", "unique-ts-secret-of-cus-1")

Shown = dict[str, tuple[str, str]]
"""Id and phones of each group, by its name."""

_token_numbers = iter(range(10**9))


class Request:
    """A signed request of cus_1: the same bytes whenever it is sent."""

    def __init__(
        self, action: str, ts: int, key: tuple[str, str] = PLAIN_KEY, **fields: Any
    ) -> None:
        access_key, secret = key
        self.body = json.dumps(fields).encode()
        self.headers = {
            "accessKey": access_key,
            "action": action,
            "bizType": "5",
            "ts": str(ts),
            "sign": signing.sign(access_key, action, "5", str(ts), self.body, secret),
        }

    def send(self, connection: http.client.HTTPConnection) -> "Answer":
        connection.request("POST", "/api/pns/", self.body, self.headers)
        response = connection.getresponse()
        return Answer(response, response.read())


class BytesWrite:
    """A write of the unique-ts key: a copy has the same bytes."""

    _last_ts = 0

    def __init__(self, action: str, **fields: Any) -> None:
        # The owner of the key promises that no two requests share a ts.
        BytesWrite._last_ts = max(now_ms() + AHEAD_MS, BytesWrite._last_ts + 1)
        self._request = Request(action, BytesWrite._last_ts, UNIQUE_TS_KEY, **fields)

    def send(self, connection: http.client.HTTPConnection) -> "Answer":
        return self._request.send(connection)


class TokenWrite:
    """A write with a clientToken: a copy has the same token, and its own ts and signature."""

    def __init__(self, action: str, **fields: Any) -> None:
        self._action = action
        self._fields = {"clientToken": f"token-{next(_token_numbers)}"} | fields

    def send(self, connection: http.client.HTTPConnection) -> "Answer":
        return Request(self._action, now_ms(), **self._fields).send(connection)


class NonceWrite:
    """A write with HMAC: a copy has the same nonce, and its own ts and signature."""

    def __init__(self, action: str, **fields: Any) -> None:
        self._action = action
        self._body = json.dumps(fields).encode()
        self._nonce = f"nonce-of-a-write-{next(_token_numbers)}"

    def send(self, connection: http.client.HTTPConnection) -> "Answer":
        key, secret = PLAIN_KEY
        sent = (key, self._action, now_ms(), self._nonce, self._body, secret)
        headers = hmac_headers(*sent, host="pns.test", path="/api/pns/")
        connection.request("POST", "/api/pns/", self._body, headers)
        response = connection.getresponse()
        return Answer(response, response.read())


Write: TypeAlias = BytesWrite | TokenWrite | NonceWrite
Kind: TypeAlias = type[BytesWrite] | type[TokenWrite] | type[NonceWrite]
KINDS: list[Kind] = [BytesWrite, TokenWrite, NonceWrite]


class Answer:
    """A response; equal to another one that differs in requestId and Date alone."""

    def __init__(self, response: http.client.HTTPResponse, content: bytes) -> None:
        self.envelope: dict[str, Any] = json.loads(content)
        request_id = self.envelope["requestId"]
        self.worker = int(request_id) >> 12 & 1023
        headers = {name.lower(): value for name, value in response.getheaders()}
        assert headers.pop("x-request-id") == request_id
        headers.pop("date", None)
        self.shown = response.status, headers, content.replace(request_id.encode(), b"")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answer) and self.shown == other.shown

    def __hash__(self) -> int:
        return hash(self.shown[2])

    def __repr__(self) -> str:
        return repr(self.shown)


class Nodes:
    """Two nodes on one database: one with two workers, the other with one.

    Tests share them: each begins with `reset`, and leaves them running.

    Args:
        url: A migrated database.
        folder: For the logs.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.servers: list[Process] = []
        self._folder = folder
        self._starts = itertools.count()

    def start(self) -> None:
        self.servers = [self._serve(count) for count in (2, 1)]
        for server in self.servers:
            server.wait_until_up()
        self.servers[0].workers(2)

    def _serve(self, workers: int) -> Process:
        log = self._folder / f"node-{next(self._starts)}.log"
        arguments = ["serve", "--database", self.url, "--port", "0", "--workers", str(workers)]
        environ = {"OPENPNS_MASTER_KEY": MASTER_KEY, "OPENPNS_PHONES_IN_GROUP_MAX": "3"}
        return Process(arguments, log, environ)

    def reset(self) -> None:
        """Leave only two customers without groups, and see that the nodes run."""
        asyncio.run(self._reset())
        if not self.servers or any(server.process.poll() is not None for server in self.servers):
            self.end()
            self.start()

    async def _reset(self) -> None:
        await empty(self.url)
        await fill(self.url)
        await add_unique_ts_key(self.url)

    def end(self) -> None:
        """Stop what runs, also if a test has left only a part of it."""
        for server in self.servers:
            if server.process.poll() is None:
                server.stop()
        self.servers = []

    def kill(self) -> None:
        kill_all(self.servers[0])
        kill_all(self.servers[1], workers=1)

    def stop(self) -> None:
        assert [server.stop(signal.SIGTERM) for server in self.servers] == [0, 0]

    def shown(self) -> Shown:
        """Return all groups: the same on both nodes, and no two with one name."""
        page, same = (
            server.call("listGroup", {"limit": 0, "offset": 0})["data"] for server in self.servers
        )
        assert page == same
        shown = {
            group["groupName"]: (group["groupId"], group["phones"]) for group in page["groups"]
        }
        assert len(shown) == page["total"]
        return shown

    @contextlib.contextmanager
    def every_worker(self) -> Iterator[list[http.client.HTTPConnection]]:
        """Open a connection to each worker."""
        found: dict[int, http.client.HTTPConnection] = {}
        opened = []
        # All stay open until each worker has one, so that the next one goes to another worker.
        for number in range(400):
            connection = connect(self.servers[number % 2].port)
            opened.append(connection)
            request = Request("listGroup", now_ms(), limit=1, offset=0)
            worker = request.send(connection).worker
            found.setdefault(worker, connection)
            if len(found) == 3:
                break
        assert len(found) == 3, "a worker accepts no connections"
        yield [*found.values()]
        for connection in opened:
            connection.close()

    def send_at_once(self, writes: Sequence[Write | Request]) -> list[Answer]:
        """Send each write on its own connection, every other one to the other node."""
        barrier = threading.Barrier(len(writes))

        def send(number: int) -> Answer:
            connection = connect(self.servers[number % 2].port)
            connection.connect()
            barrier.wait()
            try:
                return writes[number].send(connection)
            finally:
                connection.close()

        with ThreadPoolExecutor(len(writes)) as pool:
            return list(pool.map(send, range(len(writes))))


async def add_unique_ts_key(url: str) -> None:
    store = await storage.open_store(url)
    try:
        secret_box = await open_secret_box(store, url, MASTER_KEY)
        access_key, secret = UNIQUE_TS_KEY
        await access_keys.create(
            store, secret_box, now_ms, "cus_1",
            access_key=access_key, access_secret=secret, unique_ts=True,
        )  # fmt: skip
    finally:
        await store.close()


def create(kind: Kind, name: str, *numbers: int, **fields: Any) -> Write:
    return kind("createGroup", groupName=name, phones=joined(*numbers), **fields)


def update(kind: Kind, group_id: str, operate: int, *numbers: int, **fields: Any) -> Write:
    phones = joined(*numbers)
    return kind("updateGroup", groupId=group_id, operateType=operate, phones=phones, **fields)


def delete(kind: Kind, group_id: str, **fields: Any) -> Write:
    return kind("deleteGroup", groupId=group_id, **fields)


def joined(*numbers: int) -> str:
    return ",".join(f"8521111{number:04}" for number in numbers)


def done(answer: Answer) -> str:
    """Check that a write was carried out; return the id of the group that it created."""
    assert answer.envelope["code"] == 0, answer
    return str(answer.envelope.get("groupId"))
