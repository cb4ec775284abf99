from datetime import timedelta

import pytest

from openpns.kit.utc_offset import parse_utc_offset


@pytest.mark.parametrize(
    ("text", "minutes"), [("+08:00", 480), ("-03:30", -210), ("+00:00", 0), ("-23:59", -1439)]
)
def test_parse_utc_offset_returns_the_zone(text: str, minutes: int) -> None:
    assert parse_utc_offset(text).utcoffset(None) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "8", "+8:00", "08:00", "+24:00", "+08:60", "UTC", "+08:00 "])
def test_parse_utc_offset_refuses_other_texts(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed is an offset from UTC such as \+08:00"):
        parse_utc_offset(text)
