"""A process that attacks a server until it is stopped: see `attacks` for the kinds.

    python -m bench.attacker

The first line of stdin is an `Orders` as JSON. The process prints "attacking" when every connection
has had a response, or `begin_s` later, and when it holds some connections. It ends after the next
line, and prints how often each code came, and how many connections ended early.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from bench.attacks import HELD, REQUESTS, Held, faulty_request, signed_request

_LENGTH = re.compile(rb"content-length: ([0-9]+)", re.IGNORECASE)
_CODE = re.compile(rb'"code":([0-9]+)')
_RESPONSE_BYTES_MAX = 2**28
_SIGNED_S = 10.0
_SEND_S = 0.2
"""How long to send on one held connection, whose server may read no more."""
_HOLDERS = 8
_HELD_MAX = 1600
_DESCRIPTORS = 4096


@dataclass(frozen=True)
class Orders:
    """What to attack, and how.

    Attributes:
        port: The server's.
        kinds: Of `REQUESTS` and `HELD`; the connections that send requests take turns with them.
        access_key: The attacker's key.
        secret: Its secret.
        group: A group of the attacker.
        did: A virtual number of the attacker.
        first: The first number in the place of {n}.
        sources: The addresses of the attacker, which connections take in turn.
        connections: How many connections send requests; 0 for as many as the kinds say.
        begin_s: How long to wait for the first response of each connection.
        admin_port: The server's admin port; 0 if no kind needs it.
    """

    port: int
    kinds: Sequence[str]
    access_key: str
    secret: str
    group: str = ""
    did: str = ""
    first: int = 0
    sources: Sequence[str] = ("127.0.0.1",)
    connections: int = 0
    begin_s: float = 60.0
    admin_port: int = 0


@dataclass
class Attacked:
    """What came of an attack, filled at its end.

    Attributes:
        codes: How often each code came.
        ended_early: Connections with requests that the server closed.
        opened: Connections that were held.
    """

    codes: Counter[int] = field(default_factory=Counter)
    ended_early: int = 0
    opened: int = 0


@contextmanager
def attacking(orders: Orders) -> Iterator[Attacked]:
    """Attack during the block, from a process of its own."""
    found = Attacked()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.attacker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(asdict(orders)) + "\n")
        process.stdin.flush()
        if process.stdout.readline() != "attacking\n":
            raise RuntimeError(f"the attacker does not begin: {orders.kinds}")
        yield found
        printed, _ = process.communicate("stop\n", timeout=60)
    finally:
        process.kill()
        process.wait()
    counted = json.loads(printed)
    found.codes.update({int(code): count for code, count in counted["codes"].items()})
    found.ended_early, found.opened = counted["ended_early"], counted["opened"]


class Attacker:
    """Many connections whose client reads nothing.

    Args:
        port: The server's port.
        tls: How to encrypt; None for not at all.
        held_max: Connections that are held; the oldest gives way.
    """

    def __init__(
        self, port: int, tls: ssl.SSLContext | None = None, held_max: int | None = None
    ) -> None:
        self._port = port
        self._tls = tls
        self._held: deque[socket.socket] = deque()
        self._held_max = held_max

    def hold(self, sent: bytes, source: str = "127.0.0.1", *, is_raw: bool = False) -> None:
        """Open one more connection, send something, and keep it open.

        Args:
            is_raw: Send it as it is, also to a server with TLS.
        """
        connection = socket.socket()
        connection.bind((source, 0))
        if hasattr(socket, "TCP_MAXSEG"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self._port))
        self._keep(connection)
        if self._tls is not None and not is_raw:
            try:
                connection = self._tls.wrap_socket(connection)
            except OSError:
                return  # the server has no place
            self._keep(connection)
        connection.settimeout(_SEND_S)
        with contextlib.suppress(OSError):
            connection.sendall(sent)

    def close(self) -> None:
        """Close all connections."""
        for connection in self._held:
            connection.close()
        self._held.clear()

    def _keep(self, connection: socket.socket) -> None:
        self._held.append(connection)
        if self._held_max is not None and len(self._held) > self._held_max:
            self._held.popleft().close()


# -- the process ------------------------------------------------------------------------------


class _Flood:
    """Connections that send requests as fast as they are answered."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._numbers = itertools.count(orders.first)
        self._begun = asyncio.Semaphore(0)
        self._tasks: list[asyncio.Task[None]] = []
        self.codes: Counter[str] = Counter()

    async def begin(self, kinds: Sequence[str]) -> None:
        """Begin; return when every connection has had a response, or after `begin_s`."""
        most = max((REQUESTS[kind].connections for kind in kinds), default=0)
        sources = itertools.cycle(self._orders.sources)
        for kind in itertools.islice(itertools.cycle(kinds), self._orders.connections or most):
            self._tasks.append(asyncio.create_task(self._send(kind, next(sources))))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._orders.begin_s):
                for _ in self._tasks:
                    await self._begun.acquire()

    def end(self) -> int:
        """End; return how many connections had ended before."""
        ended = sum(task.done() for task in self._tasks)
        for task in self._tasks:
            task.cancel()
        return ended

    async def _send(self, kind: str, source: str) -> None:
        is_first = True
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                self._orders.port,
                limit=_RESPONSE_BYTES_MAX,
                local_addr=(source, 0),
            )
            for request in self._requests(kind):
                writer.write(request)
                await writer.drain()
                self.codes[await _code_of(reader)] += 1
                if is_first:
                    is_first = False
                    self._begun.release()
        finally:
            if is_first:  # begin must not wait for it for ever
                self._begun.release()

    def _requests(self, kind: str) -> Iterator[bytes]:
        """Return the requests of one connection."""
        sent, orders = REQUESTS[kind], self._orders
        body = json.dumps(sent.body).replace("{group}", orders.group).replace("{did}", orders.did)

        def request(number: int) -> bytes:
            text = body.replace("{n}", str(number)).encode()
            who = (orders.access_key, orders.secret)
            return faulty_request(sent.fault, *who, sent.action, text, number)

        if "{n}" in body or sent.fault == "key":
            return (request(number) for number in self._numbers)
        return _signed_again(lambda: request(0))


