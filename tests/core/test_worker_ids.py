import asyncio
from collections.abc import Callable

import pytest
from tests import direct
from tests.conftest import START_MS, FakeClock

from openpns.core import worker_ids
from openpns.errors import ConfigError, ServiceUnavailable
from openpns.ids import SNOWFLAKE_EPOCH_MS
from openpns.storage import connect, migrations
from openpns.storage.migrations import Migration
from openpns.storage.statements import load_statements
from openpns.storage.store import Statement, Store, Transaction


def time_of(request_id: str) -> int:
    return (int(request_id) >> 22) + SNOWFLAKE_EPOCH_MS


async def test_take_gives_each_worker_its_own_id(store: Store, clock: FakeClock) -> None:
    taken = [await worker_ids.take(store, clock, f"worker {n}") for n in range(3)]
    assert [ids.worker_id for ids in taken] == [0, 1, 2]


async def test_take_at_once_gives_different_ids(store: Store, clock: FakeClock) -> None:
    results = await asyncio.gather(
        *(worker_ids.take(store, clock, f"worker {n}") for n in range(30))
    )
    assert sorted(ids.worker_id for ids in results) == list(range(30))
    generated = [ids.request_id() for ids in results for _ in range(100)]
    assert len(set(generated)) == 3000


async def test_take_reuses_a_released_id_for_later_times_only(
    store: Store, clock: FakeClock
) -> None:
    first = await worker_ids.take(store, clock, "first")
    await worker_ids.take(store, clock, "second")
    used = [first.request_id() for _ in range(5000)]  # ahead of the clock
    await worker_ids.release(store, "first", first)
    clock.now_ms += 5
    third = await worker_ids.take(store, clock, "third")
    assert third.worker_id == first.worker_id
    assert int(third.request_id()) > int(used[-1])


async def test_take_skips_a_released_id_that_is_ahead_of_the_clock(
    store: Store, clock: FakeClock
) -> None:
    first = await worker_ids.take(store, clock, "first")
    for _ in range(5000):
        first.request_id()
    await worker_ids.release(store, "first", first)
    assert (await worker_ids.take(store, clock, "second")).worker_id == 1


async def test_take_reuses_an_id_only_after_the_lease_of_a_crashed_worker(
    store: Store, clock: FakeClock
) -> None:
    await worker_ids.take(store, clock, "crashed")
    clock.now_ms += worker_ids.LEASE_MS
    assert (await worker_ids.take(store, clock, "second")).worker_id == 1
    clock.now_ms += 1
    third = await worker_ids.take(store, clock, "third")
    assert third.worker_id == 0
    clock.now_ms = START_MS  # even then, no request id has a time within the expired lease
    assert time_of(third.request_id()) > START_MS + worker_ids.LEASE_MS


async def test_renew_keeps_the_id(store: Store, clock: FakeClock) -> None:
    ids = await worker_ids.take(store, clock, "first")
    for _ in range(3):
        clock.now_ms += worker_ids.LEASE_MS
        await worker_ids.renew(store, clock, "first", ids)
    assert ids.worker_id == 0
    assert (await worker_ids.take(store, clock, "second")).worker_id == 1


async def test_renew_keeps_an_expired_id_that_nobody_took(store: Store, clock: FakeClock) -> None:
    ids = await worker_ids.take(store, clock, "first")
    clock.now_ms += 10 * worker_ids.LEASE_MS
    await worker_ids.renew(store, clock, "first", ids)
    assert ids.worker_id == 0


async def test_renew_takes_another_id_if_its_own_was_taken(store: Store, clock: FakeClock) -> None:
    slow = await worker_ids.take(store, clock, "slow")
    await worker_ids.take(store, clock, "gone")
    clock.now_ms += worker_ids.LEASE_MS + 1
    ended_ms = clock.now_ms - 1
    other = await worker_ids.take(store, clock, "other")
    assert other.worker_id == slow.worker_id == 0
    await worker_ids.renew(store, clock, "slow", slow)
    assert slow.worker_id == 1
    clock.now_ms = START_MS  # the previous holder may have used every time of its lease
    assert time_of(slow.request_id()) > ended_ms
    assert slow.request_id() != other.request_id()


async def test_release_of_an_id_taken_by_another_worker_changes_nothing(
    store: Store, clock: FakeClock, query: direct.Query
) -> None:
    ids = await worker_ids.take(store, clock, "first")
    clock.now_ms += worker_ids.LEASE_MS + 1
    await worker_ids.take(store, clock, "second")
    before = await query("SELECT * FROM worker_lease")
    await worker_ids.release(store, "first", ids)
    assert await query("SELECT * FROM worker_lease") == before


