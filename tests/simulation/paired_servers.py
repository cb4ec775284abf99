"""Two workers in this process on one database, which get the same steps as another pair."""

import itertools
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from tests.conftest import FakeClock
from tests.direct import empty
from tests.helpers import MASTER_KEY, as_request, body_of, read_chunks, signed_headers

from openpns.accounts import access_keys, customers
from openpns.accounts.access_keys import NewSecret
from openpns.accounts.master_key import open_secret_box
from openpns.server.application import Application
from openpns.server.settings import Settings
from openpns.storage import connect
from openpns.storage.store import Store
from openpns.transport.messages import Reply

if TYPE_CHECKING:
    from openpns.api.pipeline import Api

if TYPE_CHECKING:
    from openpns.api.pipeline import Api

# The second key expires as the clock moves on.
KEYS = {"key-of-cus_1": None, "brief-of-cus_1": 100_000, "key-of-cus_2": None}
PHONES_IN_GROUP_MAX = 700

Answer = tuple[int, bytes, bytes]
Answers = list[Answer]


class CountingIds:
    """Identifiers that are the same for the same requests."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def request_id(self) -> str:
        return str(next(self._numbers))

    def group_id(self) -> str:
        return f"{next(self._numbers):032x}"


def customer_of(key: str) -> str:
    return key.partition("-of-")[2]


class Pair:
    """A database with two customers, two workers, and an operator."""

    def __init__(self, url: str, wrap_store: Callable[[Store], Store], **settings: Any) -> None:
        self.url = url
        self.clock = FakeClock()
        self._ids = CountingIds()
        self._group_ids: list[str] = []
        self._secrets: dict[str, list[str]] = {}
        used = Settings(
            database=url,
            log_level="error",
            phones_in_group_max=PHONES_IN_GROUP_MAX,
            **settings,
        )
        self._workers = [
            Application(used, MASTER_KEY, self.clock, self._ids, wrap_store=wrap_store)
            for _ in range(2)
        ]
        self._apis: list[Api] = []
        self._store: Store

    async def __aenter__(self) -> Self:
        await empty(self.url)
        self._store = await connect.open_store(self.url)
        secret_box = await open_secret_box(self._store, self.url, MASTER_KEY)
        for customer in sorted(set(map(customer_of, KEYS))):
            await customers.create(self._store, self.clock, customer, "")
        for name, lives_ms in KEYS.items():
            self._secrets[name] = [f"secret-of-{name}"]
            await access_keys.create(
                self._store,
                secret_box,
                self.clock,
                customer_of(name),
                access_key=name,
                access_secret=self._secrets[name][0],
                expires_ms=None if lives_ms is None else self.clock() + lives_ms,
            )
        self._apis = [await worker.start() for worker in self._workers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            await worker.stop()
        await self._store.close()

    async def do(self, step: tuple[Any, ...]) -> Answers:
        """Do a step: the name of a method here and its arguments."""
        name, *arguments = step
        answers: Answers = await getattr(self, name)(*arguments)
        return answers

    async def create(self, worker: int, key: str, phones: str, name: str | None) -> Answers:
        body = {"phones": phones, "groupName": name, "remark": name}
        if name is None:
            del body["groupName"], body["remark"]
        answer = await self.send(worker, key, "createGroup", body)
        group_id = json.loads(answer[2]).get("groupId")
        if group_id:
            self._group_ids.append(group_id)
        return [answer]

    async def update(
        self, worker: int, key: str, group: int, operate_type: int, phones: str
    ) -> Answers:
        body = {"groupId": self._group(group), "operateType": operate_type, "phones": phones}
        return [await self.send(worker, key, "updateGroup", body)]

    async def delete(self, worker: int, key: str, group: int) -> Answers:
        return [await self.send(worker, key, "deleteGroup", {"groupId": self._group(group)})]

    async def page(self, worker: int, key: str, limit: int, offset: int, times: int) -> Answers:
        page = {"limit": limit, "offset": offset}
        return [await self.send(worker, key, "listGroup", page) for _ in range(times)]

    async def page_on_both(self, key: str, limit: int, offset: int) -> Answers:
        page = {"limit": limit, "offset": offset}
        return [await self.send(worker, key, "listGroup", page) for worker in (0, 1, 0)]

    async def mistake(self, worker: int, key: str, changes: dict[str, Any]) -> Answers:
        """List a page with a request that has a mistake."""
        given = {"action": "listGroup", "body": {"limit": 10, "offset": 0}} | changes
        return [await self.send(worker, key, **given)]

    async def disable_for_a_while(self, what: str, key: str) -> Answers:
        """Disable a key or its customer, and enable it again; both workers answer each time."""
        answers = []
        for disabled_ms in (self.clock(), None):
            if what == "key":
                await access_keys.disable(self._store, key, disabled_ms)
            else:
                await customers.disable(self._store, customer_of(key), disabled_ms)
            answers += await self.page_on_both(key, 10, 0)
        return answers

    async def rotate(self, key: str, grace_ms: int) -> Answers:
        secret_box = await open_secret_box(self._store, self.url, MASTER_KEY)
        made = await access_keys.rotate(self._store, secret_box, self.clock, key, grace_ms)
        self._secrets[key].append(made.access_secret)
        return []

    async def wait(self, ms: int) -> Answers:
        self.clock.now_ms += ms
        return []

    async def send(
        self,
        worker: int,
        key: str,
        action: str,
        body: dict[str, Any],
        *,
        raw: bytes | None = None,
        secret: int = -1,
        biz_type: str = "5",
        late_ms: int = 0,
        method: str = "POST",
        path: str = "/api/pns/",
        changed: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        """Send a request, some headers changed after signing; read the whole response."""
        text = json.dumps(body).encode() if raw is None else raw
        known = self._secrets[key]
        used = NewSecret(key, known[max(secret, -len(known))], "")
        signed = signed_headers(used, action, text, self.clock() - late_ms, biz_type=biz_type)
        sent = list((dict(signed) | changed).items())
        request = as_request(sent, text, method=method, path=path)
        return await read_whole(await self._apis[worker].respond(request))

    def _group(self, number: int) -> str:
        """One of the groups that were made, of either customer; there may be none."""
        made = self._group_ids
        return made[number % len(made)] if made else "0" * 32


async def read_whole(reply: Reply) -> Answer:
    """Return status, headers and body of a response."""
    is_whole = isinstance(reply.body, tuple)
    body = body_of(reply) if is_whole else b"".join(await read_chunks(reply))
    if reply.close is not None:
        reply.close()
    return reply.status, reply.headers, body
