"""Worker ids: the 10 bits of a request id that differ between workers, leased from the database.

Each worker of each node leases an id of its own and renews the lease. A worker generates no
request id with a time after the end of its lease; the next holder generates none with a time before
it. So no request id repeats, even if the clocks of the two jump.
"""

from collections.abc import Sequence
from typing import Any, Final

from openpns.clock import Clock
from openpns.errors import ConfigError, ServiceUnavailable
from openpns.ids import Snowflake
from openpns.storage import migrations
from openpns.storage.migrations import Migration
from openpns.storage.store import Guard, Statement, Store, Transaction

WORKER_ID_MAX: Final = 1023
LEASE_MS: Final = 600_000
RENEW_MS: Final = 120_000


async def take(store: Store, clock: Clock, owner: str, used_ms: int = 0) -> Snowflake:
    """Lease the lowest free worker id; return the source of request ids under it.

    No other worker has the text `owner`. `used_ms` is the time in the worker's last request id,
    which may be ahead of the clock.

    Raises:
        ServiceUnavailable: All 1024 worker ids are leased.
    """

    def steps() -> Transaction[Snowflake]:
        yield Statement("worker_lease_lock", {})
        now = clock()
        expiry = {row[0]: row[1] for row in (yield Statement("worker_lease_list", {}))}
        for worker_id in range(WORKER_ID_MAX + 1):
            if expiry.get(worker_id, -1) >= now:
                continue
            lease = _lease(worker_id, owner, now, max(now, used_ms))
            if (yield Statement("worker_lease_take", lease)):
                return Snowflake(clock, worker_id, expiry.get(worker_id, 0), lease["expires_ms"])
        raise ServiceUnavailable(f"{WORKER_ID_MAX + 1} workers are running already")

    return await store.write(steps)


async def renew(store: Store, clock: Clock, owner: str, ids: Snowflake) -> None:
    """Renew a lease; take another worker id if another worker has taken this one."""

    def steps() -> Transaction[int]:
        # The time of the last request id may be ahead of the clock.
        now = max(clock(), ids.last_ms)
        lease = _lease(ids.worker_id, owner, now, now)
        return lease["expires_ms"] if (yield Statement("worker_lease_take", lease)) else 0

    until_ms = await store.write(steps)
    if until_ms:
        ids.until_ms = until_ms
        return
    other = await take(store, clock, owner, ids.last_ms)
    ids.reassign(other.worker_id, other.last_ms, other.until_ms)


async def release(store: Store, owner: str, ids: Snowflake) -> None:
    """End a lease."""

    def steps() -> Transaction[None]:
        params = {"worker_id": ids.worker_id, "owner": owner, "last_ms": ids.last_ms}
        yield Statement("worker_lease_release", params)

    await store.write(steps)


def guard_migrations(clock: Clock) -> Guard:
    """Return a guard that refuses migrations with which a running worker could not work.

    A step that needs all servers stopped is refused while any lease is held, a `post` step while a
    worker that does not know it holds one. No worker gets a lease before the transaction ends.
    """

    def guard(missing: Sequence[Migration]) -> Transaction[None]:
        if any(one.step == "stop" for one in missing):
            rows = yield Statement("node_lease_list", {})
            _refuse([row[1] for row in rows], clock())
            return
        newest_post = max((one.number for one in missing if one.step == "post"), default=0)
        if newest_post:
            yield Statement("worker_lease_lock", {})
            rows = yield Statement("worker_lease_list", {})
            _refuse([row[1] for row in rows if row[2] < newest_post], clock())

    return guard


def guard_distribution(clock: Clock) -> Guard:
    """Return a guard that refuses to distribute the tables while any worker holds a lease."""

    def guard(_: Sequence[Migration]) -> Transaction[None]:
        yield Statement("worker_lease_lock", {})
        rows = yield Statement("worker_lease_list", {})
        _refuse([row[1] for row in rows], clock(), "")

    return guard


def _refuse(lease_ends_ms: Sequence[int], now_ms: int, whose: str = " of an older version") -> None:
    held = [end_ms for end_ms in lease_ends_ms if end_ms > now_ms]
    if held:
        seconds = (max(held) - now_ms) // 1000 + 1
        raise ConfigError(
            f"database: {len(held)} workers{whose} are running, or have crashed and "
            f"hold their leases for {seconds} s more; stop them first; --force if none is left"
        )


def _lease(worker_id: int, owner: str, now_ms: int, begin_ms: int) -> dict[str, Any]:
    return {
        "worker_id": worker_id,
        "owner": owner,
        "now_ms": now_ms,
        "expires_ms": begin_ms + LEASE_MS,
        "migration": migrations.newest(),
    }
