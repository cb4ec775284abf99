"""Many tasks on two stores of one database: the record of what they got must be possible.

See `history` for what is checked, and `binding_history` for what is promised. A question answers by
a state between its begin and its end.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from time import monotonic_ns
from typing import Any

import pytest
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.helpers import on_sqlite_only
from tests.simulation.binding_history import (
    Bind,
    Bound,
    Call,
    ChangeGroup,
    Disable,
    Exhausted,
    Listed,
    State,
    Unbind,
)
from tests.simulation.effort import EFFORT, SEED, command
from tests.simulation.history import Operation, Violation, check
from tests.simulation.wrong_bindings import WRONG

from openpns.accounts import customers
from openpns.clock import now_ms
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.errors import BindingConflict, BindingNotFound, InternalError, PoolExhausted
from openpns.ids import Snowflake
from openpns.storage import connect

CLIENTS = 6
REQUESTS_EACH = 200 * EFFORT
PHONES = (A, B, C, D)
NEAR_NS = 10_000_000


class Client:
    """Sends requests one after the other, through one of the stores."""

    def __init__(self, its: Bindings, groups: list[str], record: list[Operation]) -> None:
        self._its = its
        self._groups = groups
        self._record = record
        self._bound: list[Bound] = []

    async def request(self, choices: random.Random) -> None:
        kinds = ["bind", "bind_group", "unbind", "change_group", "disable", "call", "page"]
        (kind,) = choices.choices(kinds, [4, 2, 4, 4, 1, 12, 2])
        await getattr(self, f"_{kind}")(choices)

    async def _bind(self, choices: random.Random) -> None:
        a, b = choices.sample(PHONES, 2)
        await self._make(self._its.bind(a, b), Bound("", "", a, b))

    async def _bind_group(self, choices: random.Random) -> None:
        a, group_id = choices.choice(PHONES), choices.choice(self._groups)
        await self._make(self._its.bind_group(group_id, a), Bound("", "", a, group_id, True))

    async def _make(self, binding: Awaitable[tuple[str, str]], wanted: Bound) -> None:
        start = monotonic_ns()
        try:
            bind_id, did = await binding
        except PoolExhausted:
            self._add(start, Exhausted(wanted))
        else:
            self._bound.append(wanted._replace(bind_id=bind_id, did=did))
            self._add(start, Bind(self._bound[-1]))

    async def _unbind(self, choices: random.Random) -> None:
        """End a binding, then call from its phones at once."""
        if not self._bound:
            return
        ended = self._bound.pop(choices.randrange(len(self._bound)))
        start, is_found = monotonic_ns(), True
        try:
            await self._its.unbind(ended.bind_id)
        except BindingNotFound:
            is_found = False
        self._add(start, Unbind(ended.bind_id, is_found))
        await self._ask(ended.a, ended.did)

    async def _change_group(self, choices: random.Random) -> None:
        group_id, phone = choices.choice(self._groups), choices.choice(PHONES)
        is_add = choices.random() < 0.5
        start, is_refused = monotonic_ns(), False
        try:
            await self._its.change_group(group_id, 0 if is_add else 1, phone)
        except BindingConflict:
            is_refused = True
        self._add(start, ChangeGroup(group_id, phone, is_add, is_refused))
        await self._ask(phone, choices.choice((X, Y)))

    async def _disable(self, choices: random.Random) -> None:
        for state in ("disabled", "active"):
            start = monotonic_ns()
            await self._its.set_state(Y, state)
            self._add(start, Disable(Y, state == "disabled"))
            await self._ask(choices.choice(PHONES), Y)

    async def _call(self, choices: random.Random) -> None:
        await self._ask(choices.choice(PHONES), choices.choice((X, Y)))

    async def _ask(self, caller: str, did: str) -> None:
        start = monotonic_ns()
        callee = await self._its.call(caller, did)
        self._add(start, Call(caller, did, callee))

    async def _page(self, _: random.Random) -> None:
        start = monotonic_ns()
        page = await self._its.page()
        ids = frozenset(binding.bind_id for binding in page.bind_list)
        self._add(start, Listed(ids, page.total))

    def _add(self, start: int, act: Any) -> None:
        self._record.append(Operation(start, monotonic_ns(), act))


async def find_violation(
    both: list[Bindings], rounds: int = 1
) -> tuple[Violation | None, list[Operation]]:
    """Let all clients work; return what is wrong with their record, and the record.

    It ends after `rounds`, or after the first one with something wrong.
    """
    await both[0].add(X, Y)
    groups = [await both[0].group(B), await both[0].group(C)]
    record: list[Operation] = []

    async def work(number: int, turn: int) -> None:
        choices = random.Random(f"{SEED}/{turn}/{number}")
        client = Client(both[number % 2], groups, record)
        for _ in range(REQUESTS_EACH):
            await client.request(choices)

    members = zip(groups, (frozenset({B}), frozenset({C})), strict=True)
    begin = State((X, Y), groups=frozenset(members))
    for turn in range(rounds):
        await asyncio.gather(*[work(number, turn) for number in range(CLIENTS)])
        violation = check(record, begin)
        if violation is not None:
            return violation, record
    return None, record


def describe(violation: Violation, record: list[Operation]) -> str:
    """Return what happened just before an impossible result, and what was possible."""
    zero = violation.operation.start
    before = [one for one in record if zero - NEAR_NS < one.end and one.start < zero + NEAR_NS]
    lines = [
        f"{(one.start - zero) / 1e6:9.3f} to {(one.end - zero) / 1e6:9.3f} ms: {one.act}"
        for one in sorted(before, key=lambda one: one.end)
    ]
    possible = [f"possible: {state}" for state in violation.possible[:5]]
    return "\n".join([f"impossible: {violation.operation.act}", *lines, *possible])


@pytest.fixture
async def both(database_url: str, migrated: None) -> AsyncIterator[list[Bindings]]:
    """A customer's bindings through two stores."""
    opened = await open_both(database_url)
    yield opened
    await close(opened)


async def open_both(url: str) -> list[Bindings]:
    stores = [await connect.open_store(url) for _ in range(2)]
    await customers.create(stores[0], now_ms, "cus_1", "")
    return [
        Bindings(Context(Services(store, Snowflake(now_ms, number), now_ms), principal))
        for number, store in enumerate(stores)
        for principal in [Principal("a key", "cus_1")]
    ]


async def close(both: list[Bindings]) -> None:
    for its in both:
        await its.context.store.close()


async def test_every_call_and_bind_fits_one_order_of_all_requests(
    both: list[Bindings], request: pytest.FixtureRequest
) -> None:
    violation, record = await find_violation(both)
    again = f"to repeat it: {command(request.node.nodeid)}"
    assert violation is None, f"{describe(violation, record)}\n{again}"
    kinds = {type(operation.act) for operation in record}
    assert kinds == {Bind, Exhausted, Unbind, ChangeGroup, Disable, Call, Listed}, again
    calls = [operation.act.callee for operation in record if isinstance(operation.act, Call)]
    assert 0 < calls.count("") < len(calls), again


@on_sqlite_only
@pytest.mark.parametrize("name", WRONG)
async def test_checker_finds_wrong_implementations(
    name: str, database_url: str, migrated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRONG[name](monkeypatch)
    opened = await open_both(database_url)
    try:
        violation, _ = await find_violation(opened, rounds=8)
    except InternalError:
        return
    finally:
        await close(opened)
    assert violation is not None
