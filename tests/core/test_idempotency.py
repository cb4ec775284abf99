"""A write is carried out at most once: signatures, client tokens, and how long both are known."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests import direct
from tests.conftest import FakeClock
from tests.groups.actions import Groups, phone

from openpns import limits
from openpns.core import idempotency
from openpns.core.context import Caller, Services
from openpns.errors import (
    ClientTokenReused,
    GroupFull,
    GroupNotFound,
    OutcomeUnknown,
    ParameterError,
    ReadFailed,
    ServiceUnavailable,
    TimestampExpired,
)
from openpns.groups import service
from openpns.groups.wire import CreateGroup
from openpns.storage.store import Statement, Transaction

pytestmark = pytest.mark.usefixtures("sound_tables")

UNKNOWN = "0123456789abcdef" * 2
FRESH_MS = limits.TS_SKEW_MS_MAX

Sign = Callable[[str], Groups]
"""Returns the actions of a request with this signature, made now."""


@pytest.fixture
def sign(services: Services, caller: Caller, clock: FakeClock) -> Sign:
    def request(signature: str) -> Groups:
        signed = replace(caller, signature=signature, ts_ms=clock.now_ms)
        return Groups(replace(services, phones_in_group_max=5), signed)

    return request


@pytest.fixture
def records(query: direct.Query) -> Callable[[], Awaitable[list[str]]]:
    """The keys of the notes that are there."""

    async def read() -> list[str]:
        return [
            row[0]
            for row in await query("SELECT idempotency_key FROM idempotency_record ORDER BY 1")
        ]

    return read


async def create(request: Groups, token: str | None, number: int = 1, name: str = "a") -> str:
    body = CreateGroup(phone(number), name, None, token)
    return (await service.create(request.services, request.caller, body)).groupId


async def test_each_write_sent_again_is_answered_as_before_and_changes_nothing(
    sign: Sign, mine: Groups
) -> None:
    first = sign("s1")
    group_id = await first.create([1])
    other_id = await sign("s2").create([1])
    assert await first.create([1]) == group_id != other_id
    added, deleted, replaced, dropped = sign("s3"), sign("s4"), sign("s5"), sign("s6")
    await added.add(group_id, 2)
    await deleted.delete(group_id, 1)
    await added.add(group_id, 2)
    await sign("s7").delete(group_id, 2)
    await added.add(group_id, 2)  # carried out again it would bring the number back
    assert await mine.phones(group_id) == ""
    await replaced.replace(group_id, 3)
    await sign("s8").add(group_id, 1)
    await deleted.delete(group_id, 1)
    await replaced.replace(group_id, 3)
    assert await mine.phones(group_id) == f"{phone(3)},{phone(1)}"
    await dropped.drop(group_id)
    await dropped.drop(group_id)  # not 19001: it is the first answer
    assert await mine.ids() == [other_id]


async def test_a_refusal_is_answered_again_also_when_the_write_could_be_done_now(
    sign: Sign, mine: Groups
) -> None:
    group_id = await sign("s1").create([1, 2, 3, 4, 5])
    late = sign("s2")
    with pytest.raises(GroupFull) as first:
        await late.add(group_id, 6)
    await sign("s3").delete(group_id, 1)
    with pytest.raises(GroupFull) as second:
        await late.add(group_id, 6)
    assert second.value.msg == first.value.msg
    assert await mine.phones(group_id) == ",".join(map(phone, [2, 3, 4, 5]))
    absent = sign("s4")
    for _ in range(2):
        with pytest.raises(GroupNotFound):
            await absent.drop(UNKNOWN)


async def test_what_is_refused_for_its_fields_alone_leaves_no_note(
    sign: Sign, records: Callable[[], Awaitable[list[str]]]
) -> None:
    request = sign("s1")
    for error, write in (
        (GroupFull, request.create(range(6))),
        (GroupNotFound, request.drop("no id")),
        (ParameterError, create(request, "t1", number=-5)),
    ):
        with pytest.raises(error):
            await write
    assert await records() == []


async def test_copies_at_once_are_one_write_and_have_one_answer(sign: Sign, mine: Groups) -> None:
    request, other = sign("s1"), sign("s2")
    ids = await asyncio.gather(*(request.create([1]) for _ in range(20)), other.create([1]))
    assert len(set(ids[:20])) == 1
    assert sorted(await mine.ids()) == sorted({*ids})
    assert len({*ids}) == 2
    dropped = sign("s3")
    await asyncio.gather(*(dropped.drop(ids[0]) for _ in range(20)))
    assert await mine.ids() == [ids[20]]


async def test_copies_of_a_write_that_is_refused_agree(sign: Sign, mine: Groups) -> None:
    group_id = await sign("s1").create([1, 2, 3, 4, 5])
    adding, freeing = sign("s2"), sign("s3")
    answers = await asyncio.gather(
        *(adding.add(group_id, 6) for _ in range(5)),
        freeing.delete(group_id, 1),
        *(adding.add(group_id, 6) for _ in range(5)),
        return_exceptions=True,
    )
    told = {getattr(answer, "code", 0) for place, answer in enumerate(answers) if place != 5}
    assert told in ({0}, {GroupFull.code})
    assert (phone(6) in await mine.phones(group_id)) == (told == {0})


async def test_a_signature_is_known_until_no_server_would_take_its_ts(
    sign: Sign,
    services: Services,
    clock: FakeClock,
    records: Callable[[], Awaitable[list[str]]],
) -> None:
    ahead = sign("s1")
    clock.now_ms -= FRESH_MS
    group_id = await ahead.create([1])
    for age_ms in (0, FRESH_MS, limits.SIGNATURE_RECORD_MS - 1):
        clock.now_ms = ahead.caller.ts_ms + age_ms
        await idempotency.clean(services)
        assert await ahead.create([1]) == group_id
        assert await records() == ["sign:s1"]
    clock.now_ms = ahead.caller.ts_ms + limits.SIGNATURE_RECORD_MS
    await idempotency.clean(services)
    assert await records() == []


async def test_a_write_whose_turn_comes_when_its_note_may_be_gone_is_not_carried_out(
    sign: Sign, services: Services, clock: FakeClock, mine: Groups
) -> None:
    stopped = sign("s1")
    group_id = await stopped.create([1])
    await sign("s2").add(group_id, 2)
    clock.now_ms += limits.SIGNATURE_RECORD_MS
    await idempotency.clean(services)
    for write in (
        lambda: stopped.create([1]),
        lambda: stopped.add(group_id, 3),
        lambda: stopped.drop(group_id),
        lambda: stopped.drop(UNKNOWN),
    ):
        with pytest.raises(TimestampExpired, match="came too late; nothing was written"):
            await write()
    assert await mine.page() == (1, [("cus_1", group_id, group_id, f"{phone(1)},{phone(2)}", "")])
    clock.now_ms = stopped.caller.ts_ms + FRESH_MS + limits.WRITE_LATE_MS_MAX
    await stopped.drop(group_id)
    assert await mine.ids() == []


async def test_cleaning_forgets_all_that_is_over_and_nothing_else(
    sign: Sign,
    services: Services,
    clock: FakeClock,
    records: Callable[[], Awaitable[list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "_CLEAN_AT_ONCE", 3)
    for number in range(8):
        await sign(f"old-{number}").create([number])
    await create(sign("with-token"), "t1")
    clock.now_ms += limits.SIGNATURE_RECORD_MS - 1
    await sign("new").create([9])
    await idempotency.clean(services)
    assert len(await records()) == 11
    clock.now_ms += 1
    await asyncio.gather(*(idempotency.clean(services) for _ in range(3)))
    assert await records() == ["client:t1", "sign:new"]
    clock.now_ms += limits.CLIENT_TOKEN_MS
    await idempotency.clean(services)
    assert await records() == []


async def test_a_client_token_makes_the_same_wish_one_group_whatever_its_signature(
    sign: Sign, mine: Groups, clock: FakeClock
) -> None:
    group_id = await create(sign("s1"), "t1")
    clock.now_ms += limits.CLIENT_TOKEN_MS - 1
    assert await create(sign("s2"), "t1") == group_id
    plain = CreateGroup(f" +{phone(1)} ", "a", "", "t1")
    request = sign("s3")
    made = await service.create(request.services, request.caller, plain)
    assert made.groupId == group_id
    assert await create(sign("s4"), "t2") != group_id
    assert len(await mine.ids()) == 2


async def test_copies_with_one_client_token_are_one_group(sign: Sign, mine: Groups) -> None:
    ids = await asyncio.gather(*(create(sign(f"s{n}"), "t1") for n in range(20)))
    assert await mine.ids() == [ids[0]]
    assert {*ids} == {ids[0]}


async def test_another_wish_under_a_client_token_is_refused(sign: Sign, mine: Groups) -> None:
    group_id = await create(sign("s1"), "t1")
    for number, name in ((2, "a"), (1, "b")):
        request = sign(f"{number}{name}")
        for _ in range(2):
            with pytest.raises(ClientTokenReused, match="another createGroup was sent under this"):
                await create(request, "t1", number, name)
    assert await create(sign("s2"), "t1") == group_id
    assert await mine.ids() == [group_id]


async def test_after_its_day_a_client_token_is_free_but_not_for_requests_that_came_before(
    sign: Sign, clock: FakeClock, mine: Groups
) -> None:
    group_id = await create(sign("s1"), "t1")
    clock.now_ms += limits.CLIENT_TOKEN_MS - 1
    again, refused = sign("s2"), sign("s3")
    assert await create(again, "t1") == group_id
    with pytest.raises(ClientTokenReused):
        await create(refused, "t1", 2)
    clock.now_ms += 1
    assert await create(again, "t1") == group_id
    with pytest.raises(ClientTokenReused):
        await create(refused, "t1", 2)
    assert await mine.ids() == [group_id]
    new_id = await create(sign("s4"), "t1", 2)
    assert await create(sign("s5"), "t1", 2) == new_id
    assert await mine.ids() == [group_id, new_id]


async def test_a_refused_create_leaves_its_client_token_free(sign: Sign) -> None:
    request = sign("s1")
    body = CreateGroup(",".join(map(phone, range(6))), "a", None, "t1")
    with pytest.raises(GroupFull):
        await service.create(request.services, request.caller, body)
    assert await create(sign("s2"), "t1")


async def test_an_empty_client_token_is_none(sign: Sign, mine: Groups) -> None:
    for token in ("", None):
        assert await create(sign(f"a{token}"), token) != await create(sign(f"b{token}"), token)
    assert len(await mine.ids()) == 4


async def test_a_client_token_without_a_signature_counts_too(mine: Groups) -> None:
    group_id = await create(mine, "t1")
    assert await create(mine, "t1") == group_id
    with pytest.raises(ClientTokenReused):
        await create(mine, "t1", 2)


async def test_signatures_and_tokens_are_each_customers_own(
    sign: Sign, stranger: Caller, mine: Groups, theirs: Groups
) -> None:
    group_id = await create(sign("s1"), "t1")
    ours = sign("s1")
    other = replace(stranger, signature="s1", ts_ms=ours.caller.ts_ms)
    assert await create(Groups(ours.services, other), "t1", 2) != group_id
    assert [await side.page() for side in (mine, theirs)] == [
        (1, [("cus_1", "a", group_id, phone(1), "")]),
        (1, [("cus_2", "a", (await theirs.ids())[0], phone(2), "")]),
    ]


async def test_a_token_that_looks_like_a_signature_is_none(sign: Sign, mine: Groups) -> None:
    group_id = await create(sign("s1"), "s1")
    assert await create(sign("sign:s1"), "sign:s1") != group_id
    assert len(await mine.ids()) == 2


@pytest.mark.parametrize("failure", [None, ServiceUnavailable("away"), ReadFailed("damaged")])
async def test_a_note_that_cannot_be_read_does_not_say_that_nothing_was_written(
    sign: Sign, services: Services, clock: FakeClock, failure: Exception | None
) -> None:
    request = sign("s1")
    await request.create([1])
    store = services.store

    class Forgetful:
        """Forgets every note before it is read, or cannot read it."""

        write = staticmethod(store.write)

        async def fetch(self, *_: object) -> list[object]:
            if failure is not None:
                raise failure
            return []

    forgetful = replace(request.services, store=Forgetful())  # type: ignore[arg-type]
    with pytest.raises(
        OutcomeUnknown, match="the write came before, and its answer cannot be read"
    ):
        await Groups(forgetful, request.caller).create([1])


async def test_a_write_that_fails_leaves_no_note(
    sign: Sign, services: Services, records: Callable[[], Awaitable[list[str]]]
) -> None:
    request = sign("s1")
    mark = idempotency.Once(request.caller, request.caller.ts_ms, services.clock)

    def steps() -> Transaction[None]:
        yield from mark.note(None)
        yield Statement("group_lock", {"customer_id": "cus_1", "group_id": UNKNOWN})
        raise ReadFailed

    with pytest.raises(ReadFailed):
        await idempotency.write_once(services, mark, steps, type(None))
    assert await records() == []
    assert await request.create([1])
