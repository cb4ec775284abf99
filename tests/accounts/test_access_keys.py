from typing import Any

import pytest
from tests import direct
from tests.accounts.conftest import stored_secrets
from tests.conftest import START_MS, FakeClock

from openpns.accounts import access_keys, customers
from openpns.accounts.access_keys import AccessKey, SigningKey
from openpns.accounts.secret_box import SecretBox
from openpns.core.context import Context
from openpns.core.principal import Principal
from openpns.errors import ConfigError
from openpns.kit.networks import Networks
from openpns.storage.store import Store

KEY = "sixgqophrnv4"
SECRET = "abciiiko2k3"

pytestmark = pytest.mark.usefixtures("principal")


@pytest.fixture
async def key(store: Store, secret_box: SecretBox, clock: FakeClock, principal: Principal) -> str:
    """An access key of the customer cus_1 with a known secret."""
    await access_keys.create(
        store, secret_box, clock, "cus_1", access_key=KEY, access_secret=SECRET
    )
    return KEY


async def test_create_makes_a_key_whose_secret_can_be_decrypted(
    store: Store, secret_box: SecretBox, clock: FakeClock
) -> None:
    made = await access_keys.create(store, secret_box, clock, "cus_1", label="shop")
    known = await access_keys.find(store, made.access_key)
    assert known is not None
    assert (made.customer_id, known.principal.customer_id) == ("cus_1", "cus_1")
    assert known.is_active(START_MS)
    assert known.customer_disabled_ms is None
    assert await stored_secrets(store, secret_box, made.access_key) == [made.access_secret]
    assert await access_keys.list_keys(store) == [
        AccessKey(made.access_key, "cus_1", "shop", START_MS, *[None] * 8)
    ]


async def test_create_accepts_a_given_key_and_secret(
    store: Store, secret_box: SecretBox, clock: FakeClock, key: str
) -> None:
    assert await stored_secrets(store, secret_box, key) == [SECRET]


async def test_create_returns_the_secret_and_stores_it_only_encrypted(
    store: Store, secret_box: SecretBox, clock: FakeClock, query: direct.Query
) -> None:
    made = await access_keys.create(
        store, secret_box, clock, "cus_1", access_key=KEY, access_secret=SECRET
    )
    assert SECRET not in repr(made)
    (row,) = await query("SELECT * FROM access_key")
    assert SECRET.encode() not in b"".join(part for part in row if isinstance(part, bytes))
    assert SECRET not in repr(row)
    assert SECRET not in repr(await access_keys.list_keys(store))


async def test_find_returns_none_for_an_unknown_key(store: Store, key: str) -> None:
    assert await access_keys.find(store, "other") is None
    assert await access_keys.find(store, KEY.upper()) is None


async def test_create_refuses_a_key_that_exists_even_for_another_customer(
    store: Store, secret_box: SecretBox, clock: FakeClock, key: str, stranger: Context
) -> None:
    with pytest.raises(ConfigError, match=f"access key {KEY} exists already"):
        await access_keys.create(store, secret_box, clock, "cus_2", access_key=KEY)
    assert await stored_secrets(store, secret_box, KEY) == [SECRET]


