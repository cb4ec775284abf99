"""unbindAXB and updateBinding."""

import dataclasses
from typing import Any

import msgspec
import pytest
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.conftest import FakeClock

from openpns.bindings import ending
from openpns.errors import (
    BindingConflict,
    BindingNotFound,
    CountryMismatch,
    EmptyPhone,
    ParameterError,
    SamePhone,
)
from openpns.storage.store import Transaction

pytestmark = pytest.mark.usefixtures("sound_tables")


async def test_unbind_ends_the_calls_at_once(mine: Bindings) -> None:
    bind_id, did = await mine.bind()
    await mine.unbind(bind_id)
    assert [await mine.call(phone, did) for phone in (A, B)] == ["", ""]
    with pytest.raises(BindingNotFound):
        await mine.unbind(bind_id)
    with pytest.raises(BindingNotFound):
        await mine.get(bind_id)


async def test_unbind_takes_either_id_and_both_must_agree(mine: Bindings) -> None:
    first, _ = await mine.bind(A, B, customer_bind_id="one")
    second, _ = await mine.bind(A, B, customer_bind_id="two")
    with pytest.raises(ParameterError, match="bindId or customerBindId is required"):
        await mine.unbind()
    with pytest.raises(ParameterError):
        await mine.unbind("", "")
    with pytest.raises(BindingNotFound):
        await mine.unbind(first, "two")
    await mine.unbind(first, "one")
    await mine.unbind(own_id="two")
    assert await mine.ids() == []
    with pytest.raises(BindingNotFound):
        await mine.unbind(second)


async def test_binding_that_ran_out_is_not_found(mine: Bindings, clock: FakeClock) -> None:
    bind_id, _ = await mine.bind(expire=5)
    clock.now_ms += 7_000
    with pytest.raises(BindingNotFound):
        await mine.unbind(bind_id)
    with pytest.raises(BindingNotFound):
        await mine.update(bind_id, flag=1)


async def test_group_binding_is_ended_with_its_count(mine: Bindings) -> None:
    group_id = await mine.group(B, C)
    bind_id, did = await mine.bind_group(group_id)
    await mine.unbind(bind_id)
    assert await mine.call(B, did) == ""
    await mine.drop_group(group_id)


async def test_update_counts_the_time_from_the_change(mine: Bindings, clock: FakeClock) -> None:
    clock.now_ms = 1_670_479_632_000
    bind_id, did = await mine.bind(expire=10)
    clock.now_ms += 9_000
    await mine.update(bind_id, expire_second=10)
    clock.now_ms += 9_999
    assert await mine.call(A, did) == B
    clock.now_ms += 1
    assert await mine.call(A, did) == ""


async def test_update_can_make_a_binding_last_for_ever(mine: Bindings) -> None:
    bind_id, _ = await mine.bind(expire=10)
    await mine.update(bind_id, expire_second=0, flag=1)
    shown = await mine.get(bind_id)
    assert (shown.expire_at, shown.flag) == (0, 1)


async def test_update_of_b_frees_its_seat_and_takes_another(mine: Bindings) -> None:
    bind_id, did = await mine.bind(A, B)
    await mine.update(bind_id, phone_b=C)
    assert [await mine.call(phone, did) for phone in (A, B, C)] == [C, "", A]
    await mine.bind(D, B)
    await mine.update(bind_id, phone_b=C)


async def test_update_of_b_is_refused_as_a_bind_would_be(mine: Bindings) -> None:
    bind_id, did = await mine.bind(A, B)
    other, other_did = await mine.bind(C, D)
    while other_did != did:
        other, other_did = await mine.bind(C, D)
    with pytest.raises(BindingConflict):
        await mine.update(bind_id, phone_b=C)
    with pytest.raises(SamePhone):
        await mine.update(bind_id, phone_b=A)
    with pytest.raises(EmptyPhone):
        await mine.update(bind_id, phone_b="")
    with pytest.raises(CountryMismatch):
        await mine.update(bind_id, phone_b="8613800138000")
    with pytest.raises(ParameterError, match="one of your own virtual numbers"):
        await mine.update(bind_id, phone_b=X)
    with pytest.raises(ParameterError, match="one of expireSecond, phoneB and flag is required"):
        await mine.update(bind_id)
    assert await mine.call(A, did) == B
    await mine.unbind(other)
    await mine.update(bind_id, phone_b=C, dry_run=True)
    assert await mine.call(A, did) == B


async def test_update_of_b_in_other_kinds(mine: Bindings) -> None:
    digits = await mine.bind_digits()
    await mine.update(digits, phone_b=B)
    assert await mine.call(A, X, "123") == B
    await mine.update(digits, phone_b="")
    assert await mine.call(A, X, "123") == ""
    bind_id, did = await mine.bind_group(await mine.group(B, C))
    with pytest.raises(ParameterError, match="phoneB must be a number of the group"):
        await mine.update(bind_id, phone_b=D)
    await mine.update(bind_id, phone_b=C)
    assert await mine.call(A, did) == C


def with_a_faster_clock(mine: Bindings) -> Bindings:
    clock = mine.context.clock
    services = dataclasses.replace(mine.context.services, clock=lambda: clock() + 5000)
    return Bindings(msgspec.structs.replace(mine.context, services=services))


async def test_binding_that_ran_out_for_a_faster_clock_does_not_take_its_seats_back(
    mine: Bindings, clock: FakeClock
) -> None:
    """A node whose clock is ahead ends a binding earlier than others do."""
    ahead = with_a_faster_clock(mine)
    await mine.set_state(Y, "draining")
    pair, _ = await mine.bind(A, B, 10)
    group, _ = await mine.bind_group(await mine.group(C), D, 10)
    clock.now_ms += 8000
    await ahead.bind(B, C)
    for bind_id in (pair, group):
        with pytest.raises(BindingConflict):
            await mine.update(bind_id, expire_second=60)
    assert [await ahead.call(phone) for phone in (A, B, C, D)] == ["", C, B, ""]


async def test_update_gets_the_seat_of_a_binding_that_has_ended_back(
    mine: Bindings, clock: FakeClock
) -> None:
    ahead = with_a_faster_clock(mine)
    await mine.set_state(Y, "draining")
    pair, _ = await mine.bind(A, B, 10)
    clock.now_ms += 8000
    other, _ = await ahead.bind(B, C)
    await ahead.unbind(other)
    await mine.update(pair, expire_second=60)
    assert [await ahead.call(phone) for phone in (A, B, C)] == [B, A, ""]


async def test_binding_that_runs_out_while_its_change_waits_has_ended(
    mine: Bindings, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, _ = await mine.bind_group(await mine.group(C), D, 10)
    lock = ending.lock_groups

    def lock_late(*arguments: Any) -> Transaction[None]:
        yield from lock(*arguments)
        clock.now_ms += 20_000

    monkeypatch.setattr(ending, "lock_groups", lock_late)
    with pytest.raises(BindingNotFound):
        await mine.update(group, expire_second=60)
