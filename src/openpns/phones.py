"""Phone number text: reading a list of numbers.

Source: docs/api/createGroup.md, "Phone numbers".
"""

import re
from functools import cache
from typing import Final

from openpns import limits
from openpns.errors import ParameterError

_DIGITS = re.compile(
    rf"[1-9][0-9]{{{limits.PHONE_DIGITS_MIN - 1},{limits.PHONE_DIGITS_MAX - 1}}}", re.ASCII
)

_SHOWN_HEAD_DIGITS: Final = 7
_HIDDEN_DIGITS: Final = 4
_SHOWN_TAIL_DIGITS: Final = 2


def parse_phones(text: str, phones_max: int, *, check_country: bool = True) -> list[str]:
    """Read numbers joined with commas; return them as stored, without repeats, in order.

    Args:
        text: The numbers, each with its country code; a leading "+" and white space around a
            number are dropped.
        phones_max: How many numbers the text may hold, repeats included.
        check_country: Whether a number must begin with an assigned country code; False for a
            client, which leaves it to the server: the table of codes comes with the server.

    Raises:
        ParameterError: An item is empty or no phone number, or there are too many. The text
            names the item by its position, counted from 1, never by its digits.
    """
    if text.count(",") >= phones_max:
        raise ParameterError(f"phones must hold at most {phones_max} numbers")
    items = text.split(",")
    if items == [""]:
        raise ParameterError("phones must hold at least one number")
    numbers: dict[str, None] = {}
    for position, item in enumerate(items, start=1):
        number = item.strip().removeprefix("+")
        if not _DIGITS.fullmatch(number) or (check_country and not has_country_code(number)):
            raise ParameterError(f"phones: item {position} {_what_is_wrong(number)}")
        numbers[number] = None
    return list(numbers)


def has_country_code(number: str) -> bool:
    """Tell whether a number in digits begins with an assigned country calling code."""
    codes = _country_codes()
    return number[:1] in codes or number[:2] in codes or number[:3] in codes


def mask_phone(phone: str) -> str:
    """Return a phone as an audit entry may show it: 8613800****00."""
    head = min(_SHOWN_HEAD_DIGITS, max(0, len(phone) - _HIDDEN_DIGITS - _SHOWN_TAIL_DIGITS))
    stars = max(0, len(phone) - head - _SHOWN_TAIL_DIGITS)
    return phone[:head] + "*" * stars + phone[-_SHOWN_TAIL_DIGITS:]


def _what_is_wrong(number: str) -> str:
    if not number:
        return "is empty; between two commas stands a phone number"
    if not _DIGITS.fullmatch(number):
        return (
            f"must be {limits.PHONE_DIGITS_MIN} to {limits.PHONE_DIGITS_MAX} digits that begin "
            "with a country code, not with 0"
        )
    return "must begin with an assigned country code"


@cache
def _country_codes() -> frozenset[str]:
    # Imported when first needed: it is the server's dependency, not the client's.
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE  # noqa: PLC0415

    return frozenset(str(code) for code in COUNTRY_CODE_TO_REGION_CODE)
