"""Random lives of several customers: each answer must be that of a model in memory.

Two workers answer, each with a clock, a cache and a way to the one database of its own. Hypothesis
draws what happens, and makes a sequence that fails as short as it can.

No two writes are the same bytes, for each carries a number of its own; but `repeat` sends the same
bytes again.
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
from tests.simulation.reference_calls import Answer, Call
from tests.simulation.reference_once import State
from tests.simulation.stores import Fault
from tests.simulation.strategies import (
    BACK,
    BAD_NUMBERS,
    CHANGED_FIELDS,
    FIELDS,
    GROUP,
    HOW,
    LIMIT,
    NAME,
    NO_OBJECTS,
    NUMBERS,
    OFFSET,
    PAGE_FAULT,
    READ_FAULT,
    REPEAT_FAULT,
    RIGHT,
    TOKEN,
    UNKNOWN_IDS,
    WRITE_FAULT,
    How,
    Numbers,
)
from tests.simulation.workers import Ids, Worker, end_connections, migrate

from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.storage import connect

CACHES = [64 * 2**20, 4096, 16 * 2**10, 0]
"""What a worker may keep, in bytes: all, a few small pages, some with one key, nothing."""

KEYS = ((0, False), (0, False), (1, False), (2, True))
"""Of each key, its customer, and whether it demands sha256."""

DAY_MS = 24 * 3_600_000

_life_numbers = itertools.count()
_WORKER = st.integers(0, 1)
_KEY = st.integers(0, len(KEYS) - 1)
_RARELY = st.sampled_from([False, False, False, False, True])


class Lives(RuleBasedStateMachine):
    """What may happen; the calls first, then what an operator does, then accidents."""

    url: str
    seen: Counter[Any]
    """How often each code was answered, each fault met, and each code answered to a repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.time = FakeClock()
        self.ids = Ids()
        self.reference = Reference()
        self.made: dict[str, list[str]] = {}
        """Every group that each customer may ever have had."""
        self.sent: list[Call] = []
        """Every write, and what was meant to be one."""
        self._numbers = itertools.count()
        self._workers = [Worker(self.url, self.time, self.ids) for _ in range(2)]
        self._runner = asyncio.Runner()
        self._wait(self._begin(next(_life_numbers)))

    async def _begin(self, life: int) -> None:
        """Make customers that are new, in a database that has those of earlier lives."""
        self.store = await connect.open_store(self.url)
        self.secret_box = await open_secret_box(self.store, self.url, MASTER_KEY)
        for number, (owner, sha256_only) in enumerate(KEYS):
            customer, name = f"cus_{life}_{owner}", f"key-{life}-{number}"
            if customer not in self.made:
                await customers.create(self.store, self.time, customer, "")
                self.made[customer], self.reference.possible[customer] = [], [State()]
            made = await access_keys.create(
                self.store, self.secret_box, self.time, customer,
                access_key=name, access_secret=f"secret-of-{number}", sha256_only=sha256_only,
            )  # fmt: skip
            self.reference.keys[name] = Key(
                customer, [made.access_secret], demands_sha256=sha256_only
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
            self.create(0, key, Numbers(0, count), None, RIGHT, None)

    @rule(worker=_WORKER, key=_KEY, numbers=NUMBERS, name=NAME, how=HOW,
          fault=REPEAT_FAULT, token=TOKEN)  # fmt: skip
    def create(
        self, worker: int, key: int, numbers: Numbers, name: str | None, how: How,
        fault: Fault | None, token: str | None = None,
    ) -> None:  # fmt: skip
        body = {"phones": numbers.text, "groupName": name, "remark": name, "clientToken": token}
        self._write(worker, key, "createGroup", body, how, fault)

    @rule(worker=_WORKER, key=_KEY, group=GROUP, numbers=NUMBERS, how=HOW,
          fault=WRITE_FAULT)  # fmt: skip
    def add(self, worker: int, key: int, group: Any, numbers: Numbers, how: How,
            fault: Fault | None) -> None:  # fmt: skip
        self._update(worker, key, group, 0, numbers.text, how, fault)

    @rule(worker=_WORKER, key=_KEY, group=GROUP, numbers=NUMBERS, how=HOW,
          fault=WRITE_FAULT)  # fmt: skip
    def take_out(self, worker: int, key: int, group: Any, numbers: Numbers, how: How,
                 fault: Fault | None) -> None:  # fmt: skip
        self._update(worker, key, group, 1, numbers.text, how, fault)

    @rule(worker=_WORKER, key=_KEY, group=GROUP, numbers=NUMBERS, how=HOW,
          fault=WRITE_FAULT)  # fmt: skip
    def replace(self, worker: int, key: int, group: Any, numbers: Numbers, how: How,
                fault: Fault | None) -> None:  # fmt: skip
        self._update(worker, key, group, 2, numbers.text, how, fault)

    @rule(worker=_WORKER, key=_KEY, group=GROUP, operate=st.integers(0, 2),
          text=BAD_NUMBERS)  # fmt: skip
    def update_with_bad_numbers(
        self, worker: int, key: int, group: Any, operate: int, text: str
    ) -> None:
        self._update(worker, key, group, operate, text, RIGHT, None)

    @rule(
        worker=_WORKER,
        key=_KEY,
        group=GROUP,
        how=HOW,
        fault=WRITE_FAULT,
    )
    def delete(self, worker: int, key: int, group: Any, how: How, fault: Fault | None) -> None:
        body = {"groupId": self._group(key, group)}
        self._write(worker, key, "deleteGroup", body, how, fault)

    @precondition(lambda self: self.sent)
    @rule(worker=_WORKER, back=BACK, fault=REPEAT_FAULT)
    def repeat(self, worker: int, back: int, fault: Fault | None) -> None:
        """Send an earlier write again, byte for byte; see what it changed."""
        call = self.sent[-1 - back % len(self.sent)]
        self._send_again(worker, call, fault)
        self.list_all_on_both(list(self.reference.keys).index(call.key), None)

    @rule(worker=_WORKER, key=_KEY, limit=LIMIT, offset=OFFSET, how=HOW,
          fault=READ_FAULT)  # fmt: skip
    def list_page(
        self, worker: int, key: int, limit: int, offset: int, how: How, fault: Fault | None
    ) -> None:
        self._call(worker, key, "listGroup", {"limit": limit, "offset": offset}, how, fault)

    @rule(key=_KEY, fault=PAGE_FAULT)
    def list_all_on_both(self, key: int, fault: Fault | None) -> None:
        for worker, met in ((0, fault), (1, None), (0, None)):
            self._call(worker, key, "listGroup", {"limit": 0, "offset": 0}, RIGHT, met)

    @rule(
        worker=_WORKER,
        key=_KEY,
        group=GROUP,
        changed=CHANGED_FIELDS,
        action=st.sampled_from(["listGroup", "createGroup", "updateGroup", "deleteGroup"]),
    )
    def call_with_changed_fields(
        self, worker: int, key: int, group: Any, changed: dict[str, Any], action: str
    ) -> None:
        body = {"limit": 2, "offset": 1, "operateType": 0, "phones": "8615100000000"}
        sent = body | {"groupId": self._group(key, group)} | changed
        own = {name: sent[name] for name in FIELDS[action] if name in sent}
        self._write(worker, key, action, own, RIGHT, None)

    @rule(
        worker=_WORKER,
        key=_KEY,
        body=NO_OBJECTS,
        how=HOW,
        action=st.sampled_from(["listGroup", "createGroup", "updateGroup", "deleteGroup"]),
    )
    def call_without_an_object(
        self, worker: int, key: int, body: bytes, how: How, action: str
    ) -> None:
        self._call(worker, key, action, body, how, None)

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

    @rule(key=_KEY, is_demanded=_RARELY)
    def demand_sha256(self, key: int, is_demanded: bool) -> None:
        name, known = self._key(key)
        refused_ms = self.time() if is_demanded else None
        self._wait(access_keys.require_sha256(self.store, name, refused_ms))
        known.demands_sha256 = is_demanded

    @rule(worker=_WORKER)
    def forget_notes(self, worker: int) -> None:
        """What a worker does every 30 s: other workers may have other clocks."""
        self._wait(self._workers[worker].clean())
        self.reference.clean(self._workers[worker].clock())

    @rule(ms=st.sampled_from([1, 20_000, 60_000, 100_000, -30_000, DAY_MS]), key=_KEY)
    def move_time(self, ms: int, key: int) -> None:
        self.time.now_ms += ms
        self._call(0, key, "listGroup", {"limit": 1, "offset": 0}, RIGHT, None)

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
        """Between two calls: each is tried again on a new connection, and nobody notices."""
        self._wait(end_connections(self.url))

    def _update(
        self, worker: int, key: int, group: Any, operate: int, text: str, how: How,
        fault: Fault | None,
    ) -> None:  # fmt: skip
        body = {"groupId": self._group(key, group), "operateType": operate, "phones": text}
        self._write(worker, key, "updateGroup", body, how, fault)

    def _write(
        self, worker: int, key: int, action: str, body: dict[str, Any], how: How,
        fault: Fault | None,
    ) -> None:  # fmt: skip
        number = next(self._numbers)
        self._call(worker, key, action, body | {"n": number}, how, fault)
        if number % 3 == 0 and action != "listGroup":
            self._send_again(1 - worker, self.sent[-1], None)
        if number % 2:  # not every time, so that several changes are met by one page too
            self.list_all_on_both(key, None)

    def _call(
        self, worker: int, key: int, action: str, body: Any, how: How, fault: Fault | None
    ) -> None:
        name, known = self._key(key)
        secret = known.secrets[max(how.secret, -len(known.secrets))]
        clock = self._workers[worker].clock
        ts_ms = self.time() if how.late_ms is None else clock() - how.late_ms
        own = "sha256" if known.demands_sha256 else "md5"
        algorithm = {"the key's": own, "not sent": None}.get(how.algorithm, how.algorithm)
        call = Call(action, body, name, secret, ts_ms, algorithm, how.flaws)
        if action != "listGroup":
            self.sent.append(call)
        self._send(worker, call, fault)

    def _send_again(self, worker: int, call: Call, fault: Fault | None) -> None:
        self.seen["repeated", self._send(worker, call, fault).code] += 1

    def _send(self, worker: int, call: Call, fault: Fault | None) -> Answer:
        now_ms = self._workers[worker].clock()
        answer, met = self._wait(self._workers[worker].send(call, fault))
        self.seen.update([answer.code, met])
        self.reference.accept(call, now_ms, met, self.ids.group, answer)
        if call.action == "createGroup" and answer.code in (0, 19006):
            made = self.made[self.reference.keys[call.key].customer]
            group_id = answer.returned.get("groupId", self.ids.group)
            if group_id not in made:
                made.append(group_id)
        return answer

    def _key(self, number: int) -> tuple[str, Key]:
        return list(self.reference.keys.items())[number]

    def _group(self, key: int, group: tuple[str, int]) -> str:
        """Choose an id: one that the key's customer was given, another's, or nobody's."""
        whose, number = group
        customer = self._key(key)[1].customer
        others = itertools.chain(*(ids for name, ids in self.made.items() if name != customer))
        ids = {"own": self.made[customer], "another's": list(others)}.get(whose)
        return ids[-1 - number % len(ids)] if ids else UNKNOWN_IDS[number]

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)


def lives_on(url: str) -> type[Lives]:
    """Return lives in a new database."""
    asyncio.run(migrate(url))
    return type("Lives", (Lives,), {"url": url, "seen": Counter()})
