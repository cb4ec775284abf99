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
    """Return a phone as stored, and one of the ways to write it."""
    phone = draw(phones)
    plus = draw(st.sampled_from(["", "+"]))
    return phone, f"{draw(white_space)}{plus}{phone}{draw(white_space)}"


@settings(deadline=None)
@given(st.lists(items(), min_size=1, max_size=30))
def test_parse_phones_returns_digits_without_repeats_in_order(
    written: list[tuple[str, str]],
) -> None:
    text = ",".join(item for _, item in written)
    assert parse_phones(text, 30) == list(dict.fromkeys(phone for phone, _ in written))


@settings(deadline=None)
@given(st.lists(phones, min_size=1, max_size=30, unique=True))
def test_parse_phones_reads_its_own_result(stored: list[str]) -> None:
    assert parse_phones(",".join(stored), 30) == stored


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789+, x\n٣"), max_size=60))
def test_parse_phones_error_hides_text(text: str) -> None:
    refusal, stored = "", []
    try:
        stored = parse_phones(text, 10)
    except ParameterError as error:
        refusal = error.msg
    assert all(re.fullmatch(r"[1-9][0-9]{4,14}", phone) for phone in stored)
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
def test_parse_phones_names_position_of_empty_item(text: str, position: int) -> None:
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
        "８５２１１１１１１１４",  # digits, but not ASCII
        "8521111x114",
        "-85211111114",
        "85211111114;85235753351",
        "8521111\x001114",
    ],
)
def test_parse_phones_names_position_of_invalid_item(item: str) -> None:
    with pytest.raises(ParameterError, match=r"phones: item 2 must be 5 to 15 digits") as caught:
        parse_phones(f"{GOOD},{item}", 10)
    assert item not in caught.value.msg
    assert GOOD not in caught.value.msg


@pytest.mark.parametrize("item", ["21000000000", "99900000000", "80100000000"])
def test_parse_phones_refuses_unassigned_country_code(item: str) -> None:
    with pytest.raises(ParameterError, match="item 1 must begin with an assigned") as caught:
        parse_phones(item, 10)
    assert item not in caught.value.msg


@pytest.mark.parametrize("phone", ["12025550100", "79000000000", "447000000000", GOOD, "88200001"])
def test_has_country_code_knows_codes_of_one_to_three_digits(phone: str) -> None:
    assert has_country_code(phone)
    assert parse_phones(phone, 1) == [phone]


@pytest.mark.parametrize("phone", ["12345", "123456789012345"])
def test_parse_phones_allows_shortest_and_longest_phone(phone: str) -> None:
    assert parse_phones(phone, 1) == [phone]


def test_parse_phones_refuses_empty_text() -> None:
    with pytest.raises(ParameterError, match="phones must hold at least one number"):
        parse_phones("", 10)


def test_parse_phones_counts_repeats_in_bound() -> None:
    assert parse_phones(",".join([GOOD] * 3), 3) == [GOOD]
    with pytest.raises(ParameterError, match="phones must hold at most 3 numbers"):
        parse_phones(",".join([GOOD] * 4), 3)


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ("8.52E+10", "it was shortened by a spreadsheet (…E+…)"),
        ("8.52111E10", "it was shortened by a spreadsheet (…E+…)"),
        ("85211111114.0", "it is a decimal number of a spreadsheet"),
        ("'85211111114", "it begins with a mark of a spreadsheet"),
        ('="85211111114"', "it begins with a mark of a spreadsheet"),
        ("0085211111114", "it begins with 00; leave that out"),
        ("013800138000", "it begins with 0"),
        ("852-1111 1114", "it has spaces or punctuation; leave them out"),
        ("8521111111x", "it has letters"),
        ("\u202a85211111114", "it has the invisible character U+202A"),
        ("852\u200b11111114", "it has the invisible character U+200B"),
        ("８52111111114", "it has the character U+FF18"),
        ("85211111114;85211111115", "it has the character ;"),
        ("++85211111114", "it has the character +"),
        ("1234", "it has 4 digits"),
        ("1234567890123456", "it has 16 digits"),
    ],
)
def test_parse_phones_explains_what_was_found(item: str, found: str) -> None:
    with pytest.raises(ParameterError, match="phones: item 2 must be 5 to 15 digits") as caught:
        parse_phones(f"85211111114,{item}", 2, explain=True)
    assert str(caught.value).endswith(f"; {found}")
    assert not re.search("[0-9]{4}", str(caught.value).replace("U+", "").replace(found, ""))


def test_parse_phones_explains_no_country_code() -> None:
    with pytest.raises(ParameterError, match=r"must begin with an assigned country code$"):
        parse_phones("99912345678", 1, explain=True)
