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
def test_fold_name_equates_case_width_and_composition(name: str, other: str) -> None:
    assert fold_name(name) == fold_name(other)


@pytest.mark.parametrize(("name", "other"), [("a", "b"), ("e", "é"), ("a b", "ab")])
def test_fold_name_distinguishes_other_names(name: str, other: str) -> None:
    assert fold_name(name) != fold_name(other)


@given(st.text())
def test_fold_name_is_idempotent_and_bounded(name: str) -> None:
    folded = fold_name(name)
    assert len(folded) <= limits.GROUP_NAME_CHARS_MAX
    assert fold_name(folded)[: len(folded)] == folded or len(folded) == limits.GROUP_NAME_CHARS_MAX


def test_fold_name_fits_in_index() -> None:
    assert len(fold_name("\ufdfa" * 128).encode()) <= 4 * limits.GROUP_NAME_CHARS_MAX
