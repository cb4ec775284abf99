"""How receivers share the places, so that none delays the others."""

import asyncio

import pytest
from tests import direct
from tests.conftest import FakeClock
from tests.deliveries.conftest import Add, Hook, Make
from tests.deliveries.hook_server import (
    MINUTE_MS,
    HookServer,
    Received,
    answer,
    hang,
    receiving,
    take,
    until,
)
from tests.helpers import on_sqlite_only

from openpns.deliveries import receivers as module
from openpns.deliveries.receivers import SLOW_S, Receiver, Receivers, Target


async def test_failing_receiver_gets_one_request_at_a_time_and_full_width_after_a_success(
    hook: Hook, add: Add, make: Make
) -> None:
    async def respond(receiver: HookServer, got: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.005)
        writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")

    async with receiving(respond) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", *range(100, 140))
        deliverer = make()
        assert await deliverer.run_once() == 40
        assert receiver.in_flight_max == 1

        async def taken(receiver: HookServer, _: Received, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.02)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

        receiver.respond = taken
        await add("cus_1", *range(200, 280))
        assert await deliverer.run_once() == 80
    assert 8 <= receiver.in_flight_max <= 16


@on_sqlite_only
async def test_dead_receivers_delay_no_deliveries_of_others(
    hook: Hook, add: Add, make: Make, query: direct.Query
) -> None:
    """Many receivers hang, each with a backlog; all events of the good ones arrive meanwhile."""
    async with receiving(hang) as dead, receiving() as good:
        for n in range(30):
            await hook(f"dead_{n:02}", dead.url)
            await add(f"dead_{n:02}", *range(1000 * n + 1, 1000 * n + 20))
        await query("UPDATE webhook SET failing_ms = 1")  # as they were before a restart
        for n in range(3):
            await hook(f"good_{n}", good.url)
        deliverer = make(webhook_requests_max=16, webhook_timeout_ms=60_000)
        running = asyncio.create_task(deliverer.run())
        await until(lambda: dead.in_flight == 4)
        expected = []
        for turn in range(5):
            for n in range(3):
                ids = range(100_000 * (turn + 1) + 1000 * n, 100_000 * (turn + 1) + 1000 * n + 10)
                await add(f"good_{n}", *ids)
                expected += map(str, ids)
        await until(lambda: len(good.received) == len(expected))
        assert dead.in_flight == dead.in_flight_max == 4  # a quarter of the places
        assert len(dead.received) == 4
        deliverer.stop()
        await running
    assert sorted(good.ids()) == sorted(expected)


@on_sqlite_only
async def test_receivers_that_begin_to_hang_leave_places_to_others(
    hook: Hook, add: Add, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW_S", 0.1)
    async with receiving() as slow, receiving() as good:
        await hook("a_slow", slow.url)
        await hook("b_good", good.url)
        deliverer = make(webhook_timeout_ms=60_000, webhook_requests_per_customer_max=4)
        await add("a_slow", *range(1, 30))
        running = asyncio.create_task(deliverer.run())
        await until(lambda: len(slow.received) == 29)
        slow.respond = hang
        await add("a_slow", *range(100, 200))
        await until(lambda: slow.in_flight == 4)
        await add("b_good", *range(1000, 1050))
        await until(lambda: len(good.received) == 50)
        assert slow.in_flight == 4
        deliverer.stop()
        await running


@on_sqlite_only
async def test_since_when_a_webhook_fails_is_stored_for_other_workers(
    hook: Hook, add: Add, make: Make, query: direct.Query, clock: FakeClock
) -> None:
    failing = "SELECT failing_ms FROM webhook"
    async with receiving(answer("500 No")) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        began_ms = clock.now_ms
        await make().run_once()
        clock.now_ms += MINUTE_MS
        await make().run_once()
        assert await query(failing) == [(began_ms,)]
        clock.now_ms += MINUTE_MS
        receiver.respond = take
        await make().run_once()
        assert await query(failing) == [(0,)]


def receiver(name: str = "a", failing_ms: int = 0, width: int = 1) -> Receiver:
    made = Receiver(name, Target(1), failing_ms)
    made.width = width
    return made


def test_width_doubles_with_each_success_and_falls_to_one_with_a_failure() -> None:
    one = receiver()
    widths = []
    for n in range(6):
        one.begin(str(n), 0.0)
        one.succeed(str(n), 0.0, 16)
        widths.append(one.width)
    assert widths == [2, 4, 8, 16, 16, 16]
    one.begin("x", 1.0)
    assert one.fail("x", 1.0, 77, None)
    assert (one.width, one.is_failing, one.failing_ms) == (1, True, 77)


def test_pauses_grow_with_failures_one_after_the_other() -> None:
    one = receiver()
    now_s, pauses = 0.0, []
    for n in range(9):
        one.begin(str(n), now_s)
        one.fail(str(n), now_s, 1, None)
        pause_s = 0
        while one.is_paused(now_s + pause_s):
            pause_s += 1
        pauses.append(pause_s)
        now_s += pause_s
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30, 30]
    one.begin("x", now_s)
    assert one.succeed("x", 0.0, 16)
    assert not one.is_paused(now_s)


def test_attempts_that_were_in_flight_together_are_one_failure() -> None:
    one = receiver(width=16)
    for n in range(16):
        one.begin(str(n), 1.0)
    for n in range(16):
        one.fail(str(n), 2.0 + n / 100, 1, None)
    assert not one.is_paused(2.2)


