"""Counts round trips between openpns and PostgreSQL: a proxy that notes who speaks."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from bench.servers import free_port


class _Proxy:
    """Forwards connections to a Unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.port = free_port()
        self.trips = 0
        self.is_up = threading.Event()

    async def serve(self) -> None:
        """Serve until `stop` is called."""
        self._loop, self._is_over = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._forward, "127.0.0.1", self.port):
            self.is_up.set()
            await self._is_over.wait()

    def stop(self) -> None:
        """Let `serve` end; called by another thread."""
        self._loop.call_soon_threadsafe(self._is_over.set)

    async def _forward(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._path)
        is_answered = True

        async def send_requests() -> None:
            nonlocal is_answered
            while data := await client.read(1 << 16):
                self.trips += is_answered
                is_answered = False
                to_server.write(data)
            to_server.close()

        async def send_answers() -> None:
            nonlocal is_answered
            while data := await server.read(1 << 16):
                is_answered = True
                to_client.write(data)
            to_client.close()

        await asyncio.gather(send_requests(), send_answers(), return_exceptions=True)


@contextmanager
def counted_trips(url: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """Run a proxy before a PostgreSQL server.

    A round trip is counted when a connection sends for the first time since it was answered.

    Args:
        url: A database of the server, whose socket is in the folder `?host=`.

    Yields:
        The URL through the proxy, and a function that returns the round trips until now.
    """
    parts = urlsplit(url)
    proxy = _Proxy(f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432")
    thread = threading.Thread(target=lambda: asyncio.run(proxy.serve()))
    thread.start()
    proxy.is_up.wait()
    try:
        address = f"{parts.netloc}127.0.0.1:{proxy.port}"
        yield f"{parts.scheme}://{address}{parts.path}", lambda: proxy.trips
    finally:
        proxy.stop()
        thread.join()
