from dataclasses import replace

import pytest
from tests.conftest import START_MS, FakeClock
from tests.helpers import FailingStore

from openpns.accounts import access_keys, key_uses
from openpns.accounts.key_uses import ExpiringKey
from openpns.accounts.secret_box import SecretBox
from openpns.core.context import Services
from openpns.errors import ServiceUnavailable
from openpns.storage.store import Store

DAY_MS = 24 * 3_600_000

pytestmark = pytest.mark.usefixtures("principal")


async def _used(store: Store) -> dict[str, int | None]:
    return {key.access_key: key.last_used_ms for key in await access_keys.list_keys(store)}


async def test_record_stores_the_last_use_once(
    services: Services, store: Store, secret_box: SecretBox, clock: FakeClock
) -> None:
    for name in ("key-1", "key-2"):
        await access_keys.create(store, secret_box, clock, "cus_1", access_key=name)
    services.key_used_ms.update({"key-1": 7, "gone": 7})
    await key_uses.record(services)
    assert services.key_used_ms == {}
    assert await _used(store) == {"key-1": 7, "key-2": None}
    services.key_used_ms["key-1"] = 6  # another worker has stored a later one
    await key_uses.record(services)
    assert await _used(store) == {"key-1": 7, "key-2": None}


async def test_record_stores_many_keys(
    services: Services,
    store: Store,
    secret_box: SecretBox,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_uses, "_KEYS_EACH", 2)
    names = [f"key-{number}" for number in range(5)]
    for name in names:
        await access_keys.create(store, secret_box, clock, "cus_1", access_key=name)
    services.key_used_ms.update(dict.fromkeys(names, 9))
    await key_uses.record(services)
    assert await _used(store) == dict.fromkeys(names, 9)


async def test_record_keeps_the_times_if_the_storage_fails(
    services: Services, store: Store
) -> None:
    failing = FailingStore(store, "write", ServiceUnavailable("away"))
    broken = replace(services, store=failing)  # type: ignore[arg-type]
    services.key_used_ms.update({"key-1": 7, "key-2": 8})
    with pytest.raises(ServiceUnavailable):
        await key_uses.record(broken)
    assert services.key_used_ms == {"key-1": 7, "key-2": 8}


async def test_list_expiring_returns_active_keys_near_their_end(
    store: Store, secret_box: SecretBox, clock: FakeClock
) -> None:
    ends = {"never": None, "now": 1, "soon": 14 * DAY_MS, "late": 14 * DAY_MS + 1, "off": 2}
    for name, after_ms in ends.items():
        end_ms = None if after_ms is None else START_MS + after_ms
        await access_keys.create(
            store, secret_box, clock, "cus_1", access_key=f"{name}-key", expires_ms=end_ms
        )
    await access_keys.disable(store, "off-key", START_MS)
    assert await key_uses.list_expiring(store, START_MS) == [
        ExpiringKey("now-key", "cus_1", START_MS + 1),
        ExpiringKey("soon-key", "cus_1", START_MS + 14 * DAY_MS),
    ]
    assert [key.access_key for key in await key_uses.list_expiring(store, START_MS + 1)] == [
        *("soon-key", "late-key")
    ]
