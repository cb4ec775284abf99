import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openpns.errors import ParameterError
from openpns.phones import has_country_code, parse_phones

GOOD = "85211111114"

phones = st.from_regex(r"(1|44|49|852|86)[0-9]{4,12}", fullmatch=True)
white_space = st.text(st.sampled_from(" \t\r\n\u00a0\u3000"), max_size=3)


@st.composite
def items(draw: st.DrawFn) -> tuple[str, str]:
    """Return a number as stored, and one of the ways to write it."""
    phone = draw(phones)
    plus = draw(st.sampled_from(["", "+"]))
    return phone, f"{draw(white_space)}{plus}{phone}{draw(white_space)}"


@settings(deadline=None)
@given(st.lists(items(), min_size=1, max_size=30))
def test_numbers_are_stored_bare_once_each_in_the_order_they_came(
    written: list[tuple[str, str]],
) -> None:
    text = ",".join(item for _, item in written)
    assert parse_phones(text, 30) == list(dict.fromkeys(phone for phone, _ in written))


@settings(deadline=None)
@given(st.lists(phones, min_size=1, max_size=30, unique=True))
def test_what_was_stored_reads_as_itself(stored: list[str]) -> None:
    assert parse_phones(",".join(stored), 30) == stored


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789+, x\n٣"), max_size=60))
def test_any_text_is_read_or_refused_without_a_word_of_it(text: str) -> None:
    refusal, stored = "", []
    try:
        stored = parse_phones(text, 10)
    except ParameterError as error:
        refusal = error.msg
    assert all(re.fullmatch(r"[1-9][0-9]{4,14}", number) for number in stored)
    assert not re.search(r"\d{3}", refusal.removeprefix("Parameter error"))


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (" ", 1),
        (f"{GOOD},", 2),
        (f",{GOOD}", 1),
        (f"{GOOD},,{GOOD}", 2),
        (f"{GOOD},{GOOD}, \t,{GOOD}", 3),
        ("+", 1),
    ],
)
def test_an_empty_item_is_named_by_its_position(text: str, position: int) -> None:
    with pytest.raises(ParameterError, match=f"^Parameter error: phones: item {position} is empty"):
        parse_phones(text, 10)


@pytest.mark.parametrize(
    "item",
    [
        "8521",  # too short
        "8521111111122222",  # too long
        "085211111114",
        "+085211111114",
        "++85211111114",
        "+ 85211111114",
        "852 11111114",
        "852-11111114",
        "852.11111114",
        "８５２１１１１１１１４",  # digits, but not the telephone's
        "8521111x114",
        "-85211111114",
        "85211111114;85235753351",
        "8521111\x001114",
    ],
)
def test_an_item_that_is_no_number_is_refused_by_position_alone(item: str) -> None:
    with pytest.raises(ParameterError, match=r"phones: item 2 must be 5 to 15 digits") as caught:
        parse_phones(f"{GOOD},{item}", 10)
    assert item not in caught.value.msg
    assert GOOD not in caught.value.msg


@pytest.mark.parametrize("item", ["21000000000", "99900000000", "80100000000"])
def test_a_number_without_an_assigned_country_code_is_refused(item: str) -> None:
    with pytest.raises(ParameterError, match="item 1 must begin with an assigned") as caught:
        parse_phones(item, 10)
    assert item not in caught.value.msg


@pytest.mark.parametrize("number", ["12025550100", "79000000000", "447000000000", GOOD, "88200001"])
def test_country_codes_of_one_to_three_digits_are_known(number: str) -> None:
    assert has_country_code(number)
    assert parse_phones(number, 1) == [number]


@pytest.mark.parametrize("number", ["12345", "123456789012345"])
def test_the_shortest_and_the_longest_number_are_taken(number: str) -> None:
    assert parse_phones(number, 1) == [number]


def test_no_numbers_at_all_is_refused() -> None:
    with pytest.raises(ParameterError, match="phones must hold at least one number"):
        parse_phones("", 10)


def test_the_bound_counts_repeats_and_its_own_value_is_allowed() -> None:
    assert parse_phones(",".join([GOOD] * 3), 3) == [GOOD]
    with pytest.raises(ParameterError, match="phones must hold at most 3 numbers"):
        parse_phones(",".join([GOOD] * 4), 3)
