"""Phones: parse a list, check the country code, mask.

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
    """Parse phones joined with commas; return them in digits, without repeats, in order.

    A leading "+" and white space around a phone are dropped.

    Args:
        phones_max: Phones that the text may hold, repeats included.
        check_country: Whether a phone must begin with an assigned country code. A client leaves
            this to the server, which has the table of codes.

    Raises:
        ParameterError: An item is not a phone, or there are too many. The text names the position
            of the item, counted from 1, never its digits.
    """
    if text.count(",") >= phones_max:
        raise ParameterError(f"phones must hold at most {phones_max} numbers")
    items = text.split(",")
    if items == [""]:
        raise ParameterError("phones must hold at least one number")
    phones: dict[str, None] = {}
    for position, item in enumerate(items, start=1):
        phone = item.strip().removeprefix("+")
        if not _DIGITS.fullmatch(phone) or (check_country and not has_country_code(phone)):
            raise ParameterError(f"phones: item {position} {_problem(phone)}")
        phones[phone] = None
    return list(phones)


def has_country_code(phone: str) -> bool:
    """Return whether a phone in digits begins with an assigned country calling code."""
    codes = _country_codes()
    return phone[:1] in codes or phone[:2] in codes or phone[:3] in codes


def mask_phone(phone: str) -> str:
    """Return a phone as an audit entry may show it: 8613800****00."""
    head = min(_SHOWN_HEAD_DIGITS, max(0, len(phone) - _HIDDEN_DIGITS - _SHOWN_TAIL_DIGITS))
    stars = max(0, len(phone) - head - _SHOWN_TAIL_DIGITS)
    return phone[:head] + "*" * stars + phone[-_SHOWN_TAIL_DIGITS:]


def _problem(phone: str) -> str:
    if not phone:
        return "is empty; between two commas stands a phone number"
    if not _DIGITS.fullmatch(phone):
        return (
            f"must be {limits.PHONE_DIGITS_MIN} to {limits.PHONE_DIGITS_MAX} digits that begin "
            "with a country code, not with 0"
        )
    return "must begin with an assigned country code"


@cache
def _country_codes() -> frozenset[str]:
    # Imported lazily: a dependency of the server, not of the client.
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE  # noqa: PLC0415

    return frozenset(str(code) for code in COUNTRY_CODE_TO_REGION_CODE)
