"""Phones and virtual numbers: parse them, check the country code, mask.

Source: docs/api/createGroup.md, "Phone numbers".
"""

import re
from functools import cache
from typing import Final
from unicodedata import category

from openpns import limits
from openpns.errors import ParameterError

_DIGITS = re.compile(
    rf"[1-9][0-9]{{{limits.PHONE_DIGITS_MIN - 1},{limits.PHONE_DIGITS_MAX - 1}}}", re.ASCII
)

_DID: Final = re.compile(
    rf"\+?([1-9][0-9]{{{limits.PHONE_DIGITS_MIN - 1},{limits.PHONE_DIGITS_MAX - 1}}})", re.ASCII
)

# What spreadsheets, address books and people make of a phone.
_ODDITIES: Final = (
    (r"^[0-9]([.,][0-9]+)?[eE]\+?[0-9]+$", "it was shortened by a spreadsheet (…E+…)"),
    (r"^[0-9]+\.[0-9]*$", "it is a decimal number of a spreadsheet"),
    (r"^('|=)", "it begins with a mark of a spreadsheet"),
    (r"^00[0-9]+$", "it begins with 00; leave that out"),
    (r"^0[0-9]+$", "it begins with 0"),
    (r"[A-Za-z]", "it has letters"),
    (r"[0-9][\s.()/-]+[0-9]", "it has spaces or punctuation; leave them out"),
)
_INVISIBLE: Final = ("Cc", "Cf", "Zs", "Zl", "Zp")

_SHOWN_HEAD_DIGITS: Final = 7
_HIDDEN_DIGITS: Final = 4
_SHOWN_TAIL_DIGITS: Final = 2


def parse_phones(
    text: str, phones_max: int, *, check_country: bool = True, explain: bool = False
) -> list[str]:
    """Parse phones joined with commas; return them in digits, without repeats, in order.

    A leading "+" and white space around a phone are dropped.

    Args:
        phones_max: Phones that the text may hold, repeats included.
        check_country: Whether a phone must begin with an assigned country code. A client leaves
            this to the server, which has the table of codes.
        explain: Whether the error of an item also says what was found. The text of a response
            does not: it is part of the protocol.

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
            problem = _problem(phone)
            if explain and phone and not _DIGITS.fullmatch(phone):
                problem += f"; {find_oddity(phone)}"
            raise ParameterError(f"phones: item {position} {problem}")
        phones[phone] = None
    return list(phones)


def parse_phone(text: str, field: str) -> str:
    """Return one phone in digits; a leading "+" and white space around it are dropped.

    Raises:
        ParameterError: It is not a phone; the text names the field, never its digits.
    """
    phone = text.strip().removeprefix("+")
    if not _DIGITS.fullmatch(phone) or not has_country_code(phone):
        raise ParameterError(f"{field} {_problem(phone)}")
    return phone


def parse_did_digits(text: str, field: str) -> str:
    """Return a virtual number in digits, whose country code may be an unassigned one.

    Raises:
        ParameterError: It is not 5 to 15 digits; the text names the field.
    """
    match = _DID.fullmatch(text.strip())
    if match is None:
        raise ParameterError(
            f"{field} must be a virtual number: {limits.PHONE_DIGITS_MIN} to "
            f"{limits.PHONE_DIGITS_MAX} digits that begin with a country code, not with 0"
        )
    return match[1]


def find_oddity(text: str) -> str:
    """Return what makes a text not a phone, such as "it has letters", without any of its digits."""
    for pattern, what in _ODDITIES:
        if re.search(pattern, text, re.ASCII):
            return what
    for char in text:
        if not (char.isascii() and char.isprintable()):
            kind = "invisible character" if category(char) in _INVISIBLE else "character"
            return f"it has the {kind} U+{ord(char):04X}"
        if not char.isdigit():
            return f"it has the character {char}"
    return f"it has {len(text)} digit{'' if len(text) == 1 else 's'}"


def has_country_code(phone: str) -> bool:
    """Return whether a phone in digits begins with an assigned country calling code."""
    return bool(find_country_code(phone))


def find_country_code(phone: str) -> str:
    """Return the country calling code that a phone in digits begins with; empty if none does."""
    codes = _country_codes()
    if phone[:1] in codes:
        return phone[:1]
    if phone[:2] in codes:
        return phone[:2]
    return phone[:3] if phone[:3] in codes else ""


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
