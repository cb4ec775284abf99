"""Mistakes about the body: it was encoded once to be signed and again to be sent."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import wraps
from itertools import islice, permutations
from typing import Any, Final
from urllib.parse import urlencode

from msgspec.structs import replace

from openpns.diagnosis.signature import json_text
from openpns.diagnosis.signature.attempt import BODY, Attempt, Variants

_KEYS_PERMUTED_MAX: Final = 5
_BOM: Final = "\ufeff".encode()
_SIGNED_WITH: Final = "signed with "
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_ASCII_MAX: Final = 0x7F
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_HTML: Final = "<>&"
_HTML_OF_GSON: Final = "<>&='"

_Bodies = Callable[[bytes], Iterator[tuple[str, bytes]]]


def _of_body(bodies: _Bodies) -> Callable[[Attempt], Variants]:
    """Turn a function that returns other bodies into a mistake that needs a body."""

    @wraps(bodies)
    def variants(attempt: Attempt) -> Variants:
        body = attempt.find(BODY)
        for detail, other in bodies(body) if body else ():
            yield detail, attempt.with_value(BODY, other)

    return variants


def _of_json(bodies: _Bodies) -> Callable[[Attempt], Variants]:
    """The same, for the JSON without the white space around it, which stays."""

    def with_edges(body: bytes) -> Iterator[tuple[str, bytes]]:
        inner = body.strip()
        start, _, end = body.partition(inner) if inner else (body, b"", b"")
        for detail, other in bodies(inner):
            yield detail, start + other + end

    return wraps(bodies)(_of_body(with_edges))


@_of_json
def white_space(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Write the body with other white space."""
    node = json_text.parse(body)
    if node is not None:
        for detail, style in json_text.STYLES.items():
            yield f"signed with {detail}", json_text.write(node, style)
    yield "signed without any white space, inside texts too", re.sub(rb"\s", b"", body)


