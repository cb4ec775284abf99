import asyncio

import pytest
from tests import direct
from tests.conftest import START_MS, FakeClock

from openpns import limits
from openpns.core import worker_ids
from openpns.errors import ConfigError, ServiceUnavailable
from openpns.ids import SNOWFLAKE_EPOCH_MS
from openpns.storage.store import Statement, Store, Transaction


def time_of(request_id: str) -> int:
    return (int(request_id) >> 22) + SNOWFLAKE_EPOCH_MS


async def test_every_worker_holds_a_number_of_its_own(store: Store, clock: FakeClock) -> None:
    taken = [await worker_ids.take(store, clock, f"worker {n}") for n in range(3)]
    assert [ids.node for ids in taken] == [0, 1, 2]


async def test_workers_that_start_at_once_never_share_a_number(
    store: Store, clock: FakeClock
) -> None:
    results = await asyncio.gather(
        *(worker_ids.take(store, clock, f"worker {n}") for n in range(30))
    )
    assert sorted(ids.node for ids in results) == list(range(30))
    given_out = [ids.request_id() for ids in results for _ in range(100)]
    assert len(set(given_out)) == 3000


async def test_a_number_that_was_given_back_is_taken_again_for_later_ids(
    store: Store, clock: FakeClock
) -> None:
    first = await worker_ids.take(store, clock, "first")
    await worker_ids.take(store, clock, "second")
    used = [first.request_id() for _ in range(5000)]  # runs ahead of the clock
    await worker_ids.release(store, "first", first)
    clock.now_ms += 5
    third = await worker_ids.take(store, clock, "third")
    assert third.node == first.node
    assert int(third.request_id()) > int(used[-1])


async def test_a_number_is_not_given_away_while_its_ids_are_ahead_of_the_clock(
    store: Store, clock: FakeClock
) -> None:
    first = await worker_ids.take(store, clock, "first")
    for _ in range(5000):
        first.request_id()
    await worker_ids.release(store, "first", first)
    assert (await worker_ids.take(store, clock, "second")).node == 1


async def test_a_worker_that_vanished_holds_its_number_until_the_lease_runs_out(
    store: Store, clock: FakeClock
) -> None:
    await worker_ids.take(store, clock, "vanished")
    clock.now_ms += limits.WORKER_LEASE_MS
    assert (await worker_ids.take(store, clock, "second")).node == 1
    clock.now_ms += 1
    third = await worker_ids.take(store, clock, "third")
    assert third.node == 0
    clock.now_ms = START_MS  # however the clock jumps: no id of the time that was leased
    assert time_of(third.request_id()) > START_MS + limits.WORKER_LEASE_MS


async def test_a_renewed_number_is_kept(store: Store, clock: FakeClock) -> None:
    ids = await worker_ids.take(store, clock, "first")
    for _ in range(3):
        clock.now_ms += limits.WORKER_LEASE_MS
        await worker_ids.renew(store, clock, "first", ids)
    assert ids.node == 0
    assert (await worker_ids.take(store, clock, "second")).node == 1


async def test_a_number_that_ran_out_and_that_nobody_took_is_kept(
    store: Store, clock: FakeClock
) -> None:
    ids = await worker_ids.take(store, clock, "first")
    clock.now_ms += 10 * limits.WORKER_LEASE_MS
    await worker_ids.renew(store, clock, "first", ids)
    assert ids.node == 0


async def test_a_worker_whose_number_was_given_away_goes_on_under_another(
    store: Store, clock: FakeClock
) -> None:
    slow = await worker_ids.take(store, clock, "slow")
    await worker_ids.take(store, clock, "gone")
    clock.now_ms += limits.WORKER_LEASE_MS + 1
    ended_ms = clock.now_ms - 1
    other = await worker_ids.take(store, clock, "other")
    assert other.node == slow.node == 0
    await worker_ids.renew(store, clock, "slow", slow)
    assert slow.node == 1
    clock.now_ms = START_MS  # the number's last holder may have used every time of its lease
    assert time_of(slow.request_id()) > ended_ms
    assert slow.request_id() != other.request_id()


async def test_giving_back_a_number_that_is_another_workers_changes_nothing(
    store: Store, clock: FakeClock, query: direct.Query
) -> None:
    ids = await worker_ids.take(store, clock, "first")
    clock.now_ms += limits.WORKER_LEASE_MS + 1
    await worker_ids.take(store, clock, "second")
    before = await query("SELECT * FROM worker_lease")
    await worker_ids.release(store, "first", ids)
    assert await query("SELECT * FROM worker_lease") == before


async def test_when_all_numbers_are_held_the_next_worker_is_told(
    store: Store, clock: FakeClock
) -> None:
    def hold_all() -> Transaction[None]:
        for node in range(limits.WORKER_ID_MAX + 1):
            yield Statement(
                "worker_lease_take",
                worker_ids._lease(node, f"worker {node}", clock.now_ms, clock.now_ms),
            )

    await store.write(hold_all)
    with pytest.raises(ServiceUnavailable, match="1024 workers are running already"):
        await worker_ids.take(store, clock, "one too many")
    clock.now_ms += limits.WORKER_LEASE_MS + 1
    assert (await worker_ids.take(store, clock, "one too many")).node == 0


async def test_running_workers_are_told_from_those_that_stopped(
    store: Store, clock: FakeClock
) -> None:
    await worker_ids.require_none(store, clock)
    first = await worker_ids.take(store, clock, "first")
    await worker_ids.take(store, clock, "vanished")
    first.request_id()
    with pytest.raises(ConfigError, match="2 workers are running, or have crashed"):
        await worker_ids.require_none(store, clock)
    await worker_ids.release(store, "first", first)
    with pytest.raises(ConfigError, match=r"1 workers are running.* for 601 s more"):
        await worker_ids.require_none(store, clock)
    clock.now_ms += limits.WORKER_LEASE_MS
    await worker_ids.require_none(store, clock)


async def test_no_id_comes_twice_when_the_clock_jumps_back_by_hours(
    store: Store, clock: FakeClock
) -> None:
    running = {name: await worker_ids.take(store, clock, name) for name in ("first", "second")}
    given_out: list[str] = []

    def use() -> None:
        given_out.extend(ids.request_id() for ids in running.values() for _ in range(5000))

    use()
    clock.now_ms -= 3 * 3_600_000
    use()
    for name, ids in running.items():
        await worker_ids.renew(store, clock, name, ids)
    use()
    await worker_ids.release(store, "first", running.pop("first"))
    running["third"] = await worker_ids.take(
        store, clock, "third"
    )  # a worker starts after the jump
    use()
    clock.now_ms += 3 * 3_600_000  # the clock is right again: the times of before come back
    running["fourth"] = await worker_ids.take(store, clock, "fourth")
    use()
    assert len(set(given_out)) == len(given_out)
