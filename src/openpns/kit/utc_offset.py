"""Offsets from UTC as text, such as `+08:00`."""

import re
from datetime import timedelta, timezone
from typing import Final

_OFFSET: Final = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


def parse_utc_offset(text: str) -> timezone:
    """Return the time zone of an offset from `-23:59` to `+23:59`.

    Raises:
        ValueError: It is another text.
    """
    match = _OFFSET.fullmatch(text)
    if match is None:
        raise ValueError("allowed is an offset from UTC such as +08:00")
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)
