"""When access keys were used last, and which expire soon.

A request only notes the time in memory (`Services.key_used_ms`). Each worker stores the times every
`RECORD_S`; a crash loses those of the last interval.
"""

from typing import Final

import msgspec

from openpns.core.context import Services
from openpns.errors import WireError
from openpns.storage.store import Statement, Store, Transaction

RECORD_S: Final = 60.0
"""How often each worker stores when access keys were used."""

EXPIRES_SOON_MS: Final = 14 * 24 * 3_600_000
"""How long before its end a warning of an access key begins."""

_KEYS_EACH: Final = 256
_EXPIRING_MAX: Final = 100


class ExpiringKey(msgspec.Struct, frozen=True):
    """An active access key that expires soon."""

    access_key: str
    customer_id: str
    expires_ms: int


async def record(services: Services) -> None:
    """Store when access keys were used since the last time; keep the times if that fails.

    Raises:
        WireError: The storage failed.
    """
    noted = services.key_used_ms
    # In order, so that two workers do not wait for each other.
    used = sorted(noted.items())
    noted.clear()
    left = [used[start : start + _KEYS_EACH] for start in range(0, len(used), _KEYS_EACH)]
    try:
        while left:
            await _store(services.store, left[-1])
            left.pop()
    except WireError:
        for key, used_ms in (one for some in left for one in some):
            noted.setdefault(key, used_ms)
        raise


async def list_expiring(store: Store, now_ms: int) -> list[ExpiringKey]:
    """Return active keys that expire soon, the first to expire first; at most 100."""
    params = {
        "now_ms": now_ms,
        "until_ms": now_ms + EXPIRES_SOON_MS,
        "at_most": _EXPIRING_MAX,
    }
    return [ExpiringKey(*row) for row in await store.fetch("key_list_expiring", params)]


async def _store(store: Store, used: list[tuple[str, int]]) -> None:
    def steps() -> Transaction[None]:
        for access_key, used_ms in used:
            yield Statement("key_record_use", {"access_key": access_key, "used_ms": used_ms})

    await store.write(steps)