async def test_take_raises_service_unavailable_if_all_ids_are_leased(
    store: Store, clock: FakeClock
) -> None:
    def lease_all() -> Transaction[None]:
        for worker_id in range(worker_ids.WORKER_ID_MAX + 1):
            yield Statement(
                "worker_lease_take",
                worker_ids._lease(worker_id, f"worker {worker_id}", clock.now_ms, clock.now_ms),
            )

    await store.write(lease_all)
    with pytest.raises(ServiceUnavailable, match="1024 workers are running already"):
        await worker_ids.take(store, clock, "one too many")
    clock.now_ms += worker_ids.LEASE_MS + 1
    assert (await worker_ids.take(store, clock, "one too many")).worker_id == 0


def guarding(clock: FakeClock, *missing: Migration) -> Callable[[], Transaction[None]]:
    """The guard's steps of a run that misses these migrations."""
    return lambda: worker_ids.guard_migrations(clock)(missing)


async def test_guard_refuses_post_while_a_worker_that_does_not_know_it_holds_a_lease(
    store: Store, clock: FakeClock
) -> None:
    newest = migrations.newest()
    known, newer = (Migration(n, "", "post") for n in (newest, newest + 1))
    await store.write(guarding(clock, newer))
    first = await worker_ids.take(store, clock, "first")
    await worker_ids.take(store, clock, "crashed")
    first.request_id()
    await store.write(guarding(clock, known))
    await store.write(guarding(clock, Migration(newest + 1, "", "pre")))
    with pytest.raises(ConfigError, match="2 workers of an older version are running"):
        await store.write(guarding(clock, known, newer))
    await worker_ids.release(store, "first", first)
    with pytest.raises(ConfigError, match=r"1 workers .* for 601 s more"):
        await store.write(guarding(clock, newer))
    clock.now_ms += worker_ids.LEASE_MS
    await store.write(guarding(clock, newer))


async def test_guard_refuses_a_stop_step_while_a_lease_of_before_migration_8_is_held(
    database_url: str, clock: FakeClock
) -> None:
    store = await connect.open_store(database_url, create=True)
    known = migrations.load_migrations(connect.engine_of(database_url))
    await store.migrate(known[:7])
    # A post step in the same run: the table of its leases does not exist yet.
    newer = Migration(migrations.newest() + 1, "SELECT 1", "post")
    guard = worker_ids.guard_migrations(clock)
    lease = f"INSERT INTO node_lease VALUES (0, 'owner', {clock.now_ms + 1000})"
    await direct.run(database_url, lease)
    with pytest.raises(ConfigError, match=r"1 workers .* for 2 s more"):
        await store.migrate([*known, newer], with_post=True, guard=guard)
    assert len(await store.applied_migrations()) == 7
    clock.now_ms += 1000
    done = await store.migrate([*known, newer], with_post=True, guard=guard)
    assert done == [*known[7:], newer]
    await store.close()


async def test_take_waits_for_the_end_of_a_guarded_migration(
    store: Store, database_url: str, clock: FakeClock
) -> None:
    is_sqlite = connect.engine_of(database_url) == "sqlite"
    lock = load_statements("sqlite" if is_sqlite else "postgres")["worker_lease_lock"].sql
    async with direct.holding(database_url, lock):
        taking = asyncio.create_task(worker_ids.take(store, clock, "late"))
        await asyncio.wait((taking,), timeout=0.3)
        assert not taking.done()
    assert (await taking).worker_id == 0


async def test_request_ids_stay_unique_if_the_clock_jumps_back(
    store: Store, clock: FakeClock
) -> None:
    running = {name: await worker_ids.take(store, clock, name) for name in ("first", "second")}
    generated: list[str] = []

    def use() -> None:
        generated.extend(ids.request_id() for ids in running.values() for _ in range(5000))

    use()
    clock.now_ms -= 3 * 3_600_000
    use()
    for name, ids in running.items():
        await worker_ids.renew(store, clock, name, ids)
    use()
    await worker_ids.release(store, "first", running.pop("first"))
    running["third"] = await worker_ids.take(store, clock, "third")
    use()
    clock.now_ms += 3 * 3_600_000  # the clock is right again: earlier times repeat
    running["fourth"] = await worker_ids.take(store, clock, "fourth")
    use()
    assert len(set(generated)) == len(generated)
