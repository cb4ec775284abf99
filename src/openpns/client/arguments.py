"""Check the arguments of the methods, before they could be sent as something else.

JSON has fewer types than Python: a UUID would become another text than the id, the keys of a dict
a list of phones. The server checks everything else.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from openpns.errors import ParameterError


def text(field: str, value: Any) -> str:
    """Return an argument that must be a text.

    Raises:
        ParameterError: It is something else; the error names the field of the request.
    """
    if not isinstance(value, str):
        raise ParameterError(f"{field} must be a text, not {_kind(value)}")
    return value


def optional_text(field: str, value: Any) -> str | None:
    """Return an argument that must be a text or None; see `text`."""
    return None if value is None else text(field, value)


def flag(field: str, value: Any) -> bool:
    """Return an argument that must be True or False: the text "false" would count as true."""
    if not isinstance(value, bool):
        raise ParameterError(f"{field} must be True or False, not {_kind(value)}")
    return value


def aware(field: str, value: Any) -> datetime:
    """Return an argument that must be a datetime with a time zone.

    Raises:
        ParameterError: It is something else, such as seconds: another unit would be another time.
        ValueError: It has no time zone.
    """
    if not isinstance(value, datetime):
        raise ParameterError(f"{field} must be a datetime, not {_kind(value)}")
    if value.tzinfo is None:
        raise ValueError(f"{field} must have a time zone, such as datetime.now(UTC)")
    return value


def joined_phones(phones: Any) -> str:
    """Return phones, one text or an iterable of texts, joined with commas.

    Raises:
        ParameterError: They are something else, or an item is. The text names the position of the
            item, counted from 1, never its digits.
    """
    if isinstance(phones, str):
        return phones
    if not isinstance(phones, Iterable) or isinstance(phones, bytes | bytearray | Mapping):
        raise ParameterError(f"phones must be a text, or an iterable of texts, not {_kind(phones)}")
    return ",".join(_item(position, item) for position, item in enumerate(phones, start=1))


def _item(position: int, item: Any) -> str:
    if not isinstance(item, str):
        raise ParameterError(f"phones: item {position} must be a text, not {_kind(item)}")
    return item


def _kind(value: Any) -> str:
    return type(value).__name__
