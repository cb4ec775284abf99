"""A way to sign a request, right or wrong, and the type of a mistake."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator
from enum import IntEnum
from functools import cache, partial
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from openpns.protocol.signing import HMAC_FIRST_LINE, HmacInput

ACCESS_KEY: Final = "accessKey"
ACTION: Final = "action"
BIZ_TYPE: Final = "bizType"
TS: Final = "ts"
BODY: Final = "body"
SECRET: Final = "accessSecret"  # noqa: S105
HEADERS: Final = (ACCESS_KEY, ACTION, BIZ_TYPE, TS)

FIRST_LINE: Final = "first line"
METHOD: Final = "method"
HOST: Final = "Host"
PATH: Final = "path"
CONTENT_TYPE: Final = "Content-Type"
NONCE: Final = "nonce"

FORMS: Final[dict[str, Callable[[bytes], str]]] = {
    "hex": lambda digest: digest.hex(),
    "upper-case hex": lambda digest: digest.hex().upper(),
    "base64": lambda digest: base64.b64encode(digest).decode(),
    "base64 without padding": lambda digest: base64.b64encode(digest).decode().rstrip("="),
    "URL-safe base64": lambda digest: base64.urlsafe_b64encode(digest).decode(),
    "base64 of the hex": lambda digest: base64.b64encode(digest.hex().encode()).decode(),
    "the middle half of the hex": lambda digest: _middle(digest.hex()),
    "the middle half of the hex, in upper case": lambda digest: _middle(digest.hex()).upper(),
    "hex with 0x": lambda digest: "0x" + digest.hex(),
    "hex with -": lambda digest: digest.hex("-"),
    "upper-case hex with -": lambda digest: digest.hex("-").upper(),
    "hex with :": lambda digest: digest.hex(":"),
    "a line of md5sum or sha256sum": lambda digest: digest.hex() + "  -",
    "a line of openssl dgst": lambda digest: "(stdin)= " + digest.hex(),
    "a line of openssl dgst -md5": lambda digest: "MD5(stdin)= " + digest.hex(),
    "a line of openssl dgst -sha256": lambda digest: "SHA2-256(stdin)= " + digest.hex(),
    "a line of openssl dgst -sha256, older": lambda digest: "SHA256(stdin)= " + digest.hex(),
    "a digest of the hex digits": lambda digest: _digest_again(digest, digest.hex().encode()),
    "a digest of the upper-case hex digits": lambda digest: _digest_again(
        digest, digest.hex().upper().encode()
    ),
    "a digest of the digest's bytes": lambda digest: _digest_again(digest, digest),
}
"""How a digest may be written; the first form is right."""


class Part(msgspec.Struct, frozen=True):
    """A name and a value of the text to sign."""

    role: str
    """The right name."""
    name: bytes
    value: bytes
    between: bytes = b"&"
    """The separator before it, unless it is the first part."""
    equals: bytes = b"="
    is_secret: bool = False
    is_digested: bool = False
    """Whether the text has the SHA-256 of the value, in hex."""

    def __repr__(self) -> str:
        """Return a text without the value: it may be the secret."""
        return f"Part({self.role})"


class Attempt(msgspec.Struct, frozen=True):
    """A text to sign in its parts, and how its signature is made."""

    parts: tuple[Part, ...]
    algorithm: str
    form: str = "hex"
    before: bytes = b""
    charset: str = "utf-8"
    hmac_key: bytes | None = None

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return f"Attempt({self.masked()!r})"

    def text(self) -> bytes:
        """Return the text to sign, in UTF-8, with the secret."""
        pieces = [self.before]
        for part in self.parts:
            value = part.value
            if part.is_digested:
                value = hashlib.sha256(value).hexdigest().encode()
            pieces += (part.between, part.name, part.equals, value)
        if self.parts:
            pieces[1] = b""
        return b"".join(pieces)

    def value_bytes(self) -> int:
        """Return the length of all values: about the cost of hashing them."""
        return sum([len(part.value) for part in self.parts])

    def masked(self) -> bytes:
        """Return the text to sign with `***` for the secret, unless it is empty."""
        return self.with_parts(
            replace(part, value=b"***") if part.is_secret and part.value else part
            for part in self.parts
        ).text()

    def signature(self) -> str:
        """Return the signature of the text."""
        text = self.text()
        if self.charset != "utf-8":
            text = text.decode("utf-8", "replace").encode(self.charset, "replace")
        begin = _begin(self.algorithm)
        if self.hmac_key is None:
            return FORMS[self.form](begin(text).digest())
        return FORMS[self.form](hmac.new(self.hmac_key, text, begin).digest())

    def looks_like(self, signature: str) -> bool:
        """Return whether a signature has the length and case of this one's, without hashing."""
        if len(signature) != _signature_chars(self.algorithm, self.form):
            return False
        return {"hex": str.lower, "upper-case hex": str.upper}.get(self.form, str)(
            signature
        ) == signature

    def find(self, role: str) -> bytes | None:
        """Return a part's value; None if the text has no such part."""
        return next((part.value for part in self.parts if part.role == role), None)

    def with_value(self, role: str, value: bytes) -> "Attempt":
        """Return a copy with another value; a missing part is inserted before the secret."""
        if self.find(role) is None:
            places = [place for place, part in enumerate(self.parts) if part.role == SECRET]
            place = places[0] if places else len(self.parts)
            return self.with_part(place, role, value)
        return self.with_parts(
            replace(part, value=value) if part.role == role else part for part in self.parts
        )

    def with_part(self, place: int, role: str, value: bytes) -> "Attempt":
        """Return a copy with another part at an index."""
        part = Part(role, role.encode(), value)
        return self.with_parts((*self.parts[:place], part, *self.parts[place:]))

    def without(self, *roles: str) -> "Attempt":
        """Return a copy without some parts."""
        return self.with_parts(part for part in self.parts if part.role not in roles)

    def with_parts(self, parts: "Iterator[Part] | tuple[Part, ...]") -> "Attempt":
        """Return a copy with other parts."""
        return replace(self, parts=tuple(parts))


