"""Worker numbers: the 10 bits that keep request ids apart, leased from the database.

Each worker of each node holds a number of its own. A lease that is not renewed runs out. While a
worker holds a number it gives out no id with a time after the lease's end, and the next holder none
with a time before it; so no id can come twice, however the clocks of the two jump.
"""

from typing import Any

from openpns import limits
from openpns.clock import Clock
from openpns.errors import ConfigError, ServiceUnavailable
from openpns.ids import Snowflake
from openpns.storage.store import Statement, Store, Transaction


async def take(store: Store, clock: Clock, owner: str, used_ms: int = 0) -> Snowflake:
    """Take the lowest free worker number; return the ids that it makes.

    Args:
        store: The database.
        clock: The wall clock.
        owner: A text that no other worker has.
        used_ms: The time in the worker's last id, which may be ahead of the clock.

    Raises:
        ServiceUnavailable: All 1024 numbers are held.
    """

    def steps() -> Transaction[Snowflake]:
        now = clock()
        used = {row[0]: row[1] for row in (yield Statement("worker_lease_list", {}))}
        for node in range(limits.WORKER_ID_MAX + 1):
            if used.get(node, -1) >= now:
                continue
            lease = _lease(node, owner, now, max(now, used_ms))
            if (yield Statement("worker_lease_take", lease)):
                return Snowflake(clock, node, used.get(node, 0), lease["expires_ms"])
        raise ServiceUnavailable(f"{limits.WORKER_ID_MAX + 1} workers are running already")

    return await store.write(steps)


async def renew(store: Store, clock: Clock, owner: str, ids: Snowflake) -> None:
    """Say that a worker is still there; take another number where its own was given away.

    Args:
        store: The database.
        clock: The wall clock.
        owner: The text the number was taken with.
        ids: The ids that it makes; gets another number where needed.
    """

    def steps() -> Transaction[int]:
        # From the last id's time on, which may be ahead of the clock.
        now = max(clock(), ids.last_ms)
        lease = _lease(ids.node, owner, now, now)
        return lease["expires_ms"] if (yield Statement("worker_lease_take", lease)) else 0

    until_ms = await store.write(steps)
    if until_ms:
        ids.until_ms = until_ms
        return
    other = await take(store, clock, owner, ids.last_ms)
    ids.move(other.node, other.last_ms, other.until_ms)


async def release(store: Store, owner: str, ids: Snowflake) -> None:
    """Give a worker number back.

    Args:
        store: The database.
        owner: The text the number was taken with.
        ids: The ids that it made.
    """

    def steps() -> Transaction[None]:
        params = {"worker_id": ids.node, "owner": owner, "last_ms": ids.last_ms}
        yield Statement("worker_lease_release", params)

    await store.write(steps)


async def require_none(store: Store, clock: Clock) -> None:
    """Make sure that no worker is running.

    Args:
        store: The database; its migrations need not be current.
        clock: The wall clock.

    Raises:
        ConfigError: Worker numbers are held.
    """
    now = clock()
    held = [row for row in await store.fetch("worker_lease_list", {}) if row[1] > now]
    if held:
        seconds = (max(row[1] for row in held) - now) // 1000 + 1
        raise ConfigError(
            f"database: {len(held)} workers are running, or have crashed and hold their "
            f"numbers for {seconds} s more; stop every server first; --force where none is left"
        )


def _lease(node: int, owner: str, now_ms: int, begin_ms: int) -> dict[str, Any]:
    return {
        "worker_id": node,
        "owner": owner,
        "now_ms": now_ms,
        "expires_ms": begin_ms + limits.WORKER_LEASE_MS,
    }
