"""The code that a request must get if its signed parts were changed on the way."""

from collections.abc import Iterator

from openpns import limits

HeaderBytes = dict[str, bytes]
"""Headers by name, as the bytes that are sent."""

# What hyper, and so openpns, does not accept in the value of a header.
_NO_VALUE = frozenset(range(0x20)) - {0x09} | {0x7F}


def flip(value: bytes, bit: int) -> bytes:
    """Return the value with one bit flipped; bit 0 is the lowest of the first byte."""
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def flips(value: bytes) -> Iterator[bytes]:
    """Yield every value that differs in one bit."""
    return (flip(value, bit) for bit in range(len(value) * 8))


def is_http_value(value: bytes) -> bool:
    """Return whether HTTP allows a header to have this value."""
    return _NO_VALUE.isdisjoint(value)


def expected_code(name: str, value: bytes, now_ms: int) -> int:
    """Return the code if one header, or the body, differs from what was signed.

    Source: docs/api/README.md, "The order of checks".

    Args:
        name: The header's name, or `body`.
        value: What it was changed to; not another access key.
    """
    if name == "body":
        return 1003
    sent = value.strip(b" \t")
    if not sent or not sent.isascii():  # a header that is not ASCII counts as missing
        return 1001
    if name == "accessKey":
        return 1005
    if name == "ts" and not _is_fresh(sent, now_ms):
        return 1004
    return 1003


def _is_fresh(ts: bytes, now_ms: int) -> bool:
    return ts.isdigit() and abs(int(ts) - now_ms) <= limits.TS_SKEW_MS_MAX