@_of_json
def key_order(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Write the body with its keys in another order."""
    node = json_text.parse(body)
    if node is None:
        return
    for style in json_text.styles_of(body, node):
        for detail, order in _ORDERS.items():
            yield detail, json_text.write(json_text.with_keys(node, order), style)
        if isinstance(node, json_text.Object) and len(node.members) <= _KEYS_PERMUTED_MAX:
            for members in permutations(node.members):
                names = ", ".join(key.strip('"') for key, _ in members)
                yield f"signed as {names}", json_text.write(json_text.Object(members), style)


def _sorted(keys: list[str]) -> list[str]:
    return sorted(keys, key=lambda key: key[1:-1])


_ORDERS: Final[dict[str, Callable[[list[str]], list[str]]]] = {
    "signed with sorted keys": _sorted,
    "signed with the keys in reverse order": lambda keys: keys[::-1],
    "signed with the keys sorted backwards": lambda keys: _sorted(keys)[::-1],
}


@_of_body
def escaped_unicode(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Escape non-ASCII characters."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return
    for form in ("\\u{:04x}", "\\u{:04X}"):
        yield f"signed with {form.format(0x725B)} for 牛", _escaped(text, form).encode()


def _escaped(text: str, form: str) -> str:
    def escape(match: re.Match[str]) -> str:
        units = match[0].encode("utf-16-be")
        return "".join(
            form.format(int.from_bytes(units[place : place + 2]))
            for place in range(0, len(units), 2)
        )

    return _NOT_ASCII.sub(escape, text)


@_of_body
def raw_unicode(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Write escaped non-ASCII characters unescaped."""
    yield from _unescaped(body, lambda unit: unit > _ASCII_MAX, "signed with 牛 for \\u725b")


@_of_body
def other_escapes(body: bytes) -> Iterator[tuple[str, bytes]]:
    r"""Escape characters that need no escape, as some libraries do, or unescape them."""
    yield "signed with \\/ for /, as PHP writes it", body.replace(b"/", b"\\/")
    yield "signed with / for \\/", body.replace(b"\\/", b"/")
    for chars, library in ((_HTML, "Go"), (_HTML_OF_GSON, "Gson")):
        escaped = body
        for char in chars:
            escaped = escaped.replace(char.encode(), f"\\u{ord(char):04x}".encode())
        yield f"signed with \\u003c for <, as {library} writes it", escaped
    is_html = {ord(char) for char in _HTML_OF_GSON}.__contains__
    yield from _unescaped(body, is_html, "signed with < for \\u003c")


def _unescaped(
    body: bytes, is_wanted: Callable[[int], bool], detail: str
) -> Iterator[tuple[str, bytes]]:
    def unescape(match: re.Match[str]) -> str:
        unit = int(match[1], 16) if match[1] else None
        return match[0] if unit is None or not is_wanted(unit) else chr(unit)

    try:
        text = _ESCAPE.sub(unescape, body.decode())
        # The halves of a surrogate pair become one character; a single half cannot be encoded.
        yield detail, text.encode("utf-16", "surrogatepass").decode("utf-16").encode()
    except UnicodeError:
        return


def rewritten_body(attempt: Attempt) -> Variants:
    """Write the body as another library: two or three of order, white space and escapes."""
    for order, ordered in _or_as_is(attempt, key_order(attempt)):
        for style, spaced in _or_as_is(ordered, islice(white_space(ordered), 2)):
            for escape, escaped in _or_as_is(spaced, _usual_escapes(spaced)):
                details = [detail for detail in (order, style, escape) if detail]
                if len(details) > 1:
                    shown = ", ".join(detail.removeprefix(_SIGNED_WITH) for detail in details)
                    yield _SIGNED_WITH + shown, escaped


def _or_as_is(attempt: Attempt, variants: Variants) -> Variants:
    yield "", attempt
    for detail, other in variants:
        if other != attempt:
            yield detail, other


def _usual_escapes(attempt: Attempt) -> Variants:
    for detail, escaped in islice(escaped_unicode(attempt), 1):
        yield detail, escaped
        for slashes, both in islice(other_escapes(escaped), 1):
            if both != escaped:
                yield f"{detail}, {slashes}", both
    yield from raw_unicode(attempt)
    yield from islice(other_escapes(attempt), 1)


def body_missing(attempt: Attempt) -> Variants:
    """Omit the body from the text."""
    if attempt.find(BODY):
        yield "signed without &body=", attempt.without(BODY)
        yield "signed with &body= and nothing after it", attempt.with_value(BODY, b"")


def empty_body_signed(attempt: Attempt) -> Variants:
    """Insert a body in the text although none is sent."""
    if attempt.find(BODY) is None:
        for value in (b"", b"{}", b"null", b'""', b"[]", b"undefined", b"None"):
            shown = value.decode() or "nothing after it"
            yield f"signed with &body= and {shown}", attempt.with_value(BODY, value)


@_of_body
def body_edges(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Add line ends or spaces around the body, or remove them."""
    stripped = body.strip()
    yield "signed with none at its edges", stripped
    yield "signed without the last line end", body.rstrip(b"\r\n")
    for end, detail in ((b"\n", "a line end"), (b"\r\n", "a CRLF line end"), (b" ", "a space")):
        yield f"signed with {detail} after it", body + end
    yield (
        "signed without any line end, as curl --data @file sends it",
        re.sub(rb"[\r\n]", b"", body),
    )


@_of_body
def line_ends(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Change LF to CRLF, or back."""
    with_lf = body.replace(b"\r\n", b"\n")
    yield "signed with LF", with_lf
    yield "signed with CRLF", with_lf.replace(b"\n", b"\r\n")


def byte_order_mark(attempt: Attempt) -> Variants:
    """Add a byte order mark to the body or the text, or remove it from the body."""
    body = attempt.find(BODY)
    if body:
        yield "sent with it, signed without", attempt.with_value(BODY, body.removeprefix(_BOM))
        if not body.startswith(_BOM):
            yield "the signed body begins with it", attempt.with_value(BODY, _BOM + body)
    yield "the signed text begins with it", replace(attempt, before=_BOM)


@_of_body
def printed_body(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Replace the body with what a language prints for the data."""
    text = body.decode("utf-8", "replace")
    yield "as Python prints bytes", repr(body).encode()
    for ascii_only in (False, True):
        yield "as JSON in JSON", json.dumps(text, ensure_ascii=ascii_only).encode()
    yield "as JavaScript prints an object", b"[object Object]"
    yield "as PHP prints an array", b"Array"
    try:
        value = json.loads(body)
        if isinstance(value, dict) and value:
            yield "as Python prints a dict", repr(value).encode("utf-8", "replace")
            yield "as Java prints a map", _printed(value, "{", "=", ", ", "}")
            yield "as Go prints a map", _printed(dict(sorted(value.items())), "map[", ":", " ", "]")
            yield "as a form", urlencode(value).encode()
    except (ValueError, RecursionError):
        return


def _printed(value: dict[str, Any], start: str, colon: str, comma: str, end: str) -> bytes:
    return (start + comma.join(f"{key}{colon}{item}" for key, item in value.items()) + end).encode()


@_of_body
def digested_body(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Replace the body with a digest or base64 of it."""
    for algorithm in ("md5", "sha256"):
        digest = hashlib.new(algorithm, body, usedforsecurity=False)
        yield f"its {algorithm} was signed", digest.hexdigest().encode()
    yield "its base64 was signed", base64.b64encode(body)


def character_set(attempt: Attempt) -> Variants:
    """Encode the text in another character set than UTF-8."""
    for charset in ("gb18030", "gbk", "big5", "shift_jis", "latin-1", "ascii"):
        yield f"{charset}, with ? for what it lacks", _in_charset(attempt, charset)
    body = attempt.find(BODY)
    if body:
        for charset in ("latin-1", "cp1252"):
            twice = body.decode(charset, "replace").encode()
            yield f"UTF-8 read as {charset} and encoded again", attempt.with_value(BODY, twice)
    for charset in ("utf-16-le", "utf-16-be", "utf-16"):
        yield charset, _in_charset(attempt, charset)


def _in_charset(attempt: Attempt, charset: str) -> Attempt:
    # These sets encode ASCII to the same bytes: not a mistake.
    if not charset.startswith("utf-16") and attempt.text().isascii():
        return attempt
    return replace(attempt, charset=charset)
