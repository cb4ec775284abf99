"""Whether a server answers: a check of its database, and a request to its API port."""

import asyncio
import ssl
from typing import Final

import msgspec

from openpns.bindings import operations
from openpns.core import logs
from openpns.errors import OpenPNSError
from openpns.process.admin import State
from openpns.protocol.headers import PATH
from openpns.server.application import open_checked
from openpns.server.settings import Settings

_SHARED_S: Final = 1.0
"""How long the result of a check is used: probes are no means to load the database."""
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not to listen on
# It needs no key. The response is 405.
_REQUEST: Final = f"GET {PATH} HTTP/1.1\r\nHost: openpns\r\nConnection: close\r\n\r\n".encode()
_EXPECTED: Final = b"HTTP/1.1 405 "


class Readiness:
    """Checks on request, at most once at a time and once a second.

    Args:
        settings: With the address that the API port really has.
    """

    def __init__(self, settings: Settings) -> None:
        # All checks share one connection.
        self._settings = msgspec.structs.replace(settings, postgres_connections_max=1)
        self._timeout_s = settings.readiness_timeout_ms / 1000
        self._no_answer = f"no answer within {settings.readiness_timeout_ms} ms"
        self._tls: ssl.SSLContext | None = None
        if settings.tls_cert is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            # Whether this server answers is the question, not whether its name is right.
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        self._began_s = 0.0
        self._check: asyncio.Task[State] | None = None
        self._database: asyncio.Future[int] | None = None

    async def find(self) -> State:
        """Return whether the server is ready; at most a second older than this request."""
        loop = asyncio.get_running_loop()
        check = self._check
        if check is None or (check.done() and loop.time() - self._began_s >= _SHARED_S):
            self._began_s = loop.time()
            check = self._check = loop.create_task(self._find())
        return await asyncio.shield(check)

    async def _find(self) -> State:
        try:
            database, api_port = await asyncio.gather(self._ask_database(), self._ask_worker())
        except Exception as error:  # noqa: BLE001 - any error means "not ready"
            logs.logger().error("readiness check failed", **logs.describe_error(error))
            return State("see the server's log")
        return State(database.fault or api_port, database.note)

    async def _ask_database(self) -> State:
        if self._database is None or self._database.done():
            # In a thread: SQLite may wait for a lock.
            self._database = asyncio.get_running_loop().run_in_executor(
                None, lambda: asyncio.run(_check_database(self._settings))
            )
        done, _ = await asyncio.wait({self._database}, timeout=self._timeout_s)
        if not done:
            return State(f"database: {self._no_answer}")
        try:
            return State(None, _note(self._database.result()))
        except OpenPNSError as error:
            return State(str(error))

    async def _ask_worker(self) -> str | None:
        host = _WILDCARDS.get(self._settings.host, self._settings.host)
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_connection(
                    host, self._settings.port, ssl=self._tls
                )
                try:
                    writer.write(_REQUEST)
                    status_line = await reader.readline()
                finally:
                    writer.transport.abort()
        except TimeoutError:
            return f"API port: {self._no_answer}"
        except OSError as error:
            return f"API port: {error.strerror or 'closed'}"
        return None if status_line.startswith(_EXPECTED) else "API port: not the expected response"


def _note(customers_held: int) -> str:
    """Return the note of held calls.

    They are no fault: a server that is taken out of service for them would serve no other customer
    either.
    """
    if not customers_held:
        return ""
    return (
        f"calls are held since a restore, customers: {customers_held}; see openpns bindings confirm"
    )


async def _check_database(settings: Settings) -> int:
    """Return how many customers' calls are held."""
    store = await open_checked(settings)
    try:
        await store.fetch("master_key_check_find", {})
        return await operations.count_held(store)
    finally:
        await store.close()
