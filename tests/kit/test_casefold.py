import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpns import limits
from openpns.kit.casefold import fold_name


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Sales", "sALES"),
        ("STRASSE", "Straße"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("Éclair", "e\u0301clair"),
        ("ＡＢＣ", "abc"),
        ("ﬁx", "FIX"),
    ],
)
def test_names_that_people_take_for_the_same_are_the_same(name: str, other: str) -> None:
    assert fold_name(name) == fold_name(other)


@pytest.mark.parametrize(("name", "other"), [("a", "b"), ("e", "é"), ("a b", "ab")])
def test_other_names_are_not(name: str, other: str) -> None:
    assert fold_name(name) != fold_name(other)


@given(st.text())
def test_a_key_is_its_own_key_and_no_longer_than_a_name(name: str) -> None:
    key = fold_name(name)
    assert len(key) <= limits.GROUP_NAME_CHARS_MAX
    assert fold_name(key)[: len(key)] == key or len(key) == limits.GROUP_NAME_CHARS_MAX


def test_an_index_takes_the_longest_key() -> None:
    assert len(fold_name("\ufdfa" * 128).encode()) <= 4 * limits.GROUP_NAME_CHARS_MAX
