"""Bytes to a server and its responses, without an HTTP client: many connections at once."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import msgspec
from tests.processes import Process

END_S = 30
"""How long a connection may take until its end: a bound for hangs, not a measurement."""

_HEAD = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) [^\r]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
_LENGTH = re.compile(rb"^content-length: ([0-9]+)\r$", re.MULTILINE)


class Answer(msgspec.Struct):
    """One response, as on the wire."""

    status: int
    head: bytes
    body: bytes


class Sending(msgspec.Struct):
    """What is sent on one connection."""

    pieces: Sequence[bytes]
    pause_s: float = 0
    half_close: bool = False
    reset: bool = False
    goes_on: bytes = b""
    """Sent repeatedly, after the pieces, until the server closes."""


async def _exchange(port: int, sending: Sending) -> bytes:
    """Send, then return everything until the server closes; fail if it does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(END_S):
            send = asyncio.create_task(_send(writer, sending))
            try:
                if sending.reset:
                    await send
                    writer.transport.abort()
                    return b""
                with contextlib.suppress(ConnectionError):
                    return await reader.read(-1)
                return b""  # the server closed with unread bytes of ours
            finally:
                send.cancel()
                await asyncio.wait([send])
    except TimeoutError:
        shown = b"".join(sending.pieces)[:500]
        raise AssertionError(f"neither answered nor closed within {END_S} s: {shown!r}") from None
    finally:
        writer.close()


async def _send(writer: asyncio.StreamWriter, sending: Sending) -> None:
    with contextlib.suppress(ConnectionError):
        for piece in sending.pieces:
            writer.write(piece)
            await writer.drain()
            if sending.pause_s:
                await asyncio.sleep(sending.pause_s)
        if sending.half_close:
            writer.write_eof()
        while sending.goes_on:
            writer.write(sending.goes_on)
            await writer.drain()
            await asyncio.sleep(0.02)


def send_all(port: int, sendings: Iterable[Sending | bytes]) -> list[list[Answer]]:
    """Send on as many connections at once; return the answers of each."""

    async def run() -> list[bytes]:
        whole = [Sending([one]) if isinstance(one, bytes) else one for one in sendings]
        return await asyncio.gather(*(_exchange(port, one) for one in whole))

    return [list(answers_in(received)) for received in asyncio.run(run())]


def answers_in(received: bytes) -> Iterator[Answer]:
    """Split bytes from a server into responses; fail if they are not HTTP."""
    while received:
        match = _HEAD.match(received)
        assert match, received[:500]
        length = _LENGTH.search(match[2])
        end = match.end() + (int(length[1]) if length else 0)
        yield Answer(int(match[1]), match[0], received[match.end() : end])
        received = received[end:]


class Bystander:
    """Another client that sends requests meanwhile and must get a response each time.

    Args:
        source: Its address; None for that of all others.
    """

    def __init__(self, server: Process, source: str | None = None) -> None:
        self._server = server
        self._source = source
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.codes: list[int] = []
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.02):
                self.codes.append(self._send())
        except Exception as error:  # noqa: BLE001 - raised by the thread of the test
            self.error = error

    def _send(self) -> int:
        try:
            return self._list_group()
        except ConnectionError:
            # A busy machine may not let this thread send within the server's short bounds.
            return self._list_group()

    def _list_group(self) -> int:
        page = {"limit": 1, "offset": 0}
        with contextlib.closing(self._server.connect(self._source)) as connection:
            code: int = self._server.call("listGroup", page, "cus_2", connection)["code"]
            return code