def _signed_again(sign: Callable[[], bytes]) -> Iterator[bytes]:
    """Return a request over and over, signed again before its time is too old."""
    while True:
        request, end_s = sign(), time.monotonic() + _SIGNED_S
        while time.monotonic() < end_s:
            yield request


async def _code_of(reader: asyncio.StreamReader) -> str:
    """Read a response; return its code."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if length:
        body = await reader.readexactly(int(length[1]))
    else:  # in chunks, of which the last one is empty
        body = await reader.readuntil(b"\r\n0\r\n\r\n")
    found = _CODE.search(body)
    if not found:
        raise ConnectionError(f"not a response of the API: {head!r}")
    return found[1].decode()


class _Holders:
    """Threads that open connections and hold them."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._sign = partial(_sign, orders)
        self._numbers = itertools.count(orders.first)
        self._is_over = threading.Event()
        self._begun = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self.opened = 0

    def begin(self, kinds: Sequence[str]) -> None:
        """Begin; return when every thread has opened a connection."""
        for kind in itertools.islice(itertools.cycle(kinds), _HOLDERS if kinds else 0):
            thread = threading.Thread(target=self._hold, args=(HELD[kind],), daemon=True)
            self._threads.append(thread)
            thread.start()
        for _ in self._threads:
            self._begun.acquire()

    def end(self) -> None:
        """End; the connections are closed with the process, as one may still be opened."""
        self._is_over.set()

    def _hold(self, held: Held) -> None:
        port = self._orders.admin_port if held.is_admin else self._orders.port
        attacker = Attacker(port, held_max=_HELD_MAX // _HOLDERS)
        is_first, sources = True, itertools.cycle(self._orders.sources)
        while not self._is_over.is_set():
            try:
                attacker.hold(held.sent(next(self._numbers), self._sign), next(sources))
                self.opened += 1
            except OSError:  # the server takes no more at the moment
                self._is_over.wait(0.01)
            if is_first:
                is_first = False
                self._begun.release()


def _sign(
    orders: Orders, body: bytes, action: str = "listGroup", length: int | None = None
) -> bytes:
    return signed_request(orders.access_key, orders.secret, action, body, length)


async def _main() -> None:
    """Attack until a line arrives on stdin."""
    os.nice(10)  # see docs/benchmarks.md
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _DESCRIPTORS), hard))
    orders = Orders(**json.loads(sys.stdin.readline()))
    flood, holders = _Flood(orders), _Holders(orders)
    await flood.begin([kind for kind in orders.kinds if kind in REQUESTS])
    holders.begin([kind for kind in orders.kinds if kind in HELD])
    sys.stdout.write("attacking\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    ended = flood.end()
    holders.end()
    counted = {"codes": flood.codes, "ended_early": ended, "opened": holders.opened}
    sys.stdout.write(json.dumps(counted))


if __name__ == "__main__":
    asyncio.run(_main())
