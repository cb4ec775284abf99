"""Worker numbers: the 10 bits that keep request ids apart, leased from the database.

Each worker of each node holds a number of its own. A lease that is not renewed runs out; a
new holder gives out no id with a time before the lease's end, so that no id can come twice.
"""

from openpns import limits
from openpns.clock import Clock
from openpns.errors import ServiceUnavailable
from openpns.ids import Snowflake
from openpns.storage.store import Statement, Steps, Store


async def take(store: Store, clock: Clock, owner: str) -> Snowflake:
    """Take the lowest free worker number; return the ids that it makes.

    Args:
        store: The database.
        clock: The wall clock.
        owner: A text that no other worker has.

    Raises:
        ServiceUnavailable: All 1024 numbers are held.
    """

    def steps() -> Steps[Snowflake]:
        now = clock()
        used = {row[0]: row[1] for row in (yield Statement("node_lease_list", {}))}
        for node in range(limits.NODE_ID_MAX + 1):
            if used.get(node, -1) >= now:
                continue
            if (yield Statement("node_lease_take", _lease(node, owner, now))):
                return Snowflake(clock, node, after_ms=used.get(node, 0))
        raise ServiceUnavailable(f"{limits.NODE_ID_MAX + 1} workers are running already")

    return await store.write(steps)


async def renew(store: Store, clock: Clock, owner: str, ids: Snowflake) -> None:
    """Say that a worker is still there; take another number where its own was given away.

    Args:
        store: The database.
        clock: The wall clock.
        owner: The text the number was taken with.
        ids: The ids that it makes; gets another number where needed.
    """

    def steps() -> Steps[bool]:
        # From the last id's time on, which may be ahead of the clock.
        now = max(clock(), ids.last_ms)
        return bool((yield Statement("node_lease_take", _lease(ids.node, owner, now))))

    if not await store.write(steps):
        other = await take(store, clock, owner)
        ids.move(other.node, other.last_ms)


async def release(store: Store, owner: str, ids: Snowflake) -> None:
    """Give a worker number back.

    Args:
        store: The database.
        owner: The text the number was taken with.
        ids: The ids that it made.
    """

    def steps() -> Steps[None]:
        params = {"node_id": ids.node, "owner": owner, "last_ms": ids.last_ms}
        yield Statement("node_lease_release", params)

    await store.write(steps)


def _lease(node: int, owner: str, now: int) -> dict[str, object]:
    return {
        "node_id": node,
        "owner": owner,
        "now_ms": now,
        "expires_ms": now + limits.NODE_LEASE_MS,
    }
