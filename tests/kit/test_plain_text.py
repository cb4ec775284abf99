import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpns.kit.plain_text import brief, plain, plain_json, without_controls

CONTROLS = [*map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0))]
MARKS = [*"\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"]

INVISIBLE = [*"\u180e\u200b\u2060\u2064\u206a\ufeff\ufff9"]
MARKS += INVISIBLE


@pytest.mark.parametrize("char", [*CONTROLS, *MARKS, "\ud800"], ids=ascii)
def test_plain_replaces_control_characters_and_what_is_invisible(char: str) -> None:
    assert plain(f"a{char}b") == "a\ufffdb"
    assert without_controls(f"a{char}b") == (f"a{char}b" if char in MARKS else "a\ufffdb")


def test_plain_keeps_other_text() -> None:
    for text in ("销售\u200d一部 ok", "שלום", "a\u00a0b\u00ad", "🏴\U000e0067"):
        assert plain(text) == without_controls(text) == text


@given(st.text(st.characters() | st.sampled_from([*CONTROLS, *MARKS, "\ud800"])))
def test_plain_json_keeps_the_value_and_leaves_nothing_to_replace(text: str) -> None:
    shown = plain_json(json.dumps([text], ensure_ascii=False))
    assert json.loads(shown) == [text]
    assert plain(shown) == shown


def test_brief_cuts_a_long_text() -> None:
    assert brief("abc\x1b", 4) == "abc\ufffd"
    assert brief("abcde", 4) == "abcd…"
