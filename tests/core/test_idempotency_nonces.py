"""Idempotency keys: the nonces of HMAC signatures."""

import asyncio

import pytest
from msgspec import structs
from tests.conftest import FakeClock
from tests.core.conftest import Records, Sign
from tests.groups.actions import Groups

from openpns import limits
from openpns.core import idempotency
from openpns.core.context import Services
from openpns.errors import ClientTokenReused, GroupFull, NonceReused, TimestampExpired

pytestmark = pytest.mark.usefixtures("sound_tables")

FRESH_MS = limits.TS_SKEW_MS_MAX


async def create(request: Groups, number: int = 1) -> str:
    return await request.create([number], "a")


@pytest.fixture
def sign_nonce(mine: Groups, clock: FakeClock) -> Sign:
    """Requests with a nonce, signed now."""

    def request(nonce: str, token: str | None = None) -> Groups:
        bounded = mine.bounded(phones_in_group_max=5)
        return bounded.sent(signature="s", ts_ms=clock.now_ms, client_token=token, nonce=nonce)

    return request


async def test_write_with_a_used_nonce_gets_the_first_response(
    sign_nonce: Sign, mine: Groups, clock: FakeClock, records: Records
) -> None:
    group_id = await create(sign_nonce("n1"))
    clock.now_ms += 1000
    again = sign_nonce("n1")  # with another ts
    assert await create(again) == group_id
    assert await mine.ids() == [group_id]
    assert await records() == [f"nonce:{mine.context.principal.access_key}:n1"]
    assert await create(sign_nonce("n2")) != group_id


async def test_nonce_with_another_content_is_refused(sign_nonce: Sign, mine: Groups) -> None:
    group_id = await create(sign_nonce("n1"))
    with pytest.raises(NonceReused, match="another write was sent with this nonce"):
        await create(sign_nonce("n1"), 2)
    with pytest.raises(NonceReused):
        await sign_nonce("n1").drop(group_id)
    assert await mine.ids() == [group_id]


async def test_refusals_are_recorded_under_a_nonce(sign_nonce: Sign, mine: Groups) -> None:
    group_id = await sign_nonce("n1").create([1, 2, 3, 4, 5])
    for _ in range(2):
        with pytest.raises(GroupFull):
            await sign_nonce("n2").add(group_id, 6)
        await mine.delete(group_id, 1)


async def test_copies_at_once_with_one_nonce_are_one_write(sign_nonce: Sign, mine: Groups) -> None:
    ids = await asyncio.gather(*(create(sign_nonce("n1")) for _ in range(20)))
    assert len(set(ids)) == 1
    assert await mine.ids() == ids[:1]


@pytest.mark.parametrize("ahead_ms", [-FRESH_MS, 0, FRESH_MS])
async def test_nonce_counts_for_two_minutes_and_as_long_as_its_ts(
    mine: Groups, services: Services, clock: FakeClock, records: Records, ahead_ms: int
) -> None:
    sent_ms = clock.now_ms
    request = mine.sent(nonce="n1", ts_ms=sent_ms + ahead_ms)
    group_id = await create(request)
    end_ms = sent_ms + max(ahead_ms, 0) + idempotency.SIGNATURE_RECORD_MS
    clock.now_ms = end_ms - 1
    await idempotency.clean(services)
    fresh = mine.sent(nonce="n1", ts_ms=clock.now_ms)
    assert await create(fresh) == group_id
    clock.now_ms = end_ms
    await idempotency.clean(services)
    assert await records() == []


async def test_nonce_counts_per_access_key(sign_nonce: Sign, mine: Groups) -> None:
    request = sign_nonce("n1")
    principal = structs.replace(mine.context.principal, access_key="other-key")
    other = Groups(structs.replace(request.context, principal=principal))
    assert await create(request) != await create(other)


async def test_nonce_comes_before_the_client_token(sign_nonce: Sign, records: Records) -> None:
    group_id = await create(sign_nonce("n1", "token-1"))
    assert await create(sign_nonce("n2", "token-1")) == group_id
    assert await create(sign_nonce("n2", "token-2")) == group_id
    with pytest.raises(NonceReused):
        await create(sign_nonce("n2", "token-3"), 2)
    with pytest.raises(ClientTokenReused):
        await create(sign_nonce("n3", "token-1"), 2)
    assert len(await records()) == 5


async def test_token_gets_the_response_that_its_first_request_got_by_its_nonce(
    sign_nonce: Sign, sign: Sign, mine: Groups
) -> None:
    group_id = await create(sign_nonce("n1"))
    assert await create(sign_nonce("n1", "t1")) == group_id
    assert await create(sign("md5", "t1")) == group_id
    assert await mine.ids() == [group_id]


async def test_token_of_a_refused_nonce_can_be_sent_with_another_one(
    sign_nonce: Sign, mine: Groups
) -> None:
    first = await create(sign_nonce("n1"))
    with pytest.raises(NonceReused):
        await create(sign_nonce("n1", "t1"), 2)
    second = await create(sign_nonce("n2", "t1"), 2)
    assert await mine.ids() == [first, second]


async def test_late_write_with_a_nonce_is_not_carried_out(
    sign_nonce: Sign, mine: Groups, clock: FakeClock
) -> None:
    late = sign_nonce("n1")
    clock.now_ms += limits.TS_SKEW_MS_MAX + idempotency.WRITE_LATE_MS_MAX + 1
    with pytest.raises(TimestampExpired):
        await create(late)
    assert await mine.ids() == []


async def test_content_of_a_nonce_includes_the_action(mine: Groups) -> None:
    context = mine.sent(nonce="n1").context
    (one,), (other,) = (
        idempotency.keys_of(context, action, {"groupId": "g1"}, 0) for action in ("drop", "clear")
    )
    assert one.key == other.key
    assert one.fingerprint != other.fingerprint
