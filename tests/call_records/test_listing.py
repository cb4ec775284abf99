"""listCallRecords and getCallRecord."""

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.call_records.actions import Calls, T

from openpns.call_records import listing
from openpns.errors import DidWithoutCountry, NotFound, ParameterError


async def make(mine: Bindings, calls: Calls) -> tuple[list[int], list[str]]:
    """Make eight calls; return the ids of their records, newest call first, and the bindIds.

    The calls begin in another order than they are reported in, two of them at one time.
    """
    first, _ = await mine.bind(A, B)
    second, _ = await mine.bind(A, B)
    made: list[tuple[int, int]] = []
    for place, (caller, did) in enumerate([(A, X), (A, Y), (B, X), (B, Y)] * 2):
        start = T + (place * 3 % 7) * 60
        times = {"start_at": start, "answer_at": start, "hangup_at": start + 1}
        made.append((start, (await calls.call(caller, did, **times)).id))
    return [record_id for _, record_id in sorted(made, reverse=True)], [first, second]


async def test_records_are_newest_first_page_by_page(mine: Bindings, calls: Calls) -> None:
    ids, _ = await make(mine, calls)
    page = await calls.page()
    assert [record.id for record in page.records] == ids
    assert page.next is None
    assert await calls.ids() == ids
    assert (await calls.page(8)).next is None


@pytest.mark.parametrize("examined_max", [1, 3, 2000])
async def test_filters_find_what_they_say(
    mine: Bindings, calls: Calls, monkeypatch: pytest.MonkeyPatch, examined_max: int
) -> None:
    monkeypatch.setattr(listing, "EXAMINED_MAX", examined_max)
    ids, (first, second) = await make(mine, calls)
    await mine.bind(C, D)
    other = await calls.call(C, start_at=T + 4 * 60 + 1, answer_at=0, hangup_at=T + 500)
    every = {record.id: record for record in (await calls.page()).records}
    assert len(every) == 9

    def wanted(**fields: str) -> list[int]:
        return [n for n in every if all(getattr(every[n], f) == v for f, v in fields.items())]

    assert await calls.ids(did=Y) == wanted(did=Y)
    assert await calls.ids(bind_id=first) == wanted(bind_id=first)
    assert await calls.ids(phone=A) == await calls.ids(phone=f"+{B}") == ids
    assert await calls.ids(phone=D) == await calls.ids(phone=C, did=other.did) == [other.id]
    assert await calls.ids(phone=B, did=X) == wanted(bind_id=first)
    assert await calls.ids(phone=A, bind_id=second) == wanted(bind_id=second)
    assert await calls.ids(did=X, bind_id=first) == wanted(bind_id=first)
    assert await calls.ids(did=Y, bind_id=first) == []
    assert await calls.ids(phone="85255555555") == await calls.ids(bind_id="") == []
    assert await calls.ids(did="85290000008") == []


async def test_since_and_until_bound_the_beginning(mine: Bindings, calls: Calls) -> None:
    await make(mine, calls)
    records = (await calls.page()).records
    since, until = T + 60, T + 240
    wanted = [record.id for record in records if since <= record.start_at < until]
    assert 1 < len(wanted) < 8
    assert await calls.ids(since=since, until=until) == wanted
    assert await calls.ids(since=since, until=until, phone=A, did=X) == [
        record.id for record in records if record.id in wanted and record.did == X
    ]
    assert await calls.ids(since=until, until=since) == await calls.ids(until=0) == []


async def test_page_does_not_change_with_later_calls(mine: Bindings, calls: Calls) -> None:
    ids, _ = await make(mine, calls)
    page = await calls.page(3)
    await calls.call(A, start_at=T + 9999, answer_at=0, hangup_at=T + 9999)
    rest = await calls.page(100, after=page.next)
    assert [record.id for record in (*page.records, *rest.records)] == ids


async def test_record_of_another_customer_is_not_found(
    mine: Bindings, theirs: Bindings, calls: Calls
) -> None:
    await make(mine, calls)
    record = (await calls.page(1)).records[0]
    strange = Calls(theirs.context)
    assert await calls.get(record.call_id) == record
    assert await strange.ids() == []
    for filters in ({"did": record.did}, {"phone": A}, {"bind_id": record.bind_id}):
        assert await strange.ids(**filters) == []
    with pytest.raises(NotFound):
        await strange.get(record.call_id)


@pytest.mark.parametrize("after", ["x", "1", "1-", "-1", "1-1-1", "1670479632-1 ", "9" * 13 + "-1"])
async def test_malformed_place_is_refused(calls: Calls, after: str) -> None:
    with pytest.raises(ParameterError, match="after must be the next of a page, or empty"):
        await calls.page(1, after=after)


async def test_malformed_filters_are_refused(calls: Calls) -> None:
    with pytest.raises(ParameterError, match="phone must be 5 to 15 digits"):
        await calls.page(phone="x")
    with pytest.raises(ParameterError, match="did must be a virtual number"):
        await calls.page(did="x")
    with pytest.raises(DidWithoutCountry):
        await calls.page(did="99990000001")
    with pytest.raises(ParameterError, match="callId must be 1 to 20 digits"):
        await calls.get("x")


async def test_repr_of_a_record_has_no_phone(
    mine: Bindings, calls: Calls, query: direct.Query
) -> None:
    await mine.bind(A, B)
    record = await calls.call()
    assert A not in repr(record)
    assert A not in repr(await calls.page())
