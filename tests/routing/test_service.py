"""queryAXB: who is called."""

import pytest
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.conftest import FakeClock

from openpns.errors import BindingNotFound, DidWithoutCountry, ParameterError, ParameterUnfit
from openpns.routing.service import query_axb
from openpns.routing.wire import CallAnswer, DigitsAnswer

pytestmark = pytest.mark.usefixtures("sound_tables")


async def test_answer_has_the_fields_of_the_api(mine: Bindings) -> None:
    await mine.bind(A, B, flag=1)
    await mine.bind_digits("123", C)
    answer = await query_axb(mine.context, caller=A, did=X)
    assert isinstance(answer, CallAnswer)
    assert (answer.callee, answer.flag, answer.bind_type) == (B, 1, 1)
    assert answer.call_id.isdigit()
    asked = await query_axb(mine.context, caller=D, did=X)
    assert isinstance(asked, CallAnswer)
    assert (asked.callee, asked.flag, asked.bind_type) == ("", 0, 4)
    digits = await query_axb(mine.context, caller=D, did=X, extension="123")
    assert isinstance(digits, DigitsAnswer)
    assert (digits.callee, digits.extension, digits.flag) == (C, "123", 0)
    assert len({answer.call_id, asked.call_id, digits.call_id}) == 3


@pytest.mark.parametrize("caller", [A, f"+{A}", "11111111", "011111111", " 85211111111 "])
async def test_country_code_of_the_caller_may_be_missing(mine: Bindings, caller: str) -> None:
    await mine.bind(A, B)
    assert await mine.call(caller) == B


async def test_caller_who_matches_two_seats_is_connected_to_nobody(mine: Bindings) -> None:
    """12345678 with the country code 852, and 85212345678 as a whole, are two phones."""
    await mine.add("8521234567890")
    short, long = "8521234", "8528521234"
    await mine.bind(short, C)
    await mine.bind(long, D)
    dids = [b.did for b in await mine.live()]
    while dids[0] != dids[1]:
        await mine.bind(long, D)
        dids[1] = (await mine.live())[-1].did
    assert await mine.call(short, dids[0]) == ""
    assert (await mine.explain(short, dids[0]))[2] == "ambiguous"


@pytest.mark.parametrize("state", ["active", "draining", "disabled"])
async def test_disabled_number_connects_nobody(mine: Bindings, state: str) -> None:
    await mine.bind(A, B)
    digits = await mine.bind_digits("123", C)
    await mine.set_state(X, state)
    connected = state != "disabled"
    assert await mine.call(A) == (B if connected else "")
    assert await mine.call(D, X, "123") == (C if connected else "")
    await mine.unbind(digits)


async def test_seat_comes_before_digits(mine: Bindings) -> None:
    await mine.bind_digits("123", C)
    group_id = await mine.group(B, D)
    await mine.bind_group(group_id, A, phone_x=X)
    assert [await mine.call(phone) for phone in (A, B, D, C)] == ["", A, A, "digits"]


async def test_a_reaches_phone_b_with_digits(mine: Bindings) -> None:
    await mine.bind_digits("123", A, phone_b=B)
    await mine.bind_digits("124", C)
    assert [await mine.call(p, X, "123") for p in (A, "11111111", D)] == [B, B, A]
    assert [await mine.call(p, X, "124") for p in (C, D)] == ["", C]
    assert await mine.call(D, X, "125") == ""
    assert await mine.call(D, Y, "123") == ""


async def test_expiry_is_judged_at_each_question(mine: Bindings, clock: FakeClock) -> None:
    clock.now_ms = 1_670_479_632_000
    await mine.bind(A, B, 10)
    await mine.bind_digits("123", C, expire=10)
    await mine.bind_group(await mine.group(D), "85255555555", 10, phone_x=X)
    clock.now_ms += 9_999
    assert [await mine.call(A), await mine.call(B, X, "123"), await mine.call(D)] == [
        B,
        C,
        "85255555555",
    ]
    clock.now_ms += 1
    assert [await mine.call(A), await mine.call(B, X, "123"), await mine.call(D)] == ["", "", ""]
    await mine.sweep()
    assert [await mine.call(A), await mine.call(B, X, "123"), await mine.call(D)] == ["", "", ""]


