"""Clients that cross event loops, threads, interruptions and their own end."""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import httpx2
import pytest
from tests.client.fake_server import ACCESS_KEY, PHONE, SECRET
from tests.client.hostile_server import HostileServer, head, hostile, response

import openpns
from openpns import AsyncClient, Client, errors
from openpns.client import connections, exchange, route

PAGE = response(b'{"code":0,"data":{"groups":[],"total":0}}')
OTHER_PAGE = response(b'{"code":0,"data":{"groups":[],"total":7}}')


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BACKOFF_S", 0.001)


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with hostile(PAGE) as server:
        yield server


def make_async(server: HostileServer, **settings: Any) -> AsyncClient:
    return AsyncClient(server.url, ACCESS_KEY, SECRET, **settings)


def make_sync(server: HostileServer, **settings: Any) -> Client:
    return Client(server.url, ACCESS_KEY, SECRET, **settings)


def test_event_loops_after_each_other_open_connections_of_their_own(
    server: HostileServer,
) -> None:
    client = make_async(server)

    async def use_twice() -> None:
        await client.groups.list()
        await client.groups.list()

    for _ in range(3):
        asyncio.run(use_twice())
    assert server.connections == [2, 2, 2]


def test_event_loop_closes_its_connections_at_its_end(server: HostileServer) -> None:
    client = make_async(server)
    for ended in range(1, 4):
        asyncio.run(client.groups.list())  # type: ignore[arg-type]
        while len(server.ended) < ended:
            time.sleep(0.001)
    assert len(client._connections._of_loops) == 1  # no more than the last loop


def test_event_loop_that_was_closed_without_its_end_is_forgotten(server: HostileServer) -> None:
    client = make_async(server)
    loop = asyncio.new_event_loop()

    async def use() -> openpns.GroupPage:
        async for _ in client.groups.iterate():
            pass
        return await client.groups.list()

    loop.run_until_complete(use())
    of_loop = client._connections._of_loops[loop]
    loop.run_until_complete(of_loop.http.aclose())  # so that Python does not complain
    loop.run_until_complete(use())
    loop.run_until_complete(client._connections._of_loops[loop].http.aclose())
    loop.close()
    asyncio.run(use())  # type: ignore[arg-type]
    assert loop not in client._connections._of_loops


def test_live_event_loops_in_threads_share_a_client(server: HostileServer) -> None:
    client = make_async(server)
    barrier = threading.Barrier(3)

    async def use() -> None:
        await client.groups.list()
        await asyncio.to_thread(barrier.wait, 10)
        for _ in range(5):
            await client.groups.list()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: asyncio.run(use()), range(3)))
    assert server.connections == [6, 6, 6]


def test_close_ends_the_connections_of_every_event_loop(server: HostileServer) -> None:
    client = make_async(server)
    opened, stop = threading.Event(), threading.Event()

    async def keep_open() -> None:
        await client.groups.list()
        opened.set()
        await asyncio.to_thread(stop.wait, 10)

    async def close() -> None:
        await client.groups.list()
        await client.close()

    thread = threading.Thread(target=asyncio.run, args=(keep_open(),))
    thread.start()
    opened.wait(10)
    asyncio.run(close())
    while len(server.ended) < 2:
        time.sleep(0.001)
    stop.set()
    thread.join()


async def test_transport_of_httpx2_belongs_to_one_event_loop(server: HostileServer) -> None:
    client = make_async(server, transport=httpx2.AsyncHTTPTransport())
    await client.groups.list()

    def use_elsewhere() -> None:
        with pytest.raises(errors.ConfigError, match="can be used in one event loop only"):
            asyncio.run(client.groups.list())  # type: ignore[arg-type]

    await asyncio.to_thread(use_elsewhere)
    await client.groups.list()
    await client.close()


