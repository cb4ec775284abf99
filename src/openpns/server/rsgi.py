"""The RSGI adapter: what `openpns serve` runs on Granian."""

import asyncio
import os
import signal
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from granian._granian import RSGIProtocolClosed as ProtocolClosed

from openpns.api import request_body
from openpns.api.request_body import BodyCollector
from openpns.core import logs
from openpns.errors import InternalError, OpenPNSError, ParameterError
from openpns.server.application import Application, from_environ

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope

_PARENT_CHECK_S: Final = 1.0


class RsgiApp:
    """Carry calls from Granian to the API, and answers back.

    Args:
        application: The worker.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._watching: asyncio.Task[None] | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the worker before the first call."""
        # Ctrl-C reaches every process of the terminal; the parent alone acts on it, and then tells
        # its workers: one that went first would look like one that failed.
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        loop.run_until_complete(self._start())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop the worker after the last call."""
        loop.run_until_complete(self._stop())

    async def __rsgi__(self, scope: "Scope", proto: "HTTPProtocol") -> None:
        """Answer one call."""
        headers = scope.headers
        reply = await self._handle(
            scope.method, scope.path, headers.items(), partial(self._read_body, headers, proto)
        )
        if isinstance(reply.body, bytes):
            proto.response_bytes(reply.status, reply.headers, reply.body)
            return
        try:
            transport = proto.response_stream(reply.status, reply.headers)
            async with aclosing(reply.body) as pieces:
                # Neither is ours to raise: the caller went away, or the answer broke off and was
                # logged. Granian would log it (again) with its traceback.
                with suppress(ProtocolClosed, InternalError):
                    async for piece in pieces:
                        await transport.send_bytes(piece)
        finally:
            reply.close()

    async def _read_body(self, headers: Any, proto: "HTTPProtocol", bytes_max: int) -> bytes | None:
        sent = headers.get("content-length")
        # The HTTP server has made sure that it is a number.
        length = bytes_max if sent is None else int(sent)
        if length > bytes_max:
            return None
        try:
            if sent is not None and length <= request_body.SMALL_BODY_BYTES:
                whole: bytes = await proto()
                return whole
            with self._room.reserve(length):
                return await (_collect(proto, bytes_max) if sent is None else proto())
        except ProtocolClosed:
            raise ParameterError("the caller went away before the body was read") from None

    async def _start(self) -> None:
        try:
            api = await self._application.start()
            self._handle, self._room = api.handle, api.body_budget
        except OpenPNSError as error:
            logs.logger().error("worker cannot start", why=str(error))
            raise SystemExit(1) from None
        logs.logger().info("worker ready", pid=os.getpid())
        self._watching = asyncio.create_task(_stop_with_parent(os.getppid()))

    async def _stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await self._application.stop()


def create_app() -> RsgiApp:
    """Return the app, with the settings of the environment."""
    return RsgiApp(from_environ())


async def _collect(proto: "HTTPProtocol", bytes_max: int) -> bytes | None:
    body = BodyCollector(bytes_max)
    async for piece in proto:
        if not body.add(piece):
            return None
    return body.body()


async def _stop_with_parent(parent: int) -> None:
    """End this worker where its parent was killed: left alone, it would keep the port."""
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of a lost parent
        await asyncio.sleep(_PARENT_CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)
