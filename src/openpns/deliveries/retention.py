"""How long deliveries are kept."""

from openpns import limits
from openpns.core import logs, usage
from openpns.core.context import Services
from openpns.core.expiry import delete_expired
from openpns.storage.store import Statement, Transaction

_ROWS_EACH = 1000


async def delete_old(services: Services) -> None:
    """Delete deliveries that are older than the setting `deliveries_kept_days`.

    Pending ones fail first, with a line in the log. A delivery that a worker tries at the moment is
    left to the next run.
    """
    if not services.deliveries_kept_days:
        return
    now_ms = services.clock()
    created_ms = now_ms - services.deliveries_kept_days * limits.DAY_MS
    given_up = await _give_up(services, created_ms, now_ms)
    if given_up:
        logs.logger().warning("deliveries given up: too old", deliveries=given_up)
    before = {"created_ms": created_ms}
    await delete_expired(services, "delivery_clean", before, usage.DELIVERIES)


async def _give_up(services: Services, created_ms: int, now_ms: int) -> int:
    params = {"created_ms": created_ms, "now_ms": now_ms, "at_most": _ROWS_EACH}

    def steps() -> Transaction[int]:
        return len((yield Statement("delivery_give_up", params)))

    total = 0
    while True:
        count = await services.store.write(steps)
        total += count
        if count < _ROWS_EACH:
            return total