class Stage(IntEnum):
    """When a mistake happens: of a pair, the one with the earlier stage is applied first."""

    BODY = 1  # The body is written
    ESCAPES = 2  # Characters of the body are escaped
    BYTES = 3  # The body becomes bytes
    VALUES = 4  # The values are collected
    LAYOUT = 5  # The text is composed
    DIGEST = 6  # The text is hashed, and the digest written


Variants: TypeAlias = Iterator[tuple[str, Attempt]]
"""The attempts that a mistake can lead to, likely ones first, each with a detail."""


class Mistake(msgspec.Struct, frozen=True):
    """Something that people get wrong.

    Attributes:
        what: What was done, a part of a sentence.
        fix: What to do, a sentence.
        variants: Applies the mistake; may also yield attempts that change nothing.
    """

    name: str
    stage: Stage
    what: str
    fix: str
    variants: Callable[[Attempt], Variants]


def right_attempt(
    access_key: str,
    action: str,
    biz_type: str,
    ts: str,
    body: bytes,
    access_secret: str,
    algorithm: str,
) -> Attempt:
    """Return the right way to sign a request."""
    values = (access_key, action, biz_type, ts)
    parts = [*zip(HEADERS, map(str.encode, values), strict=True)]
    parts += [(BODY, body)] if body else []
    parts.append((SECRET, access_secret.encode()))
    return Attempt(
        tuple(Part(role, role.encode(), value, is_secret=role == SECRET) for role, value in parts),
        algorithm,
    )


def right_hmac_attempt(request: HmacInput, body: bytes, access_secret: str) -> Attempt:
    """Return the right way to sign a request with the HMAC scheme."""
    right = {
        FIRST_LINE: HMAC_FIRST_LINE,
        METHOD: request.method,
        HOST: request.host.lower(),
        PATH: request.path,
        CONTENT_TYPE: request.content_type.lower(),
        ACCESS_KEY: request.access_key,
        ACTION: request.action,
        BIZ_TYPE: request.biz_type,
        TS: request.ts,
        NONCE: request.nonce,
        BODY: body,
    }
    parts = (
        Part(role, b"", value, between=b"\n", equals=b"", is_digested=role == BODY)
        for role, value in right.items()
    )
    return Attempt(tuple(parts), "sha256", hmac_key=access_secret.encode())


def _digest_again(digest: bytes, text: bytes) -> str:
    algorithm = {16: "md5", 32: "sha256"}.get(len(digest), "sha512")
    return hashlib.new(algorithm, text, usedforsecurity=False).hexdigest()


def _middle(text: str) -> str:
    return text[len(text) // 4 : -len(text) // 4]


@cache
def _begin(algorithm: str) -> Callable[..., "hashlib._Hash"]:
    return partial(hashlib.new, algorithm, usedforsecurity=False)


@cache
def _signature_chars(algorithm: str, form: str) -> int:
    return len(FORMS[form](bytes(_begin(algorithm)().digest_size)))
