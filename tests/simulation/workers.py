"""Workers in this process, each with its own clock, cache and storage, which may fail."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.direct import query
from tests.helpers import MASTER_KEY, as_request, headers_of, signed_headers
from tests.simulation.paired_servers import CountingIds, read_whole
from tests.simulation.reference import BODY_BYTES_MAX
from tests.simulation.reference_groups import PHONES_IN_GROUP_MAX, PHONES_IN_REQUEST_MAX
from tests.simulation.reference_requests import TRUNCATED, Answer, Request
from tests.simulation.stores import Fault, FaultyStore

from openpns.accounts.access_keys import NewSecret
from openpns.clock import Clock
from openpns.core import idempotency
from openpns.core.context import Services
from openpns.errors import InternalError
from openpns.ids import IdSource
from openpns.server.application import Application
from openpns.server.settings import Settings
from openpns.storage import connect
from openpns.storage.store import Store
from openpns.transport import messages as transport

Respond = Callable[[transport.Request], Awaitable[transport.Reply]]


_CONNECTIONS = """
FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'openpns'
"""


class Ids(CountingIds):
    """Counted identifiers; the last group id is kept."""

    group = ""

    def group_id(self) -> str:
        self.group = super().group_id()
        return self.group


class Worker:
    """A worker that can be restarted; its clock may be wrong."""

    def __init__(self, url: str, true_time: Clock, ids: IdSource) -> None:
        self.skew_ms = 0
        """How far its clock is ahead of the true time."""
        self._url = url
        self._true_time = true_time
        self._ids = ids
        self._application: Application
        self._respond: Respond
        self._store: FaultyStore

    def clock(self) -> int:
        return self._true_time() + self.skew_ms

    async def start(self, cache_bytes_max: int) -> None:
        used = Settings(
            database=self._url,
            log_level="error",
            body_bytes_max=BODY_BYTES_MAX,
            phones_in_group_max=PHONES_IN_GROUP_MAX,
            phones_in_request_max=PHONES_IN_REQUEST_MAX,
            cache_bytes_max=cache_bytes_max,
        )
        self._application = Application(
            used, MASTER_KEY, self.clock, self._ids, wrap_store=self._wrap
        )
        self._respond = (await self._application.start()).respond

    async def stop(self) -> None:
        await self._application.stop()

    async def clean(self) -> None:
        """Delete the idempotency records that have expired by this worker's clock."""
        await idempotency.clean(Services(self._store, self._ids, self.clock))

    async def send(self, request: Request, fault: Fault | None) -> tuple[Answer, Fault | None]:
        """Send a request while the storage may fail; return the response, and the fault if met."""
        sent = request.body
        body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        if "a body too large" in request.flaws:
            body += b" " * (BODY_BYTES_MAX + 1)
        method = "GET" if "another method" in request.flaws else "POST"
        path = "/api" if "another path" in request.flaws else "/api/pns/"
        self._store.armed, self._store.met = fault, None
        sent_whole = as_request(
            _headers(request, body), body, method=method, path=path, body_bytes_max=BODY_BYTES_MAX
        )
        reply = await self._respond(sent_whole)
        try:
            status, _, content = await read_whole(reply)
        except InternalError:
            answer = TRUNCATED
        else:
            answer = _answer(status, headers_of(reply), json.loads(content))
        self._store.armed = None
        return answer, self._store.met

    def _wrap(self, store: Store) -> Store:
        self._store = FaultyStore(store)
        return self._store


def _headers(request: Request, body: bytes) -> list[tuple[str, str]]:
    key = "no-such-key" if "an unknown key" in request.flaws else request.key
    action = "dropGroup" if "an unknown action" in request.flaws else request.action
    biz_type = "6" if "another bizType" in request.flaws else "5"
    signer = NewSecret(key, request.secret, "")
    signed = signed_headers(signer, action, body, request.ts_ms, request.algorithm, biz_type)
    changes = {
        "another signature": ("sign", "0" * 32),
        "no sign": ("sign", ""),
        "ts in words": ("ts", "soon"),
        "an unknown algorithm": ("algorithm", "sha1"),
    }
    changed = dict(change for flaw, change in changes.items() if flaw in request.flaws)
    sent = list((dict(signed) | changed).items())
    return [*sent, ("accesskey", key)] if "accessKey twice" in request.flaws else sent


def _answer(status: int, headers: dict[str, str], envelope: dict[str, Any]) -> Answer:
    code, msg = envelope.pop("code"), envelope.pop("msg")
    assert headers.pop("x-request-id") == envelope.pop("requestId")
    assert headers.pop("content-type") == "application/json"
    return Answer(status, code, msg.partition(": ")[0], headers, envelope)


async def migrate(url: str) -> None:
    """Create a database and its tables."""
    store = await connect.open_store(url, create=True)
    await connect.migrate(store, url)
    await store.close()


async def end_connections(url: str) -> None:
    """Close every connection of openpns to a PostgreSQL database, and wait until they are gone."""
    ended = await query(url, f"SELECT pid, pg_terminate_backend(pid) {_CONNECTIONS}")
    pids = {row[0] for row in ended}
    while pids & {row[0] for row in await query(url, f"SELECT pid {_CONNECTIONS}")}:
        pass
