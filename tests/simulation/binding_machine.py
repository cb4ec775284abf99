"""Random binds, calls and operator's commands: each result must be that of a model in memory.

Two workers, each with its own store on the same database, take turns. There are few phones, virtual
numbers and digits, and bindings run out soon, so that nearly everything collides. After each step
the phones that it names are called, through the other worker. Through one of them dry runs
come first, which must be answered alike.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Any

from tests.bindings.actions import Bindings
from tests.conftest import FakeClock
from tests.simulation.reference_bindings import BY_GROUP, Binding, Number, Refused, Wanted, World
from tests.simulation.workers import migrate

from openpns.accounts import customers
from openpns.bindings import operations
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.errors import ConfigError, WireError
from openpns.ids import Snowflake
from openpns.numbers import service as numbers
from openpns.storage import connect

ROOM = 3
"""How many bindings a virtual number takes."""

DRY = 1
"""The worker of dry runs."""

PHONES = ("85211111111", "85222222222", "85233333333", "85244444444", "8615100000000")
DIGITS = ("123", "124")

_run_numbers = itertools.count()


class Pair:
    """Two stores on a new database, and the event loop that they work in.

    Attributes:
        seen: How often each code was returned; 0 for success.
    """

    def __init__(self, url: str) -> None:
        self.seen: Counter[Any] = Counter()
        self._runner = asyncio.Runner()
        self.wait = self._runner.run
        self.wait(migrate(url))
        self.stores = [self.wait(connect.open_store(url)) for _ in range(2)]

    def close(self) -> None:
        for store in self.stores:
            self.wait(store.close())
        self._runner.close()


class BindingMachine:
    """What may happen: requests, then what an operator does."""

    def __init__(self, pair: "Pair", count: int = 2) -> None:
        """Begin with a new customer, who has a few virtual numbers and two groups.

        Args:
            count: How many of the virtual numbers are of the first country.
        """
        self.seen = pair.seen
        self.clock = FakeClock()
        self.world = World(ROOM, self.clock)
        run = next(_run_numbers)
        self.customer = f"cus_{run}"
        self.dids = [f"8529{run:05}{n}" for n in range(3)] + [f"869{run:05}0"]
        self.group_ids: list[str] = []
        self._wait = pair.wait
        self._stores = pair.stores
        self._workers = [self._worker(number) for number in range(2)]
        self._wait(customers.create(self._stores[0], self.clock, self.customer, ""))
        self.add_numbers([*range(count), 3])
        for members in (PHONES[:2], PHONES[2:3]):
            self.create_group(0, members)

    def _worker(self, number: int) -> Bindings:
        services = Services(
            self._stores[number],
            Snowflake(self.clock, worker_id=number),
            self.clock,
            bindings_per_number_max=ROOM,
            wrong_digits_max=1 << 40,
        )
        return Bindings(Context(services, Principal("a key", self.customer)))

    def do(self, step: tuple[str, dict[str, Any]]) -> None:
        """Do a step: the name of a method here and its arguments."""
        name, arguments = step
        getattr(self, name)(**arguments)

    def nothing(self) -> None:
        pass

    def add_numbers(self, places: Sequence[int]) -> None:
        dids = [self.dids[place] for place in places]
        self._wait(self._workers[0].add(*dids))
        for did in dids:
            self.world.numbers[did] = Number(did[:3] if did.startswith("852") else "86")

    def bind(self, worker: int, a: str, b: str, expire: int, own_id: str = "") -> None:
        if a != b:
            self._bind(worker, Wanted("axb", a, b, expire, own_id=own_id))

    def bind_digits(
        self, worker: int, a: str, b: str | None, number: int, digits: str, expire: int,
        own_id: str = "",
    ) -> None:  # fmt: skip
        if a != b:
            did = self.dids[number]
            wanted = Wanted("extension", a, b or "", expire, did, digits, own_id=own_id)
            self._bind(worker, wanted)

    def bind_group(
        self, worker: int, a: str, b: str | None, group: int, number: int | None, expire: int,
        own_id: str = "",
    ) -> None:  # fmt: skip
        if a != b:
            did = "" if number is None else self.dids[number]
            group_id = self._group(group)
            wanted = Wanted(BY_GROUP, a, b or "", expire, did, "", group_id, own_id)
            self._bind(worker, wanted)

    def bind_a_virtual_number(self, worker: int, number: int, other: str) -> None:
        self._bind(worker, Wanted("axb", other, self.dids[number], 0))

    def make_b_virtual(self, worker: int, number: int, other: str) -> None:
        """Bind a phone that is added as a virtual number afterwards."""
        did = self.dids[number]
        if did in self.world.numbers:
            self.remove_number(number, is_forced=True)
        self.bind_a_virtual_number(worker, number, other)
        self.add_numbers([number])
        for binding in self.world.live():
            if binding.b == did:
                self._call(worker, binding)

    def unbind(self, worker: int, back: int, by: str = "id") -> None:
        named = self._binding(back)
        ids = self._ids(named, by)
        expected, code = self._expect(lambda: self.world.find(*ids))
        if expected is not None:
            self.world.end(expected)
        self._check(code, self._workers[worker].unbind(ids[0] or None, ids[1] or None))
        self._call(1 - worker, named)

    def update(
        self, worker: int, back: int, expire: int | None, b: str | None, flag: int | None
    ) -> None:
        named = self._binding(back)
        if named is None or (expire is None and b is None and flag is None):
            return

        def change() -> None:
            self.world.update(self.world.find(named.bind_id, ""), expire, b, flag)

        fields = {"expire_second": expire, "phone_b": b, "flag": flag}
        _, code = self._expect(change)
        if worker == DRY:
            self._check(code, self._workers[worker].update(named.bind_id, **fields, dry_run=True))
        self._check(code, self._workers[worker].update(named.bind_id, **fields))
        self._call(1 - worker, named)

    def create_group(self, worker: int, members: Sequence[str]) -> None:
        group_id = self._wait(self._workers[worker].group(*members))
        self.world.groups[group_id] = tuple(dict.fromkeys(members))
        self.group_ids.append(group_id)

    def change_group(self, worker: int, group: int, operation: int, phones: Sequence[str]) -> None:
        self._change_group(worker, self._group(group), operation, phones)

    def add_at_the_end(self, worker: int, number: int, phones: Sequence[str]) -> None:
        """Bind two groups on a virtual number; once one ended, add its A to the other."""
        first, a, second, a_of_second = phones
        for member, other, expire in ((first, a, 0), (second, a_of_second, 1)):
            self.create_group(worker, [member])
            self.bind_group(worker, other, None, 0, number, expire)
        ends = (b.end_ms for b in self.world.live() if b.a == a_of_second and b.expire_at)
        self.clock.now_ms = min(ends, default=self.clock.now_ms)
        self._change_group(worker, self.group_ids[-2], 0, [a_of_second])

    def _change_group(
        self, worker: int, group_id: str, operation: int, phones: Sequence[str]
    ) -> None:
        _, code = self._expect(lambda: self.world.change_group(group_id, operation, phones))
        for dry_run in [True, False] if worker == DRY else [False]:
            changing = self._workers[worker].change_group(
                group_id, operation, *phones, dry_run=dry_run
            )
            self._check(code, changing)
        for binding in self.world.live():
            if binding.group_id == group_id:
                self._ask(1 - worker, binding.did, phones)

    def delete_group(self, worker: int, group: int) -> None:
        group_id = self._group(group)
        _, code = self._expect(lambda: self.world.delete_group(group_id))
        self._check(code, self._workers[worker].drop_group(group_id))

    def move_time(self, to: str) -> None:
        """Move the clock, most often to the moment at which a binding runs out."""
        end_ms = min(self.world.boundaries(), default=self.clock() + 1000)
        steps = {"end": end_ms - self.clock(), "before the end": end_ms - self.clock() - 1}
        others = {"a little": 300, "later": 3000, "a day": 24 * 3_600_000}
        running_out = [b for b in self.world.live() if b.end_ms == end_ms]
        self.clock.now_ms += max(0, (steps | others)[to])
        for worker, binding in enumerate(running_out[:2]):
            self._call(worker, binding)

    def sweep(self, worker: int) -> None:
        self._wait(self._workers[worker].sweep())
        self.world.unswept = {binding.bind_id for binding in self.world.live()}

    def set_state(self, number: int, state: str) -> None:
        did = self.dids[number]
        if did in self.world.numbers:
            self.world.numbers[did].state = state
            self._wait(self._workers[0].set_state(did, state))
            self._ask(1, did, PHONES[:2])

    def remove_number(self, number: int, is_forced: bool) -> None:
        """Remove a virtual number, or add it again."""
        did = self.dids[number]
        if did not in self.world.numbers:
            self.add_numbers([number])
            return
        live = self.world.live(did)
        is_refused = bool(live) and not is_forced
        for binding in [] if is_refused else live:
            self.world.end(binding)
        removing = operations.remove_number(self._stores[0], self.clock, did, is_forced=is_forced)
        try:
            self._wait(removing)
        except ConfigError:
            assert is_refused
        else:
            assert not is_refused
            self.world.remove_number(did)
        self._ask(1, did, PHONES[:2])

    def give_number_to_nobody(self, number: int) -> None:
        """Refuse to add a virtual number that the customer has."""
        did = self.dids[number]
        if did in self.world.numbers:
            add = numbers.add(self._stores[0], self.clock, self.customer, [did])
            self._check(ConfigError, add)

    def hold(self, is_held: bool) -> None:
        """Hold the customer's calls as after a restore, and confirm the bindings."""
        store = self._stores[0]
        held = self._wait(operations.hold(store, self.clock, self.customer))
        self.world.is_held |= bool(held)  # not if there are no bindings
        self.look_at_everything(1)
        if self.world.is_held and not is_held:
            self._wait(operations.confirm(store, self.customer))
            self.world.is_held = False

    def call(self, worker: int, phone: str, number: int, is_short: bool) -> None:
        country = 3 if phone.startswith("852") else 2
        self._ask(worker, self.dids[number], [phone[country:] if is_short else phone])

    def look_at_everything(self, worker: int) -> None:
        for did in self.dids:
            self._ask(worker, did, PHONES)
        self._list(worker)

    def _bind(self, worker: int, wanted: Wanted) -> None:
        expected, code = self._expect(lambda: self.world.choose(wanted))
        dry = None
        if worker == DRY:
            dry = self._check(code, self._send(worker, wanted, dry_run=True))
        bound = self._check(code, self._send(worker, wanted))
        if bound is None:
            return
        bind_id, did = bound
        if isinstance(expected, Binding):
            assert (bind_id, did) == (expected.bind_id, expected.did)
            assert dry in (None, bound)
        else:
            assert did in expected, f"took {did}, right were {expected}"
            assert dry in (None, ("", did)), f"took {did}, the dry run {dry}"
            self.world.bind(wanted, did, bind_id)
        self._call(1 - worker, self.world.find(bind_id, ""))

    async def _send(self, worker: int, wanted: Wanted, *, dry_run: bool = False) -> tuple[str, str]:
        bindings = self._workers[worker]
        fields: dict[str, Any] = {"dry_run": dry_run}
        if wanted.own_id:
            fields["customer_bind_id"] = wanted.own_id
        if wanted.kind == "axb":
            return await bindings.bind(wanted.a, wanted.b, wanted.expire, **fields)
        if wanted.b:
            fields["phone_b"] = wanted.b
        if wanted.kind == "extension":
            found = await bindings.bind_digits(
                wanted.digits, wanted.a, wanted.did, wanted.expire, **fields
            )
            return found, wanted.did
        if wanted.did:
            fields["phone_x"] = wanted.did
        return await bindings.bind_group(wanted.group_id, wanted.a, wanted.expire, **fields)

    def _call(self, worker: int, binding: Binding | None) -> None:
        """Call from the phones of a binding, and look whether it is listed."""
        if binding is not None:
            phones = {binding.a, binding.b, *self.world.groups.get(binding.group_id, ())} - {""}
            self._ask(worker, binding.did, sorted(phones), binding.digits)
        self._list(worker)

    def _ask(self, worker: int, did: str, callers: Sequence[str], digits: str = "") -> None:
        for caller in callers:
            for dialled in {"", digits}:
                got = self._wait(self._workers[worker].call(caller, did, dialled or None))
                right = self.world.call(caller, did, dialled)
                assert got == right, f"{caller} on {did} reached {got!r}, right is {right!r}"
                self.seen["called" if got else "not called"] += 1

    def _list(self, worker: int) -> None:
        page = self._wait(self._workers[worker].page())
        rows = [
            (b.bind_id, b.customer_bind_id, b.phone_a, b.phone_b, b.did, b.flag, b.expire_at,
             b.extension) for b in page.bind_list
        ]  # fmt: skip
        assert rows == [
            (b.bind_id, b.own_id, b.a, b.b, b.did, b.flag, b.expire_at, b.digits)
            for b in self.world.live()
        ]
        assert page.total == len(rows)

    def _expect(self, change: Any) -> tuple[Any, int]:
        """Return what the model returns and 0, or None and the code with which it refuses."""
        try:
            return change(), 0
        except Refused as refused:
            return None, refused.code

    def _check(self, expected: Any, work: Awaitable[Any]) -> Any:
        """Await work that must end with a code; return its result, None if it was refused."""
        result, code = None, 0
        try:
            result = self._wait(work)  # type: ignore[arg-type]
        except WireError as error:
            code = error.code
        except ConfigError:
            code = ConfigError
        self.seen[code] += 1
        assert code == expected, f"got {code}, expected {expected}"
        return result

    def _binding(self, back: int) -> Binding | None:
        bindings = self.world.bindings
        return bindings[-1 - back % len(bindings)] if bindings else None

    def _ids(self, binding: Binding | None, by: str) -> tuple[str, str]:
        """Return ids that name a binding, or another one than it, or none."""
        if binding is None:
            return "0" * 32, ""
        if by == "own id" and binding.own_id:
            return "", binding.own_id
        own_id = {"both": binding.own_id, "other": "order 2"}.get(by, "")
        return binding.bind_id, own_id

    def _group(self, number: int) -> str:
        return self.group_ids[-1 - number % len(self.group_ids)]
