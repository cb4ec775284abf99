"""Clients whose requests to real servers are recorded as a history."""

import json
import socket
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Any

from tests.helpers import signed_headers
from tests.processes import Process
from tests.simulation.history import Operation
from tests.simulation.model import (
    NOT_PERMITTED,
    SIGNATURE_WRONG,
    Access,
    Create,
    Delete,
    NotFound,
    Page,
    Signed,
    Update,
    find_violation,
)

from openpns.accounts.access_keys import NewSecret
from openpns.clock import now_ms
from openpns.groups.wire import DELETE

GROUP_NOT_FOUND = 19001
_ANY_PAGE = {"limit": 1, "offset": 0}


@dataclass
class Key:
    """An access key, and every secret that it has had."""

    customer: str
    name: str
    secrets: list[str]

    def sign(self, action: str, body: bytes, secret: int) -> dict[str, str]:
        used = NewSecret(self.name, self.secrets[secret], self.customer)
        return dict(signed_headers(used, action, body, now_ms()))


@dataclass
class Record:
    """What every client did, by customer and by access key; threads may add to it."""

    groups: dict[str, list[Operation]] = field(default_factory=lambda: defaultdict(list))
    access: dict[str, list[Operation]] = field(default_factory=lambda: defaultdict(list))
    workers: set[int] = field(default_factory=set)

    def find_violations(self) -> list[str]:
        """Return what is wrong with each object whose history is impossible."""
        checked: list[tuple[str, list[Operation], Any]] = [
            *((name, operations, ()) for name, operations in self.groups.items()),
            *((name, operations, Access()) for name, operations in self.access.items()),
        ]
        found = [(name, find_violation(*history)) for name, *history in checked]
        return [f"{name}: {why}" for name, why in found if why is not None]


class Connection:
    """A connection that is kept open, to one worker.

    It implements HTTP itself: the less time a request takes here, the closer its times are to those
    of the server, and the smaller the staleness that a history shows.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = self._socket.makefile("rb")
        self.worker = -1
        """The worker number in the last answer's requestId."""
        self._start = 0
        self.times = (0, 0)
        """When the last request began and ended, in ns."""

    def exchange(
        self, key: Key, action: str, body: dict[str, Any], secret: int = -1
    ) -> dict[str, Any]:
        """Send a request, signed with the newest secret or another; return the envelope."""
        self.send(new_request(key, action, body, secret))
        return self.receive()

    def send(self, request: bytes) -> None:
        self._start = monotonic_ns()
        self._socket.sendall(request)

    def receive(self) -> dict[str, Any]:
        """Wait for the response to the request that was sent."""
        self._received.peek(1)
        first_byte = monotonic_ns()
        size = self._read_head()
        content = self._received.read(size) if size is not None else self._read_chunks()
        # A response of known length was complete before its first byte; another one was not.
        self.times = self._start, first_byte if size is not None else monotonic_ns()
        answer: dict[str, Any] = json.loads(content)
        self.worker = int(answer["requestId"]) >> 12 & 1023
        return answer

    def code(self, key: Key, secret: int = -1) -> int:
        """List a page and return the code."""
        return int(self.exchange(key, "listGroup", _ANY_PAGE, secret)["code"])

    def close(self) -> None:
        self._received.close()
        self._socket.close()

    def _read_head(self) -> int | None:
        """Read up to the body; return its length, or None if it comes in chunks."""
        size = None
        while (line := self._received.readline()) != b"\r\n":
            assert line, "the server closed the connection"
            name, _, value = line.lower().partition(b":")
            if name == b"content-length":
                size = int(value)
        return size

    def _read_chunks(self) -> bytes:
        chunks = []
        while size := int(self._received.readline(), 16):
            chunks.append(self._received.read(size))
            self._received.readline()
        self._received.readline()
        return b"".join(chunks)


def new_request(key: Key, action: str, body: dict[str, Any], secret: int = -1) -> bytes:
    """Return the bytes of a request, signed now."""
    text = json.dumps(body).encode()
    lines = [f"{name}: {value}" for name, value in key.sign(action, text, secret).items()]
    head = ["POST /api/pns/ HTTP/1.1", "Host: test", f"Content-Length: {len(text)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + text


class Client:
    """Sends requests of one customer, one after the other; each is recorded."""

    def __init__(self, connection: Connection, key: Key, record: Record) -> None:
        self._connection = connection
        self._key = key
        self._record = record
        self.shown: dict[str, str] = {}
        """The groups on the last page that had any: id and phones."""

    def page(self, limit: int, offset: int) -> None:
        body = {"limit": limit, "offset": offset}
        start, answer, end = self._send("listGroup", body)
        if answer["code"] == 0:
            data = answer["data"]
            assert {row["customerId"] for row in data["groups"]} <= {self._key.customer}
            rows = tuple((row["groupId"], row["phones"]) for row in data["groups"])
            if rows or offset == 0:
                self.shown = dict(rows)
            self._add(start, end, Page(limit, offset, data["total"], rows))

    def create(self, phones: str) -> None:
        start, answer, end = self._send("createGroup", {"phones": phones})
        if answer["code"] == 0:
            self._add(start, end, Create(answer["groupId"], phones))

    def update(self, group_id: str, operate_type: int, phones: str) -> None:
        body = {"groupId": group_id, "operateType": operate_type, "phones": phones}
        self._change("updateGroup", body, Update(group_id, operate_type, phones))

    def delete(self, group_id: str) -> None:
        self._change("deleteGroup", {"groupId": group_id}, Delete(group_id))

    def forget(self, group_id: str) -> None:
        """Delete a phone that was shown in a group, if there was one."""
        first = self.shown.get(group_id, "").partition(",")[0]
        if first:
            self.update(group_id, DELETE, first)

    def _change(self, action: str, body: dict[str, Any], act: Update | Delete) -> None:
        start, answer, end = self._send(action, body)
        if answer["code"] == 0:
            self._add(start, end, act)
        elif answer["code"] == GROUP_NOT_FOUND:
            self._add(start, end, NotFound(act.group_id))

    def _add(self, start: int, end: int, act: Any) -> None:
        self._record.groups[self._key.customer].append(Operation(start, end, act))

    def _send(self, action: str, body: dict[str, Any]) -> tuple[int, dict[str, Any], int]:
        # Chosen before the request begins: the operator may rotate the key meanwhile.
        secret = len(self._key.secrets) - 1
        answer = self._connection.exchange(self._key, action, body, secret)
        start, end = self._connection.times
        refused = answer["code"] in (SIGNATURE_WRONG, NOT_PERMITTED)
        # After another failure it would be unknown what was written.
        assert refused or answer["code"] in (0, GROUP_NOT_FOUND), answer
        signed = Signed(secret, answer["code"] if refused else 0)
        self._record.access[self._key.name].append(Operation(start, end, signed))
        self._record.workers.add(self._connection.worker)
        return start, answer, end


def connect_to_every_worker(servers: Sequence[Process], workers: int, key: Key) -> list[Connection]:
    """Return one connection to each worker of these servers."""
    found: dict[int, Connection] = {}
    spare = []
    for number in range(400):
        connection = Connection(servers[number % len(servers)].port)
        assert connection.code(key) == 0
        if connection.worker in found:
            spare.append(connection)  # kept open, so that the next one goes elsewhere
        else:
            found[connection.worker] = connection
        if len(found) == workers:
            break
    for connection in spare:
        connection.close()
    assert len(found) == workers, "a worker accepts no connections"
    return list(found.values())
