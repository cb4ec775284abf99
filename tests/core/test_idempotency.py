"""Idempotency keys: signatures of unique-ts keys, and how long a record is stored.

Client tokens: test_commit.py; nonces: test_idempotency_nonces.py.
"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from tests.conftest import FakeClock
from tests.core.conftest import Records, Sign
from tests.groups.actions import Groups, joined, phone

from openpns import limits
from openpns.core import expiry, idempotency
from openpns.core.commit import Effect, commit
from openpns.core.context import Context, Services
from openpns.errors import (
    ClientTokenReused,
    GroupFull,
    GroupNotFound,
    OutcomeUnknown,
    ReadFailed,
    ServiceUnavailable,
    TimestampExpired,
)
from openpns.storage.store import Transaction

pytestmark = pytest.mark.usefixtures("sound_tables")

UNKNOWN = "0123456789abcdef" * 2
FRESH_MS = limits.TS_SKEW_MS_MAX


async def create(request: Groups, number: int = 1, name: str | None = "a") -> str:
    return await request.create([number], name)


async def test_identical_create_without_key_makes_two_groups(
    sign: Sign, mine: Groups, records: Records
) -> None:
    request = sign("s1")
    ids = [await create(request), await create(request)]
    assert ids[0] != ids[1]
    assert await mine.ids() == ids
    assert await records() == []


async def test_identical_creates_at_once_without_key_each_make_a_group(
    sign: Sign, mine: Groups
) -> None:
    request = sign("s1")
    ids = await asyncio.gather(*(create(request) for _ in range(30)))
    assert len(set(ids)) == 30
    assert sorted(await mine.ids()) == sorted(ids)


async def test_identical_delete_without_key_is_answered_group_not_found(
    sign: Sign, mine: Groups, records: Records
) -> None:
    group_id = await create(sign("s1"))
    request = sign("s2")
    await request.drop(group_id)
    with pytest.raises(GroupNotFound):
        await request.drop(group_id)
    assert await mine.ids() == []
    assert await records() == []


async def test_identical_update_without_key_is_carried_out_again(sign: Sign, mine: Groups) -> None:
    group_id = await create(sign("s1"))
    adding = sign("s2")
    await adding.add(group_id, 2)
    await sign("s3").delete(group_id, 2)
    await adding.add(group_id, 2)
    assert await mine.phones(group_id) == joined([1, 2])


@pytest.mark.parametrize("token", ["", None])
async def test_empty_client_token_is_not_a_key(
    sign: Sign, mine: Groups, records: Records, token: str | None
) -> None:
    request = sign("s1", token)
    assert await create(request) != await create(request)
    assert len(await mine.ids()) == 2
    assert await records() == []


async def test_each_identical_write_of_a_unique_ts_key_gets_the_first_response(
    sign_unique: Sign, mine: Groups
) -> None:
    first = sign_unique("s1")
    group_id = await first.create([1])
    other_id = await sign_unique("s2").create([1])
    assert await first.create([1]) == group_id != other_id
    added, deleted, replaced, dropped = (sign_unique(f"s{n}") for n in range(3, 7))
    await added.add(group_id, 2)
    await deleted.delete(group_id, 1)
    await added.add(group_id, 2)
    await sign_unique("s7").delete(group_id, 2)
    await added.add(group_id, 2)  # carried out again, it would add the phone again
    assert await mine.phones(group_id) == ""
    await replaced.replace(group_id, 3)
    await sign_unique("s8").add(group_id, 1)
    await deleted.delete(group_id, 1)
    await replaced.replace(group_id, 3)
    assert await mine.phones(group_id) == joined([3, 1])
    await dropped.drop(group_id)
    await dropped.drop(group_id)  # the first response, not 19001
    assert await mine.ids() == [other_id]


async def test_refusals_are_recorded_under_the_signature_of_a_unique_ts_key(
    sign_unique: Sign, mine: Groups
) -> None:
    group_id = await sign_unique("s1").create([1, 2, 3, 4, 5])
    late = sign_unique("s2")
    with pytest.raises(GroupFull) as first:
        await late.add(group_id, 6)
    await sign_unique("s3").delete(group_id, 1)
    with pytest.raises(GroupFull) as second:
        await late.add(group_id, 6)
    assert second.value.msg == first.value.msg
    assert await mine.phones(group_id) == joined([2, 3, 4, 5])
    absent = sign_unique("s4")
    for _ in range(2):
        with pytest.raises(GroupNotFound):
            await absent.drop(UNKNOWN)


async def test_copies_at_once_of_a_unique_ts_key_are_one_write(
    sign_unique: Sign, mine: Groups
) -> None:
    request, other = sign_unique("s1"), sign_unique("s2")
    ids = await asyncio.gather(*(request.create([1]) for _ in range(20)), other.create([1]))
    assert len(set(ids[:20])) == 1
    assert sorted(await mine.ids()) == sorted({*ids})
    assert len({*ids}) == 2
    dropped = sign_unique("s3")
    await asyncio.gather(*(dropped.drop(ids[0]) for _ in range(20)))
    assert await mine.ids() == [ids[20]]


async def test_copies_at_once_of_a_refused_write_of_a_unique_ts_key_get_one_response(
    sign_unique: Sign, mine: Groups
) -> None:
    group_id = await sign_unique("s1").create([1, 2, 3, 4, 5])
    adding, freeing = sign_unique("s2"), sign_unique("s3")
    results = await asyncio.gather(
        *(adding.add(group_id, 6) for _ in range(5)),
        freeing.delete(group_id, 1),
        *(adding.add(group_id, 6) for _ in range(5)),
        return_exceptions=True,
    )
    codes = {getattr(result, "code", 0) for place, result in enumerate(results) if place != 5}
    assert codes in ({0}, {GroupFull.code})
    assert (phone(6) in await mine.phones(group_id)) == (codes == {0})


async def test_signature_is_known_as_long_as_a_server_may_accept_its_ts(
    sign_unique: Sign, services: Services, clock: FakeClock, records: Records
) -> None:
    ahead = sign_unique("s1")
    ts_ms = clock.now_ms
    clock.now_ms -= FRESH_MS
    group_id = await ahead.create([1])
    for age_ms in (0, FRESH_MS, idempotency.SIGNATURE_RECORD_MS - 1):
        clock.now_ms = ts_ms + age_ms
        await idempotency.clean(services)
        assert await ahead.create([1]) == group_id
        assert await records() == ["signature:s1"]
    clock.now_ms = ts_ms + idempotency.SIGNATURE_RECORD_MS
    await idempotency.clean(services)
    assert await records() == []


async def test_write_is_not_carried_out_when_its_record_may_have_been_deleted(
    sign_unique: Sign, services: Services, clock: FakeClock, mine: Groups
) -> None:
    stopped = sign_unique("s1")
    ts_ms = clock.now_ms
    group_id = await stopped.create([1])
    await sign_unique("s2").add(group_id, 2)
    clock.now_ms += idempotency.SIGNATURE_RECORD_MS
    await idempotency.clean(services)
    for write in (
        lambda: stopped.create([1]),
        lambda: stopped.add(group_id, 3),
        lambda: stopped.drop(group_id),
        lambda: stopped.drop(UNKNOWN),
    ):
        with pytest.raises(TimestampExpired, match="waited too long; nothing was written"):
            await write()
    assert await mine.page() == (1, [("cus_1", group_id, group_id, joined([1, 2]), "")])
    clock.now_ms = ts_ms + FRESH_MS + idempotency.WRITE_LATE_MS_MAX
    await stopped.drop(group_id)
    assert await mine.ids() == []


async def test_late_write_with_only_a_token_is_carried_out(
    sign: Sign, clock: FakeClock, mine: Groups
) -> None:
    stopped = sign("s1", "t1")
    clock.now_ms += idempotency.SIGNATURE_RECORD_MS
    assert await stopped.create([1]) == (await mine.ids())[0]


async def test_clean_deletes_expired_records_only(
    sign: Sign,
    sign_unique: Sign,
    services: Services,
    clock: FakeClock,
    records: Records,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expiry, "_ROWS_EACH", 3)
    for number in range(8):
        await sign_unique(f"old-{number}").create([number])
    await create(sign_unique("with-token", "t1"))
    clock.now_ms += idempotency.SIGNATURE_RECORD_MS - 1
    await sign_unique("new").create([9])
    await idempotency.clean(services)
    assert len(await records()) == 11
    clock.now_ms += 1
    await asyncio.gather(*(idempotency.clean(services) for _ in range(3)))
    assert await records() == ["signature:new", "token:createGroup:t1"]
    clock.now_ms += limits.CLIENT_TOKEN_MS
    await idempotency.clean(services)
    assert await records() == []


async def test_signature_keeps_the_response_of_its_token_after_the_token_expired(
    sign_unique: Sign, clock: FakeClock, mine: Groups
) -> None:
    group_id = await create(sign_unique("s1", "t1"))
    clock.now_ms += limits.CLIENT_TOKEN_MS - 1
    again, refused = sign_unique("s2", "t1"), sign_unique("s3", "t1")
    assert await create(again) == group_id
    with pytest.raises(ClientTokenReused):
        await create(refused, 2)
    clock.now_ms += 1
    assert await create(again) == group_id
    with pytest.raises(ClientTokenReused):
        await create(refused, 2)
    assert await mine.ids() == [group_id]
    new_id = await create(sign_unique("s4", "t1"), 2)
    assert await create(sign_unique("s5", "t1"), 2) == new_id
    assert await mine.ids() == [group_id, new_id]


async def test_keys_belong_to_one_customer(
    sign_unique: Sign, stranger: Context, mine: Groups, theirs: Groups, clock: FakeClock
) -> None:
    group_id = await create(sign_unique("s1", "t1"))
    unique = structs.replace(stranger.principal, unique_ts=True)
    other = Groups(structs.replace(stranger, principal=unique))
    request = other.sent(signature="s1", ts_ms=clock.now_ms, client_token="t1")
    assert await create(request, 2) != group_id
    assert [await side.page() for side in (mine, theirs)] == [
        (1, [("cus_1", "a", group_id, phone(1), "")]),
        (1, [("cus_2", "a", (await theirs.ids())[0], phone(2), "")]),
    ]


async def test_token_that_looks_like_a_key_of_another_kind_is_a_token(
    sign_unique: Sign, mine: Groups
) -> None:
    group_id = await create(sign_unique("s1", "s1"))
    for token in ("signature:s1", "token:createGroup:s1", "createGroup:s1"):
        assert await create(sign_unique(f"of {token}", token)) != group_id
    assert len(await mine.ids()) == 4


@pytest.mark.parametrize("token", [None, "t1"])
@pytest.mark.parametrize("failure", [None, ServiceUnavailable("away"), ReadFailed("damaged")])
async def test_record_that_cannot_be_read_raises_outcome_unknown(
    sign: Sign,
    sign_unique: Sign,
    services: Services,
    failure: Exception | None,
    token: str | None,
) -> None:
    request = sign_unique("s1") if token is None else sign("s1", token)
    await request.create([1])
    store = services.store

    class Forgetful:
        """A store that loses each record before it is read, or cannot read it."""

        write = staticmethod(store.write)

        async def fetch(self, *_: object) -> list[object]:
            if failure is not None:
                raise failure
            return []

    forgetful = replace(request.context.services, store=Forgetful())  # type: ignore[arg-type]
    context = structs.replace(request.context, services=forgetful)
    with pytest.raises(
        OutcomeUnknown, match="the write was carried out before, and its response cannot be read"
    ):
        await Groups(context).create([1])


async def test_refusal_whose_record_has_an_unknown_outcome_raises_service_unavailable(
    sign: Sign, services: Services
) -> None:
    store = services.store

    class LostAtSecondWrite:
        """A store that is lost while it commits the record of a refusal."""

        fetch = staticmethod(store.fetch)
        writes = 0

        async def write(self, *args: Any, **kwargs: Any) -> Any:
            self.writes += 1
            if self.writes == 2:
                raise OutcomeUnknown("lost")
            return await store.write(*args, **kwargs)

    request = sign("s1", "t1")
    lost = replace(request.context.services, store=LostAtSecondWrite())  # type: ignore[arg-type]
    with pytest.raises(ServiceUnavailable, match="the storage was lost; nothing was written"):
        await Groups(structs.replace(request.context, services=lost)).drop(UNKNOWN)
    with pytest.raises(GroupNotFound):
        await request.drop(UNKNOWN)


async def test_write_that_fails_after_its_record_leaves_none(
    sign: Sign, sign_unique: Sign, records: Records
) -> None:
    request = sign_unique("s1", "t1")

    def steps() -> Transaction[Effect[None]]:
        yield from ()
        return Effect(None, "subject", object())  # no entry can be made of these details

    with pytest.raises(TypeError):
        await commit(request.context, "createGroup", steps, scope="groups", payload={})
    assert await records() == []
    assert await request.create([1])
