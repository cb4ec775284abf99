"""The actions that bind: what they check, in which order, and what they store."""

import asyncio
from typing import Any

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, D, X, Y, Z
from tests.conftest import FakeClock

from openpns.bindings import expired
from openpns.core.context import Context
from openpns.errors import (
    BindingConflict,
    BindingNotFound,
    CountryMismatch,
    CustomerBindIdInUse,
    DidWithoutCountry,
    GroupNotFound,
    NoVirtualNumber,
    ParameterError,
    PoolExhausted,
    QuotaExceeded,
    SamePhone,
    WireError,
)

pytestmark = pytest.mark.usefixtures("sound_tables")

ABROAD = "8613800138000"
"""A phone of another country."""


async def test_bind_connects_both_phones_and_nobody_else(mine: Bindings) -> None:
    _, did = await mine.bind(A, B)
    assert [await mine.call(phone, did) for phone in (A, B, C)] == [B, A, ""]


async def test_second_binding_of_a_pair_takes_another_virtual_number(mine: Bindings) -> None:
    dids = [(await mine.bind(A, B))[1], (await mine.bind(B, A))[1]]
    assert sorted(dids) == [X, Y]
    with pytest.raises(PoolExhausted, match="one of these two phones has a live binding on every"):
        await mine.bind(A, B)


@pytest.mark.parametrize("phone", ["85211111111", "+85211111111", " 85211111111 "])
async def test_phones_are_stored_in_digits(mine: Bindings, phone: str) -> None:
    bind_id, _ = await mine.bind(phone, B)
    assert (await mine.get(bind_id)).phone_a == A


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (ParameterError, {"a": "8521", "b": B}),
        (ParameterError, {"a": A, "b": "0852222222"}),
        (SamePhone, {"a": A, "b": f"+{A}"}),
        (ParameterError, {"a": A, "b": X}),
        (CountryMismatch, {"a": A, "b": ABROAD}),
        (NoVirtualNumber, {"a": ABROAD, "b": "8613800138001"}),
    ],
)
async def test_bind_refuses_bad_phones(
    mine: Bindings, error: type[WireError], fields: dict[str, str]
) -> None:
    with pytest.raises(error) as caught:
        await mine.bind(**fields)
    assert not any(phone in str(caught.value) for phone in (*fields.values(), A, B))
    assert await mine.ids() == []


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (DidWithoutCountry, {"x": "21099999999"}),
        (ParameterError, {"x": "X"}),
        (NoVirtualNumber, {"x": Z}),
        (ParameterError, {"a": Y}),
        (CountryMismatch, {"a": ABROAD}),
        (CountryMismatch, {"phone_b": ABROAD}),
        (SamePhone, {"phone_b": A}),
        (ParameterError, {"digits": "12"}),
        (ParameterError, {"digits": "１２３"}),
        (ParameterError, {"capital_extension": "124"}),
    ],
)
async def test_bind_to_digits_refuses_bad_input(
    mine: Bindings, error: type[WireError], fields: dict[str, str]
) -> None:
    with pytest.raises(error):
        await mine.bind_digits(**fields)
    assert await mine.ids() == []


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (ParameterError, {"phone_b": A, "digits": "12", "x": "21099999999"}),
        (ParameterError, {"phone_b": A, "x": "X"}),
        (SamePhone, {"phone_b": A, "x": "21099999999"}),
        (DidWithoutCountry, {"x": "21099999999", "a": ABROAD}),
        (NoVirtualNumber, {"x": Z, "a": ABROAD}),
        (ParameterError, {"a": Y, "phone_b": ABROAD}),
    ],
)
async def test_bind_to_digits_checks_in_the_order_of_the_api(
    mine: Bindings, error: type[WireError], fields: dict[str, str]
) -> None:
    with pytest.raises(error):
        await mine.bind_digits(**fields)


async def test_disabled_number_is_not_had_and_a_draining_one_is_exhausted(mine: Bindings) -> None:
    await mine.set_state(X, "disabled")
    with pytest.raises(NoVirtualNumber):
        await mine.bind_digits()
    await mine.set_state(X, "draining")
    with pytest.raises(PoolExhausted, match="draining"):
        await mine.bind_digits()
    await mine.set_state(X, "active")
    await mine.bind_digits()


async def test_digits_are_held_by_one_live_binding(mine: Bindings) -> None:
    bind_id = await mine.bind_digits("123", A)
    with pytest.raises(BindingConflict, match="extension has a live binding"):
        await mine.bind_digits("123", C)
    await mine.bind_digits("123", C, Y)
    await mine.bind_digits("124", C)
    await mine.unbind(bind_id)
    await mine.bind_digits("123", C)


async def test_group_is_bound_on_a_number_that_none_of_its_phones_uses(mine: Bindings) -> None:
    _, taken = await mine.bind(A, B)
    group_id = await mine.group(B, C)
    _, did = await mine.bind_group(group_id, D, phone_b=C)
    assert did != taken
    assert [await mine.call(phone, did) for phone in (B, C, D, A)] == [D, D, C, ""]


