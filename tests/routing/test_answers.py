"""The audios in the answers of queryAXB, and the data of its failures."""

from typing import Any

import pytest
from tests.bindings.actions import A, B, Bindings, C, D, X, Y

from openpns.bindings import operations
from openpns.errors import BindingNotFound
from openpns.numbers import audios
from openpns.numbers.audios import Audios
from openpns.routing.service import query_axb
from openpns.routing.wire import CallAnswer, DigitsAnswer

FAIL, ERR, NEED = (f"https://a.example/{name}.wav" for name in ("fail", "err", "need"))


async def ask(mine: Bindings, caller: str, did: str = X, extension: str | None = None) -> Any:
    """Return the audios of an answer; those of a failure come after a None."""
    try:
        answer = await query_axb(mine.context, caller=caller, did=did, extension=extension)
    except BindingNotFound as error:
        answer = error.data
    else:
        return urls(answer)
    if answer is None:
        return None
    assert (answer.callee, answer.flag) == ("", 0)
    assert answer.call_id.isdigit()
    return None, *urls(answer)


def urls(answer: CallAnswer | DigitsAnswer) -> tuple[str, ...]:
    if isinstance(answer, DigitsAnswer):
        return (answer.audio_when_call_fail,)
    return answer.audio_when_call_fail, answer.audio_when_dtmf_err, answer.audio_when_dtmf_need


async def set_number(mine: Bindings, *given: str | None, did: str = X) -> None:
    await audios.set_for_number(mine.context.store, did, Audios(*given))


async def set_customer(bindings: Bindings, *given: str | None) -> None:
    context = bindings.context
    await audios.set_for_customer(context.store, context.customer_id, Audios(*given))


async def test_audios_of_the_number_come_before_those_of_the_customer(mine: Bindings) -> None:
    await mine.bind(A, B)
    await mine.bind_digits("123", C)
    assert await ask(mine, A) == ("", "", "")
    await set_customer(mine, FAIL, ERR, None)
    assert await ask(mine, A) == (FAIL, ERR, "")
    await set_number(mine, "", None, NEED)
    assert await ask(mine, A) == ("", ERR, NEED)
    assert await ask(mine, D) == ("", ERR, NEED)  # who is asked for digits
    assert await ask(mine, D, X, "123") == ("",)
    await set_number(mine, f"{FAIL}?own")
    assert await ask(mine, A) == (f"{FAIL}?own", ERR, "")
    assert await ask(mine, D, X, "123") == (f"{FAIL}?own",)
    await set_customer(mine)
    assert await ask(mine, A) == (f"{FAIL}?own", "", "")


async def test_audios_of_another_customer_are_not_answered(
    mine: Bindings, theirs: Bindings
) -> None:
    await mine.bind(A, B)
    await theirs.add("85290000009")
    await set_customer(theirs, FAIL, ERR, NEED)
    await set_number(theirs, FAIL, ERR, NEED, did="85290000009")
    assert await ask(mine, A) == ("", "", "")
    assert await ask(mine, A, "85290000009") is None


async def test_failure_has_data_only_with_an_audio_for_it(mine: Bindings) -> None:
    await mine.bind_digits("123", C)
    await mine.bind(A, B)
    await mine.unbind((await mine.ids())[1])
    await set_customer(mine, None, ERR, NEED)
    assert [await ask(mine, A, Y), await ask(mine, A, X, "999")] == [None, None]
    await set_customer(mine, FAIL, ERR, NEED)
    assert await ask(mine, A, Y) == (None, FAIL, ERR, NEED)
    assert await ask(mine, A, X, "999") == (None, FAIL)
    assert await ask(mine, C, X, "123") == (None, FAIL)  # there is no phoneB


async def test_data_of_a_failure_have_the_fields_of_the_form(mine: Bindings) -> None:
    await set_customer(mine, FAIL)
    with pytest.raises(BindingNotFound) as raised:
        await query_axb(mine.context, caller=A, did=X)
    assert isinstance(raised.value.data, CallAnswer)
    assert raised.value.data.bind_type == 0
    with pytest.raises(BindingNotFound) as raised:
        await query_axb(mine.context, caller=A, did=X, extension="123")
    assert isinstance(raised.value.data, DigitsAnswer)
    assert raised.value.data.extension == "123"


@pytest.mark.parametrize("extension", [None, "123"])
async def test_number_that_connects_no_calls_has_its_audio(
    mine: Bindings, extension: str | None
) -> None:
    await mine.bind(A, B)
    await mine.bind_digits("123", C)
    await set_number(mine, FAIL)
    await mine.set_state(X, "disabled")
    expected = (None, FAIL) if extension else (None, FAIL, "", "")
    assert await ask(mine, A, X, extension) == expected
    await mine.set_state(X, "active")
    assert await ask(mine, A, X, extension) == expected[1:]
    await operations.hold(mine.context.store, mine.context.clock)
    assert await ask(mine, A, X, extension) == expected


@pytest.mark.parametrize("extension", [None, "123"])
async def test_number_that_is_not_the_customers_has_no_data(
    mine: Bindings, extension: str | None
) -> None:
    await set_customer(mine, FAIL)
    await set_number(mine, FAIL)
    assert await ask(mine, A, "85290000009", extension) is None
    await operations.remove_number(mine.context.store, mine.context.clock, X, is_forced=False)
    assert await ask(mine, A, X, extension) is None


async def test_paused_digits_have_data(mine: Bindings) -> None:
    strict = mine.bounded(wrong_digits_max=1)
    await strict.bind_digits("123", A)
    await set_number(strict, FAIL)
    assert await ask(strict, B, X, "999") == (None, FAIL)
    assert await ask(strict, B, X, "123") == (None, FAIL)
    assert (await strict.explain(B, X, extension="123"))[2] == "paused"