def test_client_whose_transport_has_lost_its_event_loop_can_be_closed(
    server: HostileServer,
) -> None:
    async def use() -> None:
        async with httpx2.AsyncHTTPTransport() as transport:
            clients.append(make_async(server, transport=transport))
            await clients[0].groups.list()

    clients: list[AsyncClient] = []
    asyncio.run(use())
    asyncio.run(clients[0].close())
    with pytest.raises(errors.ClientClosed):
        asyncio.run(clients[0].groups.list())  # type: ignore[arg-type]


def test_async_client_without_asyncio_raises_config_error(server: HostileServer) -> None:
    request = make_async(server).groups.list()
    with pytest.raises(errors.ConfigError, match="in an event loop of asyncio only"):
        request.send(None)


def run_sync(server: HostileServer, use: Callable[[Any], Any], **settings: Any) -> Any:
    with make_sync(server, **settings) as client:
        return use(client)


def run_async(server: HostileServer, use: Callable[[Any], Any], **settings: Any) -> Any:
    async def main() -> Any:
        async with make_async(server, **settings) as client:
            return await use(client)

    return asyncio.run(main())


Run = Callable[..., Any]


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


class Forbidden(RuntimeError):
    """Such as that of a test runner that forbids sockets."""


def test_forbidden_sockets_raise_connect_failed(
    run: Run, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoSocket(socket.socket):
        def __new__(cls, *_: Any, **__: Any) -> Self:
            raise Forbidden(f"no socket for {PHONE}")

    def use(client: Any) -> Any:
        monkeypatch.setattr(socket, "socket", NoSocket)
        return client.groups.list()

    with pytest.raises(errors.ConnectFailed) as raised:
        run(server, use, retries=0)
    assert str(raised.value) == (
        "listGroup: no connection can be made (Forbidden: no socket for …)"
    )
    assert raised.value.__context__ is None


def test_host_that_cannot_be_encoded_raises_connect_failed(run: Run) -> None:
    class Far:
        url = f"https://{'a' * 70}.test"

    with pytest.raises(errors.ConnectFailed, match=r"\((UnicodeError|ConnectError): "):
        run(Far, lambda client: client.groups.list(), retries=0)


def test_other_error_after_sending_raises_connection_lost(
    run: Run, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise Forbidden("no more")

    monkeypatch.setattr("openpns.client.receive._Body", fail)
    with pytest.raises(errors.ConnectionLost, match=r"\(Forbidden: no more\)"):
        run(server, lambda client: client.groups.create([PHONE]), retries=0)
    assert len(server.requests) == 1


def test_client_that_another_thread_closes_raises_the_error_in_doubt() -> None:
    """The write may have been carried out: that it is not sent again is of less interest."""
    clients: list[Client] = []

    def answer() -> Iterable[bytes]:
        clients[0].close()
        raise ConnectionError  # ends the connection without a response

    with hostile(answer) as server:
        clients.append(make_sync(server))
        with pytest.raises(errors.ConnectionLost):
            clients[0].groups.create([PHONE])
        with pytest.raises(errors.ClientClosed):
            clients[0].groups.create([PHONE])
    assert len(server.requests) == 1


class HalfAnswer:
    """Sends half of the first response, then calls a function; responds rightly afterwards."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self.interrupt = interrupt
        self.is_first = True

    def __call__(self) -> Iterator[bytes]:
        if self.is_first:
            self.is_first = False
            yield PAGE[:-5]
            self.interrupt()
            time.sleep(0.05)
        else:
            yield OTHER_PAGE


class Interrupted(BaseException):
    """Such as KeyboardInterrupt."""


class SoftTimeLimitExceeded(Exception):
    """Such as that of Celery, which a signal handler raises when a task takes too long."""


@pytest.fixture
def handle() -> Iterator[Callable[[Callable[[], None]], Callable[[], None]]]:
    """Lets SIGUSR1 call a function in the main thread; returns what sends the signal."""
    before = signal.getsignal(signal.SIGUSR1)

    def set_handler(work: Callable[[], None]) -> Callable[[], None]:
        signal.signal(signal.SIGUSR1, lambda *_: work())
        main = threading.main_thread().ident
        assert main == threading.get_ident()
        return lambda: signal.pthread_kill(main, signal.SIGUSR1)

    yield set_handler
    signal.signal(signal.SIGUSR1, before)


Handle = Callable[[Callable[[], None]], Callable[[], None]]


INTERRUPTIONS = [Interrupted, SoftTimeLimitExceeded]


@pytest.mark.parametrize("kind", INTERRUPTIONS)
def test_interrupted_request_leaves_no_half_response(
    handle: Handle, kind: type[BaseException]
) -> None:
    def interrupt() -> None:
        raise kind

    with hostile(HalfAnswer(handle(interrupt))) as server, make_sync(server) as client:
        with pytest.raises(kind):
            client.groups.list()
        assert client.groups.list().total == 7
        assert client.groups.list().total == 7
    assert server.connections == [1, 2]


def test_signal_handler_may_use_the_client(handle: Handle) -> None:
    found: list[int] = []
    answers = [PAGE, OTHER_PAGE]

    def answer() -> Iterator[bytes]:
        page = answers.pop(0)
        if page is PAGE:
            send_signal()
        yield page

    with hostile(answer) as server, make_sync(server) as client:
        send_signal = handle(lambda: found.append(client.groups.list().total))
        found.append(client.groups.list().total)
    assert found == [7, 0]


def test_signal_handler_may_use_the_client_while_a_forked_child_reopens_it(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_sync(server) as client:
        handlers = [client.groups.list]

        def interrupted(url: httpx2.URL | None) -> dict[str, Any]:
            while handlers:  # in the same thread, as a signal handler
                handlers.pop()()
            return route.http_options(url)

        monkeypatch.setattr(connections, "http_options", interrupted)
        client._connections.after_fork()
        thread = threading.Thread(target=client.groups.list, daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
    assert server.connections == [2]


async def test_cancelled_request_leaves_no_half_response() -> None:
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Any]] = []

    def cancel() -> None:
        loop.call_soon_threadsafe(tasks[0].cancel)

    with hostile(HalfAnswer(cancel)) as server:
        async with make_async(server) as client:
            coroutine: Coroutine[Any, Any, Any] = client.groups.list()
            tasks.append(asyncio.create_task(coroutine))
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            assert (await client.groups.list()).total == 7
            assert (await client.groups.list()).total == 7
    assert server.connections == [1, 2]


@pytest.mark.parametrize("kind", INTERRUPTIONS)
async def test_exception_in_an_async_wait_leaves_no_half_response(
    kind: type[BaseException],
) -> None:
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Any]] = []

    def interrupt() -> None:
        waited_for = tasks[0]._fut_waiter  # type: ignore[attr-defined]
        if waited_for is None:  # the task is about to run
            loop.call_soon(interrupt)
        else:
            waited_for.set_exception(kind())

    def interrupt_soon() -> None:
        loop.call_soon_threadsafe(interrupt)

    with hostile(HalfAnswer(interrupt_soon)) as server:
        async with make_async(server) as client:
            coroutine: Coroutine[Any, Any, Any] = client.groups.list()
            tasks.append(asyncio.create_task(coroutine))
            with pytest.raises(kind):
                await tasks[0]
            assert (await client.groups.list()).total == 7
            assert (await client.groups.list()).total == 7
    assert server.connections == [1, 2]


def test_response_header_without_end_is_not_reused_after_a_timeout(run: Run) -> None:
    answers: list[list[bytes]] = [[head("X: y")[:-2]], [PAGE]]

    def answer() -> Iterator[bytes]:
        parts = answers.pop(0)
        yield from parts
        if parts != [PAGE]:
            time.sleep(0.3)

    with hostile(answer) as server:
        assert run(server, lambda client: client.groups.list(), timeout_s=0.1).total == 0
    assert server.connections == [1, 1]