@pytest.mark.parametrize(
    ("error", "why", "fields"),
    [
        (GroupNotFound, "^Number group does not exist$", {"group_id": "0" * 32}),
        (GroupNotFound, "^Number group does not exist$", {"group_id": "x"}),
        (GroupNotFound, "^Number group does not exist$", {"group_id": ""}),
        (ParameterError, "phoneB must be a number of the group", {"phone_b": D}),
        (BindingConflict, "groupId: a member has a live binding", {"phone_x": "taken"}),
        (BindingConflict, "phoneA has a live binding", {"phone_x": "taken", "a": A}),
    ],
)
async def test_bind_of_a_group_refuses_bad_input(
    mine: Bindings, error: type[WireError], why: str, fields: dict[str, Any]
) -> None:
    _, taken = await mine.bind(A, B)
    group_id = await mine.group(B, C)
    sent = {"a": D, "group_id": group_id} | fields
    if sent.get("phone_x") == "taken":
        sent["phone_x"] = taken
    if sent.get("phone_b") == D:
        sent["a"] = "85255555555"
    with pytest.raises(error, match=why):
        await mine.bind_group(**sent)
    assert len(await mine.ids()) == 1


async def test_group_with_a_foreign_phone_is_refused(mine: Bindings) -> None:
    with pytest.raises(CountryMismatch, match="every number of the group must begin with 852"):
        await mine.bind_group(await mine.group(B, ABROAD))


async def test_no_number_at_all_comes_before_an_unknown_group(mine: Bindings) -> None:
    with pytest.raises(NoVirtualNumber):
        await mine.bind_group("0" * 32, ABROAD)
    with pytest.raises(GroupNotFound):
        await mine.bind_group("0" * 32)


async def test_a_may_be_in_its_own_group(mine: Bindings) -> None:
    group_id = await mine.group(A, C)
    _, did = await mine.bind_group(group_id, A, phone_b=C)
    assert [await mine.call(phone, did) for phone in (A, C)] == [C, A]


async def test_groups_on_one_number_share_no_phone(mine: Bindings) -> None:
    first, second = await mine.group(B, C), await mine.group(C)
    await mine.bind_group(first, A, phone_x=X)
    with pytest.raises(BindingConflict, match="in another group"):
        await mine.bind_group(second, D, phone_x=X)
    assert (await mine.bind_group(second, D))[1] == Y
    with pytest.raises(PoolExhausted):
        await mine.bind_group(first, "85255555555")


async def test_group_is_bound_once_on_a_number_even_if_it_is_empty(mine: Bindings) -> None:
    group_id = await mine.group(B)
    await mine.change_group(group_id, 1, B)
    await mine.bind_group(group_id, A, phone_x=X)
    with pytest.raises(BindingConflict):
        await mine.bind_group(group_id, C, phone_x=X)


async def test_own_id_returns_the_live_binding_and_is_free_after_it(
    mine: Bindings, clock: FakeClock
) -> None:
    first = await mine.bind(A, B, 60, customer_bind_id="order 1")
    clock.now_ms += 30_000
    assert await mine.bind(f"+{A}", B, 60, customer_bind_id="order 1") == first
    assert (await mine.get(first[0])).expire_at == (clock.now_ms - 30_000) // 1000 + 1 + 60
    with pytest.raises(CustomerBindIdInUse):
        await mine.bind(A, B, 61, customer_bind_id="order 1")
    with pytest.raises(CustomerBindIdInUse):
        await mine.bind_digits(customer_bind_id="order 1")
    clock.now_ms += 31_000
    second = await mine.bind(A, C, customer_bind_id="order 1")
    assert second[0] != first[0]
    assert await mine.ids() == [second[0]]


async def test_own_id_answers_also_if_the_number_takes_no_more(mine: Bindings) -> None:
    first = await mine.bind_digits(customer_bind_id="order 1")
    await mine.set_state(X, "draining")
    assert await mine.bind_digits(customer_bind_id="order 1") == first


async def test_dry_run_names_the_number_and_stores_nothing(mine: Bindings) -> None:
    assert await mine.bind(dry_run=True) == ("", X)
    assert await mine.ids() == []
    await mine.bind()
    await mine.bind()
    with pytest.raises(PoolExhausted):
        await mine.bind(dry_run=True)


async def test_quota_counts_live_bindings(mine: Bindings, clock: FakeClock) -> None:
    bounded = mine.bounded(bindings_per_customer_max=1)
    await bounded.bind(A, B, 10)
    with pytest.raises(QuotaExceeded, match="shows your quota of bindings"):
        await bounded.bind(C, D)
    clock.now_ms += 12_000
    await bounded.bind(C, D)


async def test_full_number_takes_a_binding_once_one_has_run_out(
    mine: Bindings, clock: FakeClock
) -> None:
    bounded = mine.bounded(bindings_per_number_max=1)
    await bounded.bind_digits("123", expire=10)
    with pytest.raises(PoolExhausted, match="phoneX is full"):
        await bounded.bind_digits("124")
    clock.now_ms += 12_000
    await bounded.bind_digits("124")


