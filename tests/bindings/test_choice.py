"""Which virtual number a binding takes."""

import asyncio
import dataclasses
from collections import Counter

import msgspec
import pytest
from tests.bindings.actions import A, B, Bindings, C, D, X, Y, Z
from tests.conftest import FakeClock

from openpns.errors import NoVirtualNumber, PoolExhausted

pytestmark = pytest.mark.usefixtures("sound_tables")


async def test_the_number_with_the_fewest_bindings_is_taken(mine: Bindings) -> None:
    await mine.add(Z)
    taken = [(await mine.bind(f"852500000{n:02}", f"852600000{n:02}"))[1] for n in range(12)]
    assert Counter(taken) == {X: 4, Y: 4, Z: 4}


async def test_binds_at_once_are_spread_as_evenly_as_binds_one_after_the_other(
    mine: Bindings,
) -> None:
    await mine.add(Z)
    binds = [mine.bind(f"852500000{n:02}", f"852600000{n:02}") for n in range(60)]
    bound = await asyncio.gather(*binds)
    assert Counter(did for _, did in bound) == {X: 20, Y: 20, Z: 20}


async def test_binds_at_once_that_share_a_phone_take_different_numbers(mine: Bindings) -> None:
    await mine.add(Z)
    await asyncio.gather(*[mine.bind(f"852500000{n:02}", f"852600000{n:02}") for n in range(6)])
    await mine.add("85290000004")  # the one with the fewest for each of them
    bound = await asyncio.gather(
        *[mine.bind(A, f"852700000{n:02}") for n in range(6)],
        *[mine.bind(f"852800000{n:02}", B) for n in range(6)],
        return_exceptions=True,
    )
    for of_phone in (bound[:6], bound[6:]):
        taken = [one[1] for one in of_phone if not isinstance(one, BaseException)]
        assert sorted(taken) == [X, Y, Z, "85290000004"]
        refused = [one for one in of_phone if isinstance(one, BaseException)]
        assert {type(one) for one in refused} == {PoolExhausted}


async def test_binds_at_once_with_one_own_id_make_one_binding(mine: Bindings) -> None:
    binds = [mine.bind(A, B, 60, customer_bind_id="order 1") for _ in range(8)]
    others = [mine.bind(f"8525000000{n}", f"8526000000{n}") for n in range(4)]
    bound = await asyncio.gather(*binds, *others)
    assert len(set(bound[:8])) == 1
    assert len(set(bound)) == 5
    assert len(await mine.ids()) == 5


async def test_number_on_which_a_phone_was_bound_lately_is_taken_last(
    mine: Bindings, clock: FakeClock
) -> None:
    bind_id, did = await mine.bind(A, B)
    await mine.unbind(bind_id)
    await mine.bind(C, D)
    assert did == X
    assert (await mine.bind(A, "85255555555", dry_run=True))[1] == Y
    clock.now_ms += 24 * 3_600_000
    await mine.bind("85266666666", "85277777777")
    await mine.bind_digits(x=Y)
    assert (await mine.bind(A, B, dry_run=True))[1] == X


async def test_rest_of_a_seat_refuses_instead(mine: Bindings, clock: FakeClock) -> None:
    strict = mine.bounded(seat_rest_s=3600)
    for _ in range(2):
        bind_id, _ = await mine.bind(A, B)
        await mine.unbind(bind_id)
    with pytest.raises(PoolExhausted):
        await strict.bind(A, C)
    await strict.bind(C, D)
    clock.now_ms += 3_600_000
    await strict.bind(A, C)


async def test_business_narrows_the_choice(mine: Bindings) -> None:
    await mine.add(Z, business="food")
    bind_id, did = await mine.bind(business_id="food")
    assert (did, (await mine.get(bind_id)).business_id) == (Z, "food")
    with pytest.raises(PoolExhausted, match="of this business"):
        await mine.bind(business_id="food")
    with pytest.raises(NoVirtualNumber, match="you have none of this business"):
        await mine.bind(C, D, business_id="taxi")


async def test_draining_and_disabled_numbers_are_passed_over(mine: Bindings) -> None:
    await mine.set_state(X, "draining")
    assert (await mine.bind())[1] == Y
    await mine.set_state(Y, "disabled")
    with pytest.raises(PoolExhausted, match="is full or draining"):
        await mine.bind(C, D)
    await mine.set_state(X, "disabled")
    with pytest.raises(NoVirtualNumber):
        await mine.bind(C, D)


async def test_seat_that_was_ended_by_a_faster_clock_is_free(
    mine: Bindings, clock: FakeClock
) -> None:
    services = dataclasses.replace(mine.context.services, clock=lambda: clock() + 5000)
    ahead = Bindings(msgspec.structs.replace(mine.context, services=services))
    await mine.set_state(Y, "draining")
    for _ in range(2):
        bind_id, _ = await mine.bind(A, B)
        await ahead.unbind(bind_id)
