"""Guessing of digits."""

import asyncio
from typing import Any

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, X, Y
from tests.conftest import FakeClock

from openpns.core import logs
from openpns.routing import digits
from openpns.routing import service as routing
from openpns.routing.outcomes import GUARDS_DROPPED

MINUTE_MS = 60_000


async def guess(bindings: Bindings, times: int, caller: str = B) -> None:
    for n in range(times):
        assert await bindings.call(caller, X, f"9{n % 100:02}") == ""


async def test_wrong_digits_pause_digits_for_their_caller_there(
    mine: Bindings, clock: FakeClock
) -> None:
    await mine.bind_digits("123", A)
    await mine.bind_digits("123", A, Y)
    await guess(mine, 9)
    assert await mine.call(B, X, "123") == A
    await guess(mine, 1)
    assert await mine.call(B, X, "123") == ""
    assert await mine.call(B[3:], X, "123") == ""
    assert (await mine.explain(B, X, extension="123"))[2] == "paused"
    assert [await mine.call(C, X, "123"), await mine.call(B, Y, "123")] == [A, A]
    clock.now_ms += digits.PAUSE_MS
    assert await mine.call(B, X, "123") == A


async def test_wrong_digits_of_long_ago_do_not_count(mine: Bindings, clock: FakeClock) -> None:
    await mine.bind_digits("123", A)
    await guess(mine, 9)
    clock.now_ms += digits.WINDOW_MS
    await guess(mine, 9)
    assert await mine.call(B, X, "123") == A


@pytest.mark.parametrize("caller", [B[3:], f"+{B}", f"00{B}", f"0{B[3:]}", f"0{B[:3]}0{B[3:]}"])
async def test_all_forms_of_a_caller_count_together(mine: Bindings, caller: str) -> None:
    await mine.bind_digits("123", A)
    await guess(mine, 5, B)
    await guess(mine, 5, caller)
    assert [await mine.call(form, X, "123") for form in (B, caller)] == ["", ""]
    assert (await mine.explain(caller, X, extension="123"))[2] == "paused"


async def test_guesses_at_the_same_time_are_counted_before_the_next_is_answered(
    mine: Bindings, query: direct.Query
) -> None:
    await mine.bind_digits("099", A)
    forms = (B, B[3:], f"00{B}")
    tried = [mine.call(forms[n % 3], X, f"{n:03}") for n in range(100)]
    assert set(await asyncio.gather(*tried)) == {""}
    assert await query("SELECT count FROM digit_guard") == [(10,), (10,)]
    assert not mine.context.services.digit_turns.in_flight


async def test_right_digits_of_one_caller_at_the_same_time_are_all_answered(
    mine: Bindings,
) -> None:
    await mine.bind_digits("123", A)
    assert set(await asyncio.gather(*(mine.call(B, X, "123") for _ in range(50)))) == {A}


async def test_more_questions_than_may_wait_are_refused(
    mine: Bindings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mine.context.services.digit_turns, "_waiting_per_owner_max", 3)
    await mine.bind_digits("123", A)
    async with digits.turn(mine.context, X, B):
        waiting = [asyncio.create_task(mine.call(B, X, "123")) for _ in range(3)]
        await asyncio.sleep(0)
        assert [await mine.call(B, X, "123"), await mine.call(C, X, "123")] == ["", A]
    assert await asyncio.gather(*waiting) == [A] * 3


async def test_pause_that_another_worker_sets_meanwhile_holds(
    mine: Bindings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mine.bind_digits("123", A)
    await guess(mine, 9)
    find = routing.find_digits

    async def find_slowly(*arguments: Any) -> routing.FoundDigits | None:
        found = await find(*arguments)
        await digits.count_wrong(mine.context, X, B, mine.context.clock())
        return found

    monkeypatch.setattr(routing, "find_digits", find_slowly)
    assert await mine.call(B, X, "123") == ""


async def test_wrong_digits_during_a_pause_do_not_extend_it(
    mine: Bindings, clock: FakeClock
) -> None:
    await mine.bind_digits("123", A)
    await guess(mine, 10)
    clock.now_ms += digits.WINDOW_MS - 1
    await guess(mine, 5)
    await digits.count_wrong(mine.context, X, B, clock.now_ms)  # by a worker that read before it
    clock.now_ms += digits.PAUSE_MS - digits.WINDOW_MS + 1
    assert await mine.call(B, X, "123") == A


async def test_many_callers_slow_a_number_and_pause_nobody(
    mine: Bindings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    logged: list[int] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    class Logger:
        def warning(self, _: str, *, count: int, **__: str) -> None:
            logged.append(count)

    monkeypatch.setattr(digits, "WRONG_OF_ALL_MAX", 5)
    monkeypatch.setattr(logs, "logger", Logger)
    monkeypatch.setattr(routing.asyncio, "sleep", sleep)
    await mine.bind_digits("123", A)
    for n in range(7):
        await guess(mine, 1, f"8525000000{n}")
    assert [s for s in slept if s] == [digits.SLOW_S] * 2
    assert logged == [6]
    assert await mine.call(B, X, "123") == A


async def test_old_counts_are_deleted(
    mine: Bindings, clock: FakeClock, query: direct.Query
) -> None:
    await mine.bind_digits("123", A)
    await guess(mine, 10)
    clock.now_ms += digits.WINDOW_MS
    await digits.delete_old(mine.context.services)
    assert await query("SELECT count FROM digit_guard") == [(10,)]
    clock.now_ms += digits.PAUSE_MS
    await digits.delete_old(mine.context.services)
    assert await query("SELECT count FROM digit_guard") == []


async def test_callers_that_nobody_has_do_not_fill_the_table(
    mine: Bindings, query: direct.Query
) -> None:
    counted: list[tuple[str, int]] = []
    small = mine.bounded(
        wrong_digits_per_customer_max=5, count=lambda *event: counted.append(event)
    )
    await small.bind_digits("123", A)
    await small.bind_digits("123", A, Y)
    await guess(small, 2, C)
    assert await small.call(C, Y, "999") == ""
    for n in range(40):
        await guess(small, 1, f"8525000{n:04}")
    rows = await query("SELECT did, caller, count FROM digit_guard WHERE caller <> '' ORDER BY 2")
    assert rows == [(X, f"8525000{n:04}", 1) for n in range(35, 40)]
    of_all = await query("SELECT did, count FROM digit_guard WHERE caller = '' ORDER BY did")
    assert of_all == [(X, 42), (Y, 1)]
    dropped = [number for event, number in counted if event == GUARDS_DROPPED]
    assert dropped == [1] * 37


async def test_caller_who_goes_on_guessing_is_not_forgotten(mine: Bindings) -> None:
    small = mine.bounded(wrong_digits_per_customer_max=4)
    await small.bind_digits("123", A)
    for n in range(10):
        await guess(small, 1, B)
        for other in range(3):
            await guess(small, 1, f"852500{n}{other:04}")
    assert await small.call(B, X, "123") == ""
    assert (await small.explain(B, X, extension="123"))[2] == "paused"


async def test_counts_of_older_servers_are_counted_on(
    mine: Bindings, database_url: str, query: direct.Query
) -> None:
    await mine.bind_digits("123", A)
    await guess(mine, 9, B)
    await direct.run(database_url, "UPDATE digit_guard SET guard_seq = NULL")
    small = mine.bounded(wrong_digits_per_customer_max=1)
    await guess(small, 1, C)
    await guess(small, 1, B)
    assert (await small.explain(B, X, extension="123"))[2] == "paused"
    assert await query("SELECT caller FROM digit_guard WHERE caller <> ''") == [(B,)]