async def test_empty_digits_are_none(mine: Bindings) -> None:
    await mine.bind_digits("123", C)
    assert await mine.call(D, X, "") == "digits"
    assert await mine.explain(D, X, extension="") == ("", "", "digits")


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (ParameterError, {"caller": ""}),
        (ParameterError, {"caller": "anonymous"}),
        (ParameterError, {"caller": "1" * 16}),
        (ParameterError, {"did": "X"}),
        (DidWithoutCountry, {"did": "21099999999"}),
        (ParameterError, {"extension": "12"}),
        (ParameterError, {"extension": " ", "did": "21099999999"}),
        (BindingNotFound, {"did": "85290000009"}),
    ],
)
async def test_question_refuses_bad_input(
    mine: Bindings, error: type[Exception], fields: dict[str, str]
) -> None:
    with pytest.raises(error):
        await query_axb(mine.context, **({"caller": A, "did": X} | fields))


async def test_outcomes_are_counted(mine: Bindings) -> None:
    counted: list[str] = []
    asked = mine.bounded(wrong_digits_max=1, count=lambda event, _: counted.append(event))
    await asked.bind_group(await asked.group(C), A, phone_x=X)
    await asked.bind_group(await asked.group("85212345"), A, phone_x=Y)
    await asked.bind_group(await asked.group("85285212345"), B, phone_x=Y)
    for caller, number in ((C, X), (A, X), (D, X), (D, "85290000009"), ("85212345", Y)):
        await asked.call(caller, number)
    await asked.bind_digits("123", D)
    for caller, extension in ((B, None), (B, "123"), (D, "123"), (B, "999"), (B, "123")):
        await asked.call(caller, X, extension)
    assert counted == [
        *("axg", "noPhoneB", "notBound", "noCalls", "ambiguous"),
        *("digits", "extension", "noPhoneB", "wrongDigits", "paused"),
    ]


async def test_nobody_is_connected_to_an_own_number(mine: Bindings) -> None:
    """What a binding names may become a virtual number of the customer later."""
    counted: list[str] = []
    asked = mine.bounded(count=lambda event, _: counted.append(event))
    await asked.bind_group(await asked.group(B, C), A, phone_x=X, phone_b=B)
    await asked.bind(C, D)
    await asked.bind_digits("123", A, Y)
    did = (await asked.live())[1].did
    assert [await asked.call(A), await asked.call(C), await asked.call(C, did)] == [B, A, D]
    await asked.add(B, D)
    assert [await asked.call(A), await asked.call(C), await asked.call(C, did)] == ["", A, ""]
    assert await asked.call(D, did) == C
    assert [(await asked.explain(caller, X))[2] for caller in (A, C)] == ["ownNumber", "axg"]
    await asked.add(A)
    assert [await asked.call(C), await asked.call(C, Y, "123")] == ["", ""]
    assert (await asked.explain(C, Y, extension="123"))[2] == "ownNumber"
    assert counted.count("ownNumber") == 4
    await asked.set_state(A, "disabled")
    assert [await asked.call(C), await asked.call(C, Y, "123")] == ["", ""]


async def test_number_of_another_customer_is_a_phone_as_any_other(
    mine: Bindings, theirs: Bindings
) -> None:
    await mine.bind(A, B)
    await theirs.add(B)
    assert await mine.call(A) == B


async def test_own_number_in_a_bound_group_may_call(mine: Bindings) -> None:
    await mine.bind_group(await mine.group(Y, B), A, phone_x=X)
    assert [await mine.call(Y), await mine.call(B)] == [A, A]
    with pytest.raises(ParameterUnfit):
        await mine.bind_group(await mine.group(Y, D), C, phone_b=Y)