async def test_expired_seat_is_taken_before_it_is_swept(mine: Bindings, clock: FakeClock) -> None:
    await mine.bind(A, B, 10)
    await mine.bind(A, B, 10)
    clock.now_ms += 12_000
    _, did = await mine.bind(A, C)
    assert [await mine.call(phone, did) for phone in (A, B, C)] == [C, "", A]
    await mine.sweep()
    assert await mine.call(A, did) == C
    assert len(await mine.ids()) == 1


async def test_customers_do_not_see_each_other(mine: Bindings, theirs: Bindings) -> None:
    bind_id, did = await mine.bind(A, B)
    with pytest.raises(NoVirtualNumber):
        await theirs.bind(A, B)
    with pytest.raises(NoVirtualNumber):
        await theirs.bind_digits(x=X)
    with pytest.raises(BindingNotFound):
        await theirs.unbind(bind_id)
    assert await theirs.call(A, did) == ""
    assert (await theirs.explain(A, did))[2] == "unknownNumber"
    assert await theirs.ids() == []


async def test_many_binders_get_exactly_the_room_that_there_is(context: Context) -> None:
    mine = Bindings(context).bounded(bindings_per_number_max=3)
    await mine.add(X, Y)
    phones = [f"8525{n:07}" for n in range(120)]
    pairs = zip(phones[::2], phones[1::2], strict=True)
    results = await asyncio.gather(*(mine.bind(a, b) for a, b in pairs), return_exceptions=True)
    won = [result for result in results if not isinstance(result, BaseException)]
    assert sorted(did for _, did in won) == [X] * 3 + [Y] * 3
    assert {type(r) for r in results if isinstance(r, BaseException)} == {PoolExhausted}
    await asyncio.gather(*(mine.unbind(bind_id) for bind_id, _ in won))
    assert await mine.ids() == []
    again = await asyncio.gather(
        *(mine.bind(a, b) for a, b in zip(phones[:12:2], phones[1:12:2], strict=True))
    )
    assert sorted(did for _, did in again) == [X] * 3 + [Y] * 3


async def test_bindings_that_ran_out_leave_room_for_others(
    mine: Bindings, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sweeps; also those of groups are ended, and those beyond the first that are found."""
    monkeypatch.setattr(expired, "_EACH", 2)
    small = mine.bounded(bindings_per_number_max=3)
    for n in range(5):
        await small.bind(f"8525000000{n}", f"8526000000{n}", 5)
    await small.bind_group(await mine.group("85277777777"), expire=5)
    with pytest.raises(PoolExhausted):
        await small.bind(C, D)
    clock.now_ms += 10_000
    assert (await small.bind(C, D, dry_run=True))[0] == ""
    for n in range(6):
        await small.bind(f"8525000000{n}", f"8526000000{n}", 5)
    with pytest.raises(PoolExhausted):
        await small.bind(C, D)


async def stored_count(query: direct.Query) -> int:
    ((count,),) = await query("SELECT count(*) FROM binding")
    return int(count)


@pytest.mark.parametrize("dry_run", [False, True])
async def test_refused_bind_ends_only_a_few_bindings_that_ran_out(
    mine: Bindings,
    clock: FakeClock,
    query: direct.Query,
    monkeypatch: pytest.MonkeyPatch,
    dry_run: bool,
) -> None:
    monkeypatch.setattr(expired, "_EACH", 2)
    small = mine.bounded(bindings_per_number_max=7)
    await small.bind_digits("100", x=Y)
    for n in range(6):
        await small.bind_digits(f"20{n}", x=Y)
        await small.bind_digits(f"30{n}", expire=5)
    clock.now_ms += 10_000
    with pytest.raises(PoolExhausted, match="phoneX is full"):
        await small.bind_digits("999", x=Y, dry_run=dry_run)
    assert await stored_count(query) == 13 - 4


async def test_bind_that_no_end_can_help_ends_nothing(
    mine: Bindings, clock: FakeClock, query: direct.Query
) -> None:
    await mine.bind_digits("300", expire=5)
    clock.now_ms += 10_000
    await mine.set_state(Y, "draining")
    with pytest.raises(PoolExhausted, match="draining"):
        await mine.bind_digits("999", x=Y)
    await mine.set_state(Y, "disabled")
    with pytest.raises(NoVirtualNumber):
        await mine.bind_digits("999", x=Y)
    assert await stored_count(query) == 1


async def test_own_id_is_free_before_all_that_ran_out_are_ended(
    mine: Bindings, clock: FakeClock, query: direct.Query
) -> None:
    for n in range(5):
        await mine.bind_digits(f"30{n}", expire=5)
    await mine.bind_digits("400", expire=6, customer_bind_id="order 1")
    clock.now_ms += 10_000
    assert await mine.bind_digits("400", customer_bind_id="order 1")
    assert await stored_count(query) == 6


async def test_own_id_of_a_group_binding_that_ran_out_is_free(
    mine: Bindings, clock: FakeClock
) -> None:
    group_id = await mine.group(B)
    first = await mine.bind_group(group_id, A, 5, customer_bind_id="order 1")
    clock.now_ms += 10_000
    second = await mine.bind(C, D, customer_bind_id="order 1")
    assert second[0] != first[0]
    await mine.drop_group(group_id)