async def test_create_refuses_an_unknown_customer(
    store: Store, secret_box: SecretBox, clock: FakeClock
) -> None:
    with pytest.raises(ConfigError, match="'nobody': not found"):
        await access_keys.create(store, secret_box, clock, "nobody")
    assert await access_keys.list_keys(store) == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"access_key": "abc"}, "4 to 64 letters, digits, _ and -"),
        ({"access_key": "a" * 65}, "4 to 64 letters"),
        ({"access_key": "with space"}, "4 to 64 letters"),
        ({"access_key": "schlüssel"}, "4 to 64 letters"),
        ({"access_key": ""}, "4 to 64 letters"),
        ({"access_secret": "short77"}, "8 to 128 printable ASCII characters without spaces"),
        ({"access_secret": "s" * 129}, "8 to 128 printable"),
        ({"access_secret": "ends with "}, "8 to 128 printable"),
        ({"access_secret": "ends_with\n"}, "8 to 128 printable"),
        ({"access_secret": "geheimnisß"}, "8 to 128 printable"),
        ({"label": "l" * 129}, "label: allowed are at most 128"),
        ({"expires_ms": START_MS}, "expires: allowed is a time in the future"),
    ],
)
async def test_create_refuses_a_value_that_is_not_allowed(
    store: Store, secret_box: SecretBox, clock: FakeClock, given: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        await access_keys.create(store, secret_box, clock, "cus_1", **given)
    assert given.get("access_secret", "nothing secret") not in str(caught.value)
    assert await access_keys.list_keys(store) == []


async def test_key_expires_at_its_time(
    store: Store, secret_box: SecretBox, clock: FakeClock
) -> None:
    made = await access_keys.create(store, secret_box, clock, "cus_1", expires_ms=START_MS + 10)
    known = await access_keys.find(store, made.access_key)
    assert known is not None
    assert [known.is_active(START_MS + later) for later in (0, 9, 10, 11)] == [
        *(True, True, False, False)
    ]


async def test_expire_changes_or_removes_the_end(store: Store, clock: FakeClock, key: str) -> None:
    later = await access_keys.expire(store, clock, key, START_MS + 10)
    assert later.expires_ms == START_MS + 10
    known = await access_keys.find(store, key)
    assert known is not None
    assert (known.is_active(START_MS + 9), known.is_active(START_MS + 10)) == (True, False)
    with pytest.raises(ConfigError, match="expires: allowed is a time in the future"):
        await access_keys.expire(store, clock, key, START_MS)
    assert [one.expires_ms for one in await access_keys.list_keys(store)] == [START_MS + 10]
    assert (await access_keys.expire(store, clock, key, None)).expires_ms is None


async def test_require_sha256_again_keeps_the_first_time(
    store: Store, secret_box: SecretBox, clock: FakeClock, key: str
) -> None:
    strict = await access_keys.create(
        store, secret_box, clock, "cus_1", access_key="strict", sha256_only=True
    )
    known = [await access_keys.find(store, name) for name in (strict.access_key, key)]
    assert [one and one.sha256_only_since_ms for one in known] == [START_MS, None]
    for now_ms in (START_MS + 1, START_MS + 5):
        assert (
            await access_keys.require_sha256(store, key, now_ms)
        ).sha256_only_since_ms == START_MS + 1
    assert (await access_keys.require_sha256(store, key, None)).sha256_only_since_ms is None


async def test_require_unique_ts_again_keeps_the_first_time(
    store: Store, secret_box: SecretBox, clock: FakeClock, key: str
) -> None:
    async def is_unique(access_key: str) -> bool:
        known = await access_keys.find(store, access_key)
        assert known is not None
        return known.principal.unique_ts

    unique = await access_keys.create(
        store, secret_box, clock, "cus_1", access_key="unique", unique_ts=True
    )
    assert [await is_unique(name) for name in (unique.access_key, key)] == [True, False]
    for now_ms in (START_MS + 1, START_MS + 5):
        changed = await access_keys.require_unique_ts(store, key, now_ms)
        assert changed.unique_ts_since_ms == START_MS + 1
    assert await is_unique(key)
    assert (await access_keys.require_unique_ts(store, key, None)).unique_ts_since_ms is None
    assert not await is_unique(key)


async def test_set_rate_changes_the_rate_of_a_key(
    store: Store, secret_box: SecretBox, clock: FakeClock, key: str
) -> None:
    slow = await access_keys.create(store, secret_box, clock, "cus_1", rate_per_s=5, rate_burst=7)

    async def rate(access_key: str) -> tuple[int | None, int | None]:
        known = await access_keys.find(store, access_key)
        assert known is not None
        return known.principal.rate_per_s, known.principal.rate_burst

    assert (await rate(slow.access_key), await rate(key)) == ((5, 7), (None, None))
    for per_s, burst in ((1_000_000, None), (1, 1_000_000), (0, None), (None, None)):
        changed = await access_keys.set_rate(store, key, per_s, burst)
        assert (changed.rate_per_s, changed.rate_burst) == (per_s, burst) == await rate(key)
    shown = {one.access_key: one.rate_per_s for one in await access_keys.list_keys(store)}
    assert shown == {slow.access_key: 5, key: None}
    with pytest.raises(ConfigError, match="not found"):
        await access_keys.set_rate(store, "no-such-key", 1, None)


@pytest.mark.parametrize(
    ("per_s", "burst", "text"),
    [
        (-1, None, "rate per second: allowed are 0 to 1000000; 0 for any number of requests"),
        (1_000_001, None, "rate per second: allowed are 0 to 1000000"),
        (5, 0, "rate burst: allowed are 1 to 1000000"),
        (5, 1_000_001, "rate burst: allowed are 1 to 1000000"),
        (0, 5, "rate burst: allowed only with a rate per second above 0"),
        (None, 5, "rate burst: allowed only with a rate per second above 0"),
    ],
)
async def test_set_rate_refuses_a_rate_that_is_not_allowed(
    store: Store, key: str, per_s: int | None, burst: int | None, text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        await access_keys.set_rate(store, key, per_s, burst)
    (listed,) = await access_keys.list_keys(store)
    assert (listed.rate_per_s, listed.rate_burst) == (None, None)


async def test_disable_refuses_a_key_until_it_is_enabled(store: Store, key: str) -> None:
    for now_ms in (START_MS, START_MS + 5):
        assert (await access_keys.disable(store, key, now_ms)).disabled_ms == START_MS
    known = await access_keys.find(store, key)
    assert known is not None
    assert not known.is_active(START_MS)
    assert (await access_keys.disable(store, key, None)).disabled_ms is None
    known = await access_keys.find(store, key)
    assert known is not None
    assert known.is_active(START_MS)


async def test_find_returns_whether_the_customer_is_disabled(store: Store, key: str) -> None:
    await customers.disable(store, "cus_1", START_MS)
    known = await access_keys.find(store, key)
    assert known is not None
    assert known.customer_disabled_ms == START_MS


async def test_rotate_keeps_the_old_secret_for_the_grace_time(
    store: Store, secret_box: SecretBox, clock: FakeClock, key: str
) -> None:
    made = await access_keys.rotate(store, secret_box, clock, key, grace_ms=100)
    assert (made.access_key, made.customer_id) == (key, "cus_1")
    assert await stored_secrets(store, secret_box, key) == [made.access_secret, SECRET]
    known = await access_keys.find(store, key)
    assert known is not None
    assert known.previous_until_ms == START_MS + 100
    assert (await access_keys.list_keys(store))[0].previous_secret_until_ms == START_MS + 100


async def test_rotate_twice_ends_the_first_secret(
    store: Store, secret_box: SecretBox, clock: FakeClock, key: str
) -> None:
    first = await access_keys.rotate(store, secret_box, clock, key, grace_ms=1000)
    second = await access_keys.rotate(store, secret_box, clock, key, grace_ms=1000)
    assert await stored_secrets(store, secret_box, key) == [
        second.access_secret,
        first.access_secret,
    ]


@pytest.mark.parametrize("rotations", [0, 1])
async def test_rotate_back_restores_the_secrets_and_the_end_of_an_older_one(
    store: Store, secret_box: SecretBox, clock: FakeClock, key: str, rotations: int
) -> None:
    for _ in range(rotations):
        await access_keys.rotate(store, secret_box, clock, key, grace_ms=48_000)
    before = await access_keys.find(store, key)
    assert before is not None
    await access_keys.rotate(store, secret_box, clock, key, grace_ms=0)
    await access_keys.rotate_back(store, key, before)
    after = await access_keys.find(store, key)
    assert after == before


async def test_rotate_back_undoes_no_other_rotation(
    store: Store, secret_box: SecretBox, clock: FakeClock, key: str
) -> None:
    before = await access_keys.find(store, key)
    assert before is not None
    await access_keys.rotate(store, secret_box, clock, key, grace_ms=0)
    last = await access_keys.rotate(store, secret_box, clock, key, grace_ms=0)
    with pytest.raises(ConfigError, match="have changed since"):
        await access_keys.rotate_back(store, key, before)
    assert (await stored_secrets(store, secret_box, key))[0] == last.access_secret


async def test_unknown_key_is_refused_with_the_command_that_lists_all(
    store: Store, secret_box: SecretBox, clock: FakeClock
) -> None:
    for command in (
        access_keys.disable(store, "other", 5),
        access_keys.disable(store, "other", None),
        access_keys.rotate(store, secret_box, clock, "other", 0),
        access_keys.require_sha256(store, "other", 5),
        access_keys.require_unique_ts(store, "other", 5),
        access_keys.expire(store, clock, "other", None),
    ):
        with pytest.raises(ConfigError, match="'other': not found; openpns keys list"):
            await command


async def test_list_keys_returns_oldest_first_and_filters_by_customer(
    store: Store, secret_box: SecretBox, clock: FakeClock, stranger: Context
) -> None:
    for name, customer_id in (("key_b", "cus_1"), ("key_c", "cus_2"), ("key_a", "cus_1")):
        clock.now_ms += 1
        await access_keys.create(store, secret_box, clock, customer_id, access_key=name)
    assert [one.access_key for one in await access_keys.list_keys(store)] == [
        "key_b",
        "key_c",
        "key_a",
    ]
    assert [one.access_key for one in await access_keys.list_keys(store, "cus_1")] == [
        "key_b",
        "key_a",
    ]
    assert await access_keys.list_keys(store, "nobody") == []


async def test_require_hmac_again_keeps_the_first_time(
    store: Store, secret_box: SecretBox, clock: FakeClock, key: str
) -> None:
    async def known(access_key: str) -> SigningKey:
        found = await access_keys.find(store, access_key)
        assert found is not None
        return found

    strict = await access_keys.create(store, secret_box, clock, "cus_1", hmac_only=True)
    assert (await known(strict.access_key)).hmac_only_since_ms == START_MS
    assert (await known(strict.access_key)).principal.schemes == ("hmac-sha256",)
    assert (await known(key)).principal.schemes == ("md5", "sha256", "hmac-sha256")
    for now_ms in (START_MS + 1, START_MS + 5):
        changed = await access_keys.require_hmac(store, key, now_ms)
        assert changed.hmac_only_since_ms == START_MS + 1
    assert (await access_keys.require_hmac(store, key, None)).hmac_only_since_ms is None
    await access_keys.require_sha256(store, key, START_MS)
    assert (await known(key)).principal.schemes == ("sha256", "hmac-sha256")


async def test_set_addresses_and_actions_change_what_a_key_may(
    store: Store, secret_box: SecretBox, clock: FakeClock, key: str
) -> None:
    limited = await access_keys.create(
        store,
        secret_box,
        clock,
        "cus_1",
        allowed_addresses=["192.0.2.0/24", "::1"],
        allowed_actions=["listGroup", "getLimits", "listGroup"],
    )
    found = await access_keys.find(store, limited.access_key)
    assert found is not None
    assert found.allowed_addresses == Networks("192.0.2.0/24,::1")
    assert found.principal.allowed_actions == {"listGroup", "getLimits"}
    changed = await access_keys.set_addresses(store, key, ["10.0.0.1"])
    assert changed.allowed_addresses == "10.0.0.1"
    changed = await access_keys.set_actions(store, key, ["createGroup"])
    assert (changed.allowed_addresses, changed.allowed_actions) == ("10.0.0.1", "createGroup")
    assert (await access_keys.set_addresses(store, key, None)).allowed_addresses is None
    assert (await access_keys.set_actions(store, key, None)).allowed_actions is None
    plain = await access_keys.find(store, key)
    assert plain is not None
    assert (plain.allowed_addresses, plain.principal.allowed_actions) == (None, None)
