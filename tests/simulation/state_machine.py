"""Random requests of several customers: each response must be that of a model in memory.

Two workers respond, each with its own clock, cache and connections to the same database. Hypothesis
draws the steps, and shrinks a sequence that fails.

The clock stands still between steps, so that equal writes of a key have the same bytes. Keys that
are set to unique-ts promise that theirs have not: each of their writes carries another number.
`send_again` sends the bytes of an earlier write, `retry` its body with another ts.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)
from tests.conftest import FakeClock
from tests.helpers import MASTER_KEY
from tests.simulation.reference import Key, Reference
from tests.simulation.reference_idempotency import State
from tests.simulation.reference_requests import Answer, Request
from tests.simulation.stores import Fault
from tests.simulation.strategies import (
    BACK,
    BAD_PHONES,
    CHANGED_FIELDS,
    FIELDS,
    GROUP,
    HOW,
    LIMIT,
    NAME,
    NOT_OBJECTS,
    OFFSET,
    PAGE_FAULT,
    PHONES,
    READ_FAULT,
    RIGHT,
    TOKEN,
    UNKNOWN_IDS,
    WRITE_FAULT,
    How,
    Phones,
)
from tests.simulation.workers import Ids, Worker, end_connections, migrate

from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.storage import connect

CACHES = [64 * 2**20, 4096, 16 * 2**10, 0]
"""How many bytes a worker may cache: all, a few small pages, some and one key, nothing."""

KEYS = ((0, False, False), (0, False, True), (1, False, False), (2, True, True))
"""Of each key: its customer, whether only sha256 is accepted, and whether it is unique-ts."""

DAY_MS = 24 * 3_600_000
FEW = Phones(0, 3)

_run_numbers = itertools.count()
_WORKER = st.integers(0, 1)
_KEY = st.integers(0, len(KEYS) - 1)
_ACTION = st.sampled_from(sorted(FIELDS))
_RARELY = st.sampled_from([False, False, False, False, True])


class StateMachine(RuleBasedStateMachine):
    """What may happen: requests, then what an operator does, then accidents."""

    url: str
    seen: Counter[Any]
    """How often each code was returned, each fault met, and each code returned to a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.time = FakeClock()
        self.ids = Ids()
        self.reference = Reference()
        self.made: dict[str, list[str]] = {}
        """Every group that each customer may ever have had."""
        self.sent: list[Request] = []
        """Every write, the malformed ones too."""
        self._numbers = itertools.count()
        self._workers = [Worker(self.url, self.time, self.ids) for _ in range(2)]
        self._runner = asyncio.Runner()
        self._wait(self._begin(next(_run_numbers)))

    async def _begin(self, run: int) -> None:
        """Create new customers; the database still has those of earlier runs."""
        self.store = await connect.open_store(self.url)
        self.secret_box = await open_secret_box(self.store, self.url, MASTER_KEY)
        for number, (owner, sha256_only, unique_ts) in enumerate(KEYS):
            customer, name = f"cus_{run}_{owner}", f"key-{run}-{number}"
            if customer not in self.made:
                await customers.create(self.store, self.time, customer, "")
                self.made[customer], self.reference.possible[customer] = [], [State()]
            made = await access_keys.create(
                self.store, self.secret_box, self.time, customer,
                access_key=name, access_secret=f"secret-of-{number}", sha256_only=sha256_only,
                unique_ts=unique_ts,
            )  # fmt: skip
            self.reference.keys[name] = Key(
                customer, [made.access_secret], sha256_only=sha256_only, unique_ts=unique_ts
            )
        for worker in self._workers:
            await worker.start(CACHES[0])

    def teardown(self) -> None:
        self._wait(self._end())
        self._runner.close()

    async def _end(self) -> None:
        for worker in self._workers:
            await worker.stop()
        await self.store.close()

    @initialize(counts=st.tuples(*[st.sampled_from([1, 3, 128, 290])] * 3))
    def begin_with_groups(self, counts: tuple[int, ...]) -> None:
        for key, count in zip((0, 2, 3), counts, strict=True):
            self.create(0, key, Phones(0, count), None, RIGHT, None)

    @rule(worker=_WORKER, key=_KEY, phones=PHONES, name=NAME, how=HOW,
          fault=WRITE_FAULT, token=TOKEN)  # fmt: skip
    def create(
        self, worker: int, key: int, phones: Phones, name: str | None, how: How,
        fault: Fault | None, token: str | None = None,
    ) -> None:  # fmt: skip
        body = {"phones": phones.text, "groupName": name, "remark": name}
        self._write(worker, key, "createGroup", body, how, fault, token)

    @rule(worker=_WORKER, key=_KEY, group=GROUP, phones=PHONES, how=HOW,
          fault=WRITE_FAULT, token=TOKEN)  # fmt: skip
    def add(
        self, worker: int, key: int, group: Any, phones: Phones, how: How,
        fault: Fault | None, token: str | None = None,
    ) -> None:  # fmt: skip
        self._update(worker, key, group, 0, phones.text, how, fault, token)

    @rule(worker=_WORKER, key=_KEY, group=GROUP, phones=PHONES, how=HOW,
          fault=WRITE_FAULT, token=TOKEN)  # fmt: skip
    def remove(
        self, worker: int, key: int, group: Any, phones: Phones, how: How,
        fault: Fault | None, token: str | None = None,
    ) -> None:  # fmt: skip
        self._update(worker, key, group, 1, phones.text, how, fault, token)

    @rule(worker=_WORKER, key=_KEY, group=GROUP, phones=PHONES, how=HOW,
          fault=WRITE_FAULT, token=TOKEN)  # fmt: skip
    def replace(
        self, worker: int, key: int, group: Any, phones: Phones, how: How,
        fault: Fault | None, token: str | None = None,
    ) -> None:  # fmt: skip
        self._update(worker, key, group, 2, phones.text, how, fault, token)

    @rule(worker=_WORKER, key=_KEY, group=GROUP, operate=st.integers(0, 2),
          text=BAD_PHONES)  # fmt: skip
    def update_with_bad_phones(
        self, worker: int, key: int, group: Any, operate: int, text: str
    ) -> None:
        self._update(worker, key, group, operate, text, RIGHT, None, None)

    @rule(worker=_WORKER, key=_KEY, group=GROUP, how=HOW, fault=WRITE_FAULT, token=TOKEN)
    def delete(
        self, worker: int, key: int, group: Any, how: How, fault: Fault | None,
        token: str | None = None,
    ) -> None:  # fmt: skip
        body = {"groupId": self._group(key, group)}
        self._write(worker, key, "deleteGroup", body, how, fault, token)

    @precondition(lambda self: self.sent)
    @rule(worker=_WORKER, back=BACK, fault=WRITE_FAULT)
    def send_again(self, worker: int, back: int, fault: Fault | None) -> None:
        """Send an earlier write again, byte for byte; see what it changed."""
        request = self.sent[-1 - back % len(self.sent)]
        self.send_copy(worker, request, fault)
        self.list_all_on_both(list(self.reference.keys).index(request.key), None)

    @rule(worker=_WORKER, back=BACK)
    def reverse_and_send_again(self, worker: int, back: int) -> None:
        """Reverse an earlier updateGroup, then send it again: a copy must not undo the reversal."""
        updates = [
            request
            for request in self.sent
            if request.action == "updateGroup" and isinstance(request.body, dict)
        ]
        if not updates:
            return
        request = updates[-1 - back % len(updates)]
        key = list(self.reference.keys).index(request.key)
        operate, phones = request.body.get("operateType"), request.body.get("phones")
        change = (1 - operate, phones) if operate in (0, 1) else (2, FEW.text)
        reversal = {"operateType": change[0], "phones": change[1]}
        reversal["groupId"] = request.body.get("groupId")
        self._write(worker, key, "updateGroup", reversal, RIGHT, None, None)
        self.send_copy(1 - worker, request, None)
        self.list_all_on_both(key, None)

    @precondition(lambda self: self.sent)
    @rule(worker=_WORKER, key=_KEY, back=BACK, fault=WRITE_FAULT)
    def retry(self, worker: int, key: int, back: int, fault: Fault | None) -> None:
        """Send the body of an earlier write again, perhaps with another key; see what it changed.

        It is one with a token, if there is one.
        """
        self.retry_of(worker, key, back, fault)
        self.list_all_on_both(key, None)

    def retry_of(self, worker: int, key: int, back: int, fault: Fault | None = None) -> Request:
        """Send the body of an earlier write again; return the request."""
        with_token = [
            request
            for request in self.sent
            if isinstance(request.body, dict) and request.body.get("clientToken")
        ]
        sent = with_token or self.sent
        earlier = sent[-1 - back % len(sent)]
        retry = self._request(worker, key, earlier.action, earlier.body)
        self.send_copy(worker, retry, fault)
        return retry

    @rule(worker=_WORKER, key=_KEY, limit=LIMIT, offset=OFFSET, how=HOW,
          fault=READ_FAULT)  # fmt: skip
    def list_page(
        self, worker: int, key: int, limit: int, offset: int, how: How, fault: Fault | None
    ) -> None:
        self._read(worker, key, limit, offset, how, fault)

    @rule(key=_KEY, fault=PAGE_FAULT)
    def list_all_on_both(self, key: int, fault: Fault | None) -> None:
        for worker, met in ((0, fault), (1, None), (0, None)):
            self._read(worker, key, 0, 0, RIGHT, met)

    @rule(worker=_WORKER, key=_KEY, group=GROUP, changed=CHANGED_FIELDS, action=_ACTION)
    def send_changed_fields(
        self, worker: int, key: int, group: Any, changed: dict[str, Any], action: str
    ) -> None:
        body = {"limit": 2, "offset": 1, "operateType": 0, "phones": "8615100000000"}
        sent = body | {"groupId": self._group(key, group)} | changed
        own = {name: sent[name] for name in FIELDS[action] if name in sent}
        self._write(worker, key, action, own, RIGHT, None, None)

    @rule(worker=_WORKER, key=_KEY, body=NOT_OBJECTS, how=HOW, action=_ACTION)
    def send_no_object(self, worker: int, key: int, body: bytes, how: How, action: str) -> None:
        self._send_new(worker, self._request(worker, key, action, body, how), None)

    @rule(key=_KEY, is_disabled=_RARELY)
    def disable_key(self, key: int, is_disabled: bool) -> None:
        name, known = self._key(key)
        self._wait(access_keys.disable(self.store, name, self.time() if is_disabled else None))
        known.is_disabled = is_disabled

    @rule(key=_KEY, is_disabled=_RARELY)
    def disable_customer(self, key: int, is_disabled: bool) -> None:
        customer = self._key(key)[1].customer
        disabled_ms = self.time() if is_disabled else None
        self._wait(customers.disable(self.store, customer, disabled_ms))
        change = self.reference.disabled_customers
        (change.add if is_disabled else change.discard)(customer)

    @rule(key=_KEY, in_ms=st.sampled_from([None, None, 1, 20_000, 100_000]))
    def expire_key(self, key: int, in_ms: int | None) -> None:
        name, known = self._key(key)
        known.expires_ms = None if in_ms is None else self.time() + in_ms
        self._wait(access_keys.expire(self.store, self.time, name, known.expires_ms))

    @rule(key=_KEY, grace_ms=st.sampled_from([0, 20_000]))
    def rotate_key(self, key: int, grace_ms: int) -> None:
        name, known = self._key(key)
        made = self._wait(
            access_keys.rotate(self.store, self.secret_box, self.time, name, grace_ms)
        )
        known.secrets.append(made.access_secret)
        known.previous_until_ms = self.time() + grace_ms

    @rule(key=_KEY, is_required=_RARELY)
    def require_sha256(self, key: int, is_required: bool) -> None:
        name, known = self._key(key)
        since_ms = self.time() if is_required else None
        self._wait(access_keys.require_sha256(self.store, name, since_ms))
        known.sha256_only = is_required

    @rule(key=_KEY, is_required=st.booleans())
    def require_unique_ts(self, key: int, is_required: bool) -> None:
        name, known = self._key(key)
        since_ms = self.time() if is_required else None
        self._wait(access_keys.require_unique_ts(self.store, name, since_ms))
        known.unique_ts = is_required

    @rule(worker=_WORKER)
    def delete_expired_records(self, worker: int) -> None:
        """Do what a worker does every 30 s; other workers may have other clocks."""
        self._wait(self._workers[worker].clean())
        self.reference.clean(self._workers[worker].clock())

    @rule(ms=st.sampled_from([1, 20_000, 60_000, 100_000, -30_000, DAY_MS]), key=_KEY)
    def move_time(self, ms: int, key: int) -> None:
        self.time.now_ms += ms
        self._read(0, key, 1, 0, RIGHT, None)

    @rule(worker=_WORKER, ms=st.sampled_from([0, 0, 5000, -5000, 60_000, -60_000, 60_001, -60_001]))
    def put_clock_wrong(self, worker: int, ms: int) -> None:
        self._workers[worker].skew_ms = ms

    @rule(worker=_WORKER, cache_bytes_max=st.sampled_from(CACHES))
    def restart(self, worker: int, cache_bytes_max: int) -> None:
        self._wait(self._workers[worker].stop())
        self._wait(self._workers[worker].start(cache_bytes_max))

    @precondition(lambda self: self.url.startswith("postgresql"))
    @rule()
    def lose_every_connection(self) -> None:
        """Close the connections between two requests: each is retried on a new connection."""
        self._wait(end_connections(self.url))

    def _update(
        self, worker: int, key: int, group: Any, operate: int, text: str, how: How,
        fault: Fault | None, token: str | None,
    ) -> None:  # fmt: skip
        body = {"groupId": self._group(key, group), "operateType": operate, "phones": text}
        self._write(worker, key, "updateGroup", body, how, fault, token)

    def _write(
        self, worker: int, key: int, action: str, body: dict[str, Any], how: How,
        fault: Fault | None, token: str | None,
    ) -> None:  # fmt: skip
        number = next(self._numbers)
        body |= {} if token is None else {"clientToken": token}
        self._send_new(worker, self._request(worker, key, action, body, how), fault)
        if number % 3 == 0 and action != "listGroup":
            self.send_copy(1 - worker, self.sent[-1], None)
        if number % 2:  # not every time, so that one page also meets several changes
            self.list_all_on_both(key, None)

    def _read(
        self, worker: int, key: int, limit: int, offset: int, how: How, fault: Fault | None
    ) -> None:
        body = {"limit": limit, "offset": offset}
        self._send_new(worker, self._request(worker, key, "listGroup", body, how), fault)

    def _request(self, worker: int, key: int, action: str, body: Any, how: How = RIGHT) -> Request:
        name, known = self._key(key)
        if known.unique_ts and isinstance(body, dict) and action != "listGroup":
            body = body | {"n": next(self._numbers)}
        secret = known.secrets[max(how.secret, -len(known.secrets))]
        clock = self._workers[worker].clock
        ts_ms = self.time() if how.late_ms is None else clock() - how.late_ms
        own = "sha256" if known.sha256_only else "md5"
        algorithm = {"the key's": own, "not sent": None}.get(how.algorithm, how.algorithm)
        return Request(action, body, name, secret, ts_ms, algorithm, how.flaws)

    def _send_new(self, worker: int, request: Request, fault: Fault | None) -> None:
        if request.action != "listGroup":
            self.sent.append(request)
        self._send(worker, request, fault)

    def send_copy(self, worker: int, request: Request, fault: Fault | None) -> None:
        """Send a write that is a copy of an earlier one, or has its body."""
        self.seen["copy", self._send(worker, request, fault).code] += 1

    def _send(self, worker: int, request: Request, fault: Fault | None) -> Answer:
        now_ms = self._workers[worker].clock()
        answer, met = self._wait(self._workers[worker].send(request, fault))
        self.seen.update([answer.code, met])
        self.reference.accept(request, now_ms, met, self.ids.group, answer)
        if request.action == "createGroup" and answer.code in (0, 19006):
            made = self.made[self.reference.keys[request.key].customer]
            group_id = answer.returned.get("groupId", self.ids.group)
            if group_id not in made:
                made.append(group_id)
        return answer

    def _key(self, number: int) -> tuple[str, Key]:
        return list(self.reference.keys.items())[number]

    def _group(self, key: int, group: tuple[str, int]) -> str:
        """Return a group id of the key's customer, of another one, or of none."""
        whose, number = group
        customer = self._key(key)[1].customer
        others = itertools.chain(*(ids for name, ids in self.made.items() if name != customer))
        ids = {"own": self.made[customer], "another's": list(others)}.get(whose)
        return ids[-1 - number % len(ids)] if ids else UNKNOWN_IDS[number]

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)


def machine_on(url: str) -> type[StateMachine]:
    """Return a state machine on a new database."""
    asyncio.run(migrate(url))
    return type("MachineOnDatabase", (StateMachine,), {"url": url, "seen": Counter()})
