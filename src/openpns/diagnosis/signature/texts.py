"""Mistakes about header values, the secret, the text to sign and its digest."""

import hashlib
import re
from itertools import permutations
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from msgspec.structs import replace

from openpns.diagnosis.signature.attempt import (
    ACCESS_KEY,
    ACTION,
    BIZ_TYPE,
    BODY,
    FORMS,
    HEADERS,
    SECRET,
    TS,
    Attempt,
    Part,
    Variants,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BOM: Final = "\ufeff".encode()
_EDGES: Final = {
    b"\n": "a line end",
    b"\r\n": "a CRLF line end",
    b" ": "a space",
    b"\t": "a tab",
    b"\r": "a carriage return",
    b"\x00": "a zero byte",
}
_EMPTY_SECRETS: Final = ("null", "undefined", "None", "nil", "<nil>", "NULL", "nan", "***")
_MS_IN_S: Final = 1000
_TS_DIGITS: Final = 13
_TS_IN_S_DIGITS: Final = 10
_TS_APART_MS_MAX: Final = 50
_BIZ_TYPES: Final = 20
_OTHER_DIGESTS: Final = ("sha1", "sha512", "sha384", "sha224", "sha3_256", "sha512_256", "sm3")


def secret_edges(attempt: Attempt) -> Variants:
    """Add white space or quotes around the secret, or remove those that belong to it."""
    secret = attempt.find(SECRET)
    if not secret:
        return
    for edge, detail in _EDGES.items():
        yield f"{detail} after it", attempt.with_value(SECRET, secret + edge)
    yield "none at its edges", attempt.with_value(SECRET, secret.strip())
    yield "a space before it", attempt.with_value(SECRET, b" " + secret)
    yield "a byte order mark before it", attempt.with_value(SECRET, _BOM + secret)
    for left, right in ((b'"', b'"'), (b"'", b"'"), (b"b'", b"'"), (b"<", b">")):
        quotes = f"{left.decode()}…{right.decode()} around it"
        yield quotes, attempt.with_value(SECRET, left + secret + right)
        bare = secret.removeprefix(left).removesuffix(right)
        yield f"without {quotes}", attempt.with_value(SECRET, bare)


def secret_empty(attempt: Attempt) -> Variants:
    """Omit the secret, or use a language's word for nothing."""
    yield "nothing in its place", attempt.with_value(SECRET, b"")
    yield "no &accessSecret= at all", attempt.without(SECRET)
    for word in _EMPTY_SECRETS:
        yield f"{word} in its place", attempt.with_value(SECRET, word.encode())


def swapped(attempt: Attempt) -> Variants:
    """Use the access key as the secret."""
    key, secret = attempt.find(ACCESS_KEY), attempt.find(SECRET)
    if key and secret:
        one_for_both = attempt.with_value(SECRET, key)
        yield "the access key in both places", one_for_both
        yield (
            "each in the other's place",
            one_for_both.with_parts(
                replace(part, value=secret, is_secret=True) if part.role == ACCESS_KEY else part
                for part in one_for_both.parts
            ),
        )


def ts_in_seconds(attempt: Attempt) -> Variants:
    """Use seconds in either the header or the text, and ms in the other."""
    ts = _digits_of_ts(attempt)
    if len(ts) == _TS_DIGITS:
        seconds, ms = divmod(int(ts), _MS_IN_S)
        for other in (f"{seconds}", f"{seconds + 1}", f"{seconds}.{ms:03}", f"{seconds}000"):
            yield f"signed with ts={other}", attempt.with_value(TS, other.encode())
        yield f"signed with ts={ts}.0", attempt.with_value(TS, f"{ts}.0".encode())
    elif len(ts) == _TS_IN_S_DIGITS:
        for ms in range(_MS_IN_S):
            other = f"{ts}{ms:03}"
            yield f"sent in seconds, signed with ts={other}", attempt.with_value(TS, other.encode())


def _digits_of_ts(attempt: Attempt) -> str:
    ts = (attempt.find(TS) or b"").decode()
    return ts if ts.isascii() and ts.isdigit() else ""


def ts_taken_twice(attempt: Attempt) -> Variants:
    """Read the time once for the text and once for the header."""
    ts = _digits_of_ts(attempt)
    if len(ts) != _TS_DIGITS:
        return
    for apart in range(1, _TS_APART_MS_MAX + 1):
        for word, other in (("earlier", int(ts) - apart), ("later", int(ts) + apart)):
            signed = attempt.with_value(TS, str(other).encode())
            yield f"the signed one is {apart} ms {word}", signed


def header_values(attempt: Attempt) -> Variants:
    """Sign another value of a header than is sent."""
    for role in (ACCESS_KEY, ACTION, BIZ_TYPE, TS):
        value = attempt.find(role) or b""
        for edge, detail in _EDGES.items():
            yield f"{role} signed with {detail} after it", attempt.with_value(role, value + edge)
    action = attempt.find(ACTION) or b""
    for other in (action.lower(), action.upper(), action[:1].upper() + action[1:]):
        yield f"action signed as {_shown(other)}", attempt.with_value(ACTION, other)
    for number in range(_BIZ_TYPES + 1):
        other = str(number).encode()
        yield f"bizType signed as {number}", attempt.with_value(BIZ_TYPE, other)


def _shown(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def header_missing(attempt: Attempt) -> Variants:
    """Omit one of the four headers from the text."""
    for role in HEADERS:
        yield f"{role} is missing", attempt.without(role)


def url_encoded(attempt: Attempt) -> Variants:
    """URL-encode the body, the secret, all values, or the whole text."""
    encoders: tuple[tuple[str, Callable[[bytes], str]], ...] = (
        ("+ for a space", quote_plus),
        ("%20 for a space", lambda value: quote(value, safe="")),
        ("as JavaScript's encodeURIComponent", lambda value: quote(value, safe="!'()*-._~")),
        ("%20 for a space, / as it is", quote),
        ("lower-case hex, + for a space", _quote_in_lower_case),
        ("as JavaScript's encodeURI", lambda value: quote(value, safe=";,/?:@&=+$-_.!~*'()#")),
    )
    for detail, encode in encoders:
        for which, roles in (("all values", {*HEADERS, BODY, SECRET}), ("the body", {BODY})):
            yield (
                f"{which}, {detail}",
                attempt.with_parts(
                    replace(part, value=encode(part.value).encode()) if part.role in roles else part
                    for part in attempt.parts
                ),
            )
        secret = encode(attempt.find(SECRET) or b"").encode()
        yield f"the secret, {detail}", attempt.with_value(SECRET, secret)
        yield f"the whole text, {detail}", attempt.with_parts(_encoded(attempt.parts, encode))


def _encoded(parts: tuple[Part, ...], encode: "Callable[[bytes], str]") -> "Iterator[Part]":
    for part in parts:
        pieces = (part.name, part.value, part.between, part.equals)
        name, value, between, equals = [encode(piece).encode() for piece in pieces]
        yield Part(part.role, name, value, between, equals, is_secret=part.is_secret)


def _quote_in_lower_case(value: bytes) -> str:
    return re.sub("%..", lambda found: found[0].lower(), quote_plus(value))


def algorithm_in_text(attempt: Attempt) -> Variants:
    """Insert `algorithm` in the text."""
    value = attempt.algorithm.encode()
    places = range(len(attempt.parts) + 1)
    likely = [place for place in places if attempt.parts[place - 1].role == TS]
    for place in (*likely, *places):
        yield f"as part {place + 1}", attempt.with_part(place, "algorithm", value)


def name_case(attempt: Attempt) -> Variants:
    """Spell the names differently."""
    writings: dict[str, Callable[[str], str]] = {
        "lower case": str.lower,
        "upper case": str.upper,
        "a capital first": lambda role: role[0].upper() + role[1:],
        "_ between words": lambda role: _with_between(role, "_"),
        "- between words": lambda role: _with_between(role, "-"),
        "_ between words, upper case": lambda role: _with_between(role, "_").upper(),
    }
    for detail, rename in writings.items():
        yield detail, _renamed(attempt, {part.role: rename(part.role) for part in attempt.parts})
    others = {
        SECRET: ("accesssecret", "AccessSecret", "secret", "secretKey", "accessKeySecret", "key"),
        ACCESS_KEY: ("accesskey", "AccessKey", "key", "accessKeyId"),
        BIZ_TYPE: ("biztype", "BizType"),
        TS: ("timestamp", "Ts", "TS"),
        BODY: ("data", "Body"),
    }
    for role, names in others.items():
        for name in names:
            yield f"{name} for {role}", _renamed(attempt, {role: name})


def _with_between(role: str, between: str) -> str:
    return "".join(between + char.lower() if char.isupper() else char for char in role)


def _renamed(attempt: Attempt, names: dict[str, str]) -> Attempt:
    return attempt.with_parts(
        replace(part, name=names[part.role].encode()) if part.role in names else part
        for part in attempt.parts
    )


def part_order(attempt: Attempt) -> Variants:
    """Change the order of the parts."""
    parts = attempt.parts
    by_name = tuple(sorted(parts, key=lambda part: part.role))
    yield "in alphabetical order", attempt.with_parts(by_name)
    at_start = tuple(part for part in parts if part.role == SECRET)
    others = tuple(part for part in parts if part.role != SECRET)
    yield "the secret first", attempt.with_parts(at_start + others)
    heads = tuple(part for part in parts if part.role in HEADERS)
    tail = tuple(part for part in parts if part.role not in HEADERS)
    for order in permutations(heads):
        yield "the headers in another order", attempt.with_parts(order + tail)
    yield "the body last", attempt.with_parts(heads + tail[::-1])
    for order in permutations(parts):
        yield "all parts in another order", attempt.with_parts(order)


def separators(attempt: Attempt) -> Variants:
    """Omit `&`, `=` or the names, or use other separators."""

    def joined(between: bytes, equals: bytes, *, named: bool = True) -> Attempt:
        return attempt.with_parts(
            replace(part, between=between, equals=equals, name=part.name if named else b"")
            for part in attempt.parts
        )

    yield "no & between parts", joined(b"", b"=")
    yield "no = between name and value", joined(b"&", b"")
    yield "neither & nor =", joined(b"", b"")
    for between in (b"\n", b",", b";", b"|", b" ", b"&amp;", b", "):
        yield f"{_shown(between)!r} for &", joined(between, b"=")
    yield ": for =", joined(b"&", b":")
    for between in (b"", b"&", b"\n", b",", b"|", b":"):
        detail = f"only the values, with {_shown(between)!r} between them"
        yield detail, joined(between, b"", named=False)
    for start in (b"&", b"?"):
        yield f"{_shown(start)} before the text", replace(attempt, before=attempt.before + start)
    last = attempt.find(SECRET) or b""
    yield "& after the text", attempt.with_value(SECRET, last + b"&")


def secret_without_name(attempt: Attempt) -> Variants:
    """Add the secret after or before the text without `&accessSecret=`."""
    secret, others = attempt.find(SECRET), attempt.without(SECRET).parts
    if not secret or not others:
        return
    bare = Part(SECRET, b"", secret, between=b"", equals=b"", is_secret=True)
    after_secret = (replace(others[0], between=b""), *others[1:])
    yield "the secret right after the text", attempt.with_parts((*others, bare))
    yield "the secret after a &", attempt.with_parts((*others, replace(bare, between=b"&")))
    yield "the secret right before the text", attempt.with_parts((bare, *after_secret))
    yield "the secret before the text and a &", attempt.with_parts((bare, *others))
    yield "the secret before and after the text", attempt.with_parts((bare, *after_secret, bare))


def hmac_for_hash(attempt: Attempt) -> Variants:
    """Compute an HMAC with the secret as its key."""
    secret = attempt.find(SECRET)
    if secret:
        without = attempt.without(SECRET)
        yield "of the text without &accessSecret=", replace(without, hmac_key=secret)
        yield "of the whole text", replace(attempt, hmac_key=secret)
        empty = attempt.with_value(SECRET, b"")
        yield "of the text up to &accessSecret=", replace(empty, hmac_key=secret)


def other_algorithm(attempt: Attempt) -> Variants:
    """Use sha256 if the header says md5, and md5 if it says sha256."""
    other = "sha256" if attempt.algorithm == "md5" else "md5"
    yield (
        f"it uses {other}, but the header algorithm says {attempt.algorithm}",
        replace(attempt, algorithm=other),
    )


def unknown_digest(attempt: Attempt) -> Variants:
    """Use a digest that the API does not know."""
    for name in _OTHER_DIGESTS:
        # Which digests exist depends on how Python was built.
        if name in hashlib.algorithms_available:
            yield f"made with {name}", replace(attempt, algorithm=name)


def upper_case(attempt: Attempt) -> Variants:
    """Write the digest in upper-case hex."""
    yield "", replace(attempt, form="upper-case hex")


def base64_for_hex(attempt: Attempt) -> Variants:
    """Write the digest in base64."""
    for form in FORMS:
        if "base64" in form:
            yield form, replace(attempt, form=form)


def other_form(attempt: Attempt) -> Variants:
    """Write the digest in another form, or with what a tool prints around it."""
    for form in FORMS:
        if "base64" not in form and "a digest" not in form and form != "upper-case hex":
            yield form, replace(attempt, form=form)


def hashed_twice(attempt: Attempt) -> Variants:
    """Hash the digest again."""
    for form in FORMS:
        if "a digest" in form:
            yield form, replace(attempt, form=form)
