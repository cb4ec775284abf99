"""The operator's commands on virtual numbers."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from tests import direct
from tests.bindings.actions import A, Bindings, X, Y
from tests.conftest import FakeClock

from openpns.bindings import operations
from openpns.errors import ConfigError
from openpns.numbers import service as numbers

NEW = "85290000009"


async def add(bindings: Bindings, *dids: str, **options: bool) -> list[str]:
    context = bindings.context
    return await numbers.add(context.store, context.clock, context.customer_id, dids, **options)


async def test_number_is_stored_in_digits_with_its_country(mine: Bindings) -> None:
    assert await add(mine, "+1 415 555".replace(" ", ""), f" {NEW} ") == ["1415555", NEW]
    stored = await numbers.get(mine.context.store, NEW)
    assert (stored.country, stored.state, stored.business_id) == ("852", "active", "default")


@pytest.mark.parametrize(
    ("dids", "why"),
    [
        (["852"], "virtual number 1 must be a virtual number: 5 to 15 digits"),
        ([NEW, "21099999999"], "virtual number 2 must begin with an assigned country code"),
        ([NEW, f"+{NEW}"], "given twice"),
        ([NEW, X], r"virtual number 2 \(85290\*\*\*\*01\) belongs to this customer already"),
    ],
)
async def test_add_takes_all_or_none(mine: Bindings, dids: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        await add(mine, *dids)
    with pytest.raises(ConfigError, match="no customer has it"):
        await numbers.get(mine.context.store, NEW)


async def test_number_belongs_to_one_customer(mine: Bindings, theirs: Bindings) -> None:
    with pytest.raises(ConfigError, match="belongs to another customer already"):
        await add(theirs, X)


async def test_removed_number_rests_before_a_stranger_gets_it(
    mine: Bindings, theirs: Bindings, clock: FakeClock
) -> None:
    store = mine.context.store
    await operations.remove_number(store, clock, X, is_forced=False)
    with pytest.raises(ConfigError, match="no customer has it"):
        await numbers.set_state(store, clock, X, "active")
    with pytest.raises(ConfigError, match="rests after its removal"):
        await add(theirs, X)
    await add(mine, X)
    await operations.remove_number(store, clock, X, is_forced=False)
    clock.now_ms += 30 * 86_400_000
    await add(theirs, X)
    await operations.remove_number(store, clock, Y, is_forced=False)
    await add(theirs, Y, ignore_rest=True)


@pytest.mark.parametrize(
    "write",
    [
        lambda store, clock: numbers.set_state(store, clock, X, "active"),
        partial(operations.remove_number, did=X, is_forced=False),
    ],
    ids=["set_state", "remove"],
)
async def test_number_that_is_removed_at_the_same_time_stays_removed(
    mine: Bindings,
    database_url: str,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[..., Awaitable[Any]],
) -> None:
    async def end_none(*_: object) -> None:
        """It locks the customer as well, and has ended before the other write waits."""

    monkeypatch.setattr(operations.ending, "end_expired_of", end_none)
    store = mine.context.store
    tasks = []
    async with direct.holding(database_url, "UPDATE customer_state SET binding_count = 0"):
        for one in (partial(operations.remove_number, did=X, is_forced=False), write):
            tasks.append(asyncio.ensure_future(one(store, clock)))
            await direct.until_waiting(database_url, len(tasks))
    await tasks[0]
    with pytest.raises(ConfigError, match="no customer has it"):
        await tasks[1]
    assert (await numbers.get(store, X)).state == numbers.RESTING
    assert (await mine.explain(A, X))[2] == "unknownNumber"


async def test_add_waits_for_the_post_step(mine: Bindings, database_url: str) -> None:
    await direct.run(database_url, "DELETE FROM schema_migration WHERE step = 'post'")
    with pytest.raises(ConfigError, match="openpns migrate --post"):
        await add(mine, NEW)


async def test_every_command_is_in_the_audit_trail_with_masked_numbers(
    mine: Bindings, query: direct.Query, clock: FakeClock
) -> None:
    await mine.set_state(X, "draining")
    await mine.set_state(X, "disabled")
    await mine.set_state(X, "active")
    await operations.remove_number(mine.context.store, clock, X, is_forced=False)
    entries = await query(
        "SELECT action, details FROM audit_entry WHERE action LIKE 'numbers.%' ORDER BY at_ms"
    )
    assert sorted(action for action, _ in entries) == [
        "numbers.add", "numbers.disable", "numbers.drain", "numbers.enable", "numbers.remove",
    ]  # fmt: skip
    assert not any(did in str(entries) for did in (X, Y))
