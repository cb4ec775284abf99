"""The three headers of Standard Webhooks, from the headers of any framework."""

import re
from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from openpns.errors import ConfigError
from openpns.webhooks.errors import WebhookMalformed

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"

_NAMES: Final = (ID, TIMESTAMP, SIGNATURE)
# The signed text is id.timestamp.body: an id with a dot could be read in two ways.
_MESSAGE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_TIMESTAMP: Final = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_ENTRY: Final = re.compile(r"v1,([A-Za-z0-9+/]{43}=)|(?!v1,)[A-Za-z0-9]{1,16},[!-~]+", re.ASCII)
"""A signature of version 1, which is compared, or one of another version, which is not."""
_SIGNATURE_CHARS_MAX: Final = 4096


class HeaderItems(Protocol):
    """A mapping of headers, such as a dict, or the class of a framework."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Return pairs of a name and a value."""
        ...


Headers: TypeAlias = HeaderItems | Iterable[tuple[Any, Any]]
"""Headers as a mapping, or as pairs of a name and a value; texts or bytes, in any letter case."""


class SignedHeaders(msgspec.Struct, frozen=True):
    """The values of the headers.

    Attributes:
        timestamp_s: In s since 1970 UTC.
        signatures: Those of version 1, each as the header has it.
    """

    message_id: str
    timestamp_s: int
    signatures: tuple[str, ...]


def read_headers(headers: Headers) -> SignedHeaders:
    """Return the values of the three headers; others are ignored.

    Raises:
        WebhookMalformed: One is missing, repeated or malformed.
        ConfigError: `headers` has another type.
    """
    found = _find(headers)
    if missing := [name for name in _NAMES if name not in found]:
        raise WebhookMalformed(f"{', '.join(missing)}: missing; an event is sent with {_all()}")
    if not _MESSAGE_ID.fullmatch(found[ID]):
        raise WebhookMalformed(f"{ID}: allowed are 1 to 128 letters, digits, _ and -, once")
    if not _TIMESTAMP.fullmatch(found[TIMESTAMP]):
        raise WebhookMalformed(f"{TIMESTAMP}: allowed are seconds since 1970, in digits, once")
    return SignedHeaders(found[ID], int(found[TIMESTAMP]), _signatures(found[SIGNATURE]))


def _find(headers: Headers) -> dict[str, str]:
    found: dict[str, str] = {}
    for given, value in _pairs(headers):
        name = _text(given).lower()
        if name not in _NAMES:
            continue
        if name in found:
            raise WebhookMalformed(f"{name}: sent more than once; allowed is once")
        found[name] = _text(value)
    return found


def _pairs(headers: Headers) -> list[tuple[Any, Any]]:
    given: Any = headers
    if hasattr(given, "items"):
        given = given.items()
    try:
        return [(name, value) for name, value in given]
    except (TypeError, ValueError):
        pass
    raise ConfigError(
        "headers: allowed is a mapping of names to values, or pairs of a name and a value"
    )


def _text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, bytes):
        return part.decode("latin-1")  # as HTTP servers read them; the forms above are ASCII
    raise ConfigError(f"headers: allowed are names and values of str or bytes, not {_type(part)}")


def _signatures(value: str) -> tuple[str, ...]:
    entries = value.split(" ")
    matches = [_ENTRY.fullmatch(entry) for entry in entries]
    signatures = tuple(match[0] for match in matches if match is not None and match[1])
    if len(value) > _SIGNATURE_CHARS_MAX or None in matches or not signatures:
        raise WebhookMalformed(
            f"{SIGNATURE}: allowed are signatures such as v1, and 44 characters of base64, with a "
            f"space between two, {_SIGNATURE_CHARS_MAX} characters in all, once"
        )
    return signatures


def _all() -> str:
    return f"{', '.join(_NAMES[:-1])} and {_NAMES[-1]}"


def _type(value: Any) -> str:
    return type(value).__name__