def test_retry_after_pauses_the_receiver() -> None:
    one = receiver()
    one.begin("1", 0.0)
    one.fail("1", 0.0, 1, 50)
    assert one.is_paused(49.9)
    assert not one.is_paused(50.0)


def test_places_are_shared_evenly_and_never_exceeded() -> None:
    all_ = Receivers(places_max=10, width_max=8)
    some = [receiver(name, width=8) for name in "abc"]
    for one in some:
        all_.add(one)
    assert all_.share(some, 0.0) == {"a": 3, "b": 3, "c": 3}
    for n in range(9):
        some[0].begin(str(n), 0.0)
    assert all_.share(some, 0.0) == {"b": 1}
    some[0].begin("last", 0.0)
    assert all_.share(some, 0.0) == {}


def test_receivers_take_turns_if_places_are_few() -> None:
    all_ = Receivers(places_max=2, width_max=2)
    some = [receiver(name, width=2) for name in "abcde"]
    for one in some:
        all_.add(one)
    turns = []
    for _ in range(5):
        shares = all_.share(some, 0.0)
        turns.append("".join(shares))
        assert sum(shares.values()) == 2
    assert turns == ["ab", "cd", "ea", "bc", "de"]


def test_failing_receivers_have_a_quarter_of_all_places() -> None:
    all_ = Receivers(places_max=16, width_max=8)
    bad = [receiver(f"bad-{n}", failing_ms=1) for n in range(10)]
    good = receiver("good", width=8)
    for one in (*bad, good):
        all_.add(one)
    shares = all_.share([*bad, good], 0.0)
    assert sum(share for name, share in shares.items() if name != "good") == 4
    assert shares["good"] == 8


def test_receivers_that_succeed_slowly_have_half_of_all_places() -> None:
    all_ = Receivers(places_max=16, width_max=8)
    late = [receiver(f"late-{n}") for n in range(4)]
    good, bad = receiver("good", width=8), receiver("bad", failing_ms=1)
    for one in (*late, good, bad):
        all_.add(one)
    for one in late:
        one.begin("1", 0.0)
        one.succeed("1", SLOW_S, 8)
        one.width = 8
    shares = all_.share([*late, bad], 2.0)
    assert shares.pop("bad") == 1
    assert sum(shares.values()) == 8
    for name, share in shares.items():
        for n in range(share):
            found = all_.find(name)
            assert found is not None
            found.begin(str(n), 2.0)
    assert set(all_.share([*late, good], 2.0)) == {"good"}
    assert all_.share([good], 2.0) == {"good": 6}
    late[0].begin("quick", 2.0)
    late[0].succeed("quick", 2.1, 8)
    assert not late[0].is_late


def test_receivers_that_hang_together_leave_places_for_the_only_attempt_of_others() -> None:
    all_ = Receivers(places_max=16, width_max=4)
    quick = [receiver(f"quick-{n}", width=4) for n in range(4)]
    good = [receiver(f"good-{n}", width=4) for n in range(4)]
    bad = receiver("bad", failing_ms=1)
    for one in (*quick, *good, bad):
        all_.add(one)
    while shares := all_.share(quick, 0.0):  # they hang from now on
        for n, (name, share) in enumerate(shares.items()):
            found = all_.find(name)
            assert found is not None
            for each in range(share):
                found.begin(f"{n} {each} {found.in_flight}", 0.0)
    assert all_.in_flight == 14
    assert all_.share([bad, *good], 0.5) == {"good-0": 1, "good-1": 1}
    good[0].begin("1", 0.5)
    good[1].begin("1", 0.5)
    assert all_.share([*quick, *good], 0.5) == {}
    good[0].succeed("1", 0.6, 4)
    assert all_.share([good[1], good[3]], 0.6) == {"good-3": 1}


def test_slow_receiver_gets_no_more() -> None:
    all_ = Receivers(places_max=16, width_max=8)
    slow = receiver(width=8)
    all_.add(slow)
    slow.begin("1", 0.0)
    assert all_.share([slow], 0.9) == {"a": 7}
    assert all_.share([slow], 1.0) == {}
    slow.drop("1")
    assert all_.share([slow], 1.0) == {"a": 8}


def test_attempts_go_on_counting_when_the_webhook_is_changed() -> None:
    all_ = Receivers(places_max=16, width_max=8)
    before = receiver(width=8)
    all_.add(before)
    before.begin("1", 0.0)
    all_.add(receiver())
    assert all_.in_flight == 1
    found = all_.find("a")
    assert found is not None
    found.drop("1")
    assert all_.in_flight == 0


def test_idle_receivers_are_forgotten_if_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KNOWN_MAX", 3)
    all_ = Receivers(places_max=16, width_max=8)
    busy, idle, failing = receiver("busy"), receiver("idle"), receiver("failing", failing_ms=1)
    for one in (busy, idle, failing):
        all_.add(one)
    busy.begin("1", 0.0)
    all_.forget_idle()
    assert all_.find("idle") is idle
    all_.add(receiver("more"))
    all_.forget_idle()
    assert [name for name in ("busy", "idle", "failing", "more") if all_.find(name)] == [
        "busy",
        "failing",
    ]
    for name in "abc":
        all_.add(receiver(name, failing_ms=1))
    all_.forget_idle()
    assert all_.find("busy") is busy
    assert all_.find("failing") is None
