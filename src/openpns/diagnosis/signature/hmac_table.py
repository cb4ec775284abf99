"""Mistakes about a signature of the HMAC scheme, most likely first."""

import base64
import binascii
import hashlib
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from msgspec.structs import replace

from openpns.diagnosis.signature import table
from openpns.diagnosis.signature.attempt import (
    ACCESS_KEY,
    BODY,
    CONTENT_TYPE,
    FIRST_LINE,
    HEADERS,
    HOST,
    METHOD,
    NONCE,
    PATH,
    Attempt,
    Mistake,
    Stage,
    Variants,
    right_attempt,
)
from openpns.protocol.headers import PATHS

_PORTS: Final = (b"443", b"80", b"8080", b"8443")
_CONTENT_TYPES: Final = (
    b"", b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8",
    b"Application/JSON", b"application/json; charset=UTF-8", b"application/json;charset=UTF-8",
    b"text/plain; charset=utf-8", b"text/plain;charset=utf-8",
)  # fmt: skip
_DIGESTS: Final = ("sha1", "md5", "sha512", "sha384", "sha3_256")


def other_host(attempt: Attempt) -> Variants:
    """Sign another host than the header Host."""
    host = attempt.find(HOST) or b""
    name, _, port = host.rpartition(b":")
    if name and port.isdigit():
        yield "signed without its port", attempt.with_value(HOST, name)
    else:
        for other in _PORTS:
            yield f"signed with :{other.decode()}", attempt.with_value(HOST, host + b":" + other)
    yield "signed in capitals", attempt.with_value(HOST, host.upper())
    for scheme in (b"https://", b"http://"):
        yield f"signed with {scheme.decode()}", attempt.with_value(HOST, scheme + host)
    for other in (b"", b"localhost", b"127.0.0.1", b"localhost:8080", b"127.0.0.1:8080"):
        yield f"signed as {other.decode() or 'an empty line'}", attempt.with_value(HOST, other)


def other_path(attempt: Attempt) -> Variants:
    """Sign another path than is sent."""
    path = attempt.find(PATH) or b""
    others = [path.rstrip(b"/"), path + b"/", *(one.encode() for one in sorted(PATHS))]
    others += [b"", b"/", path.lstrip(b"/"), unquote_to_bytes(path), quote(path, safe="").encode()]
    others += [scheme + (attempt.find(HOST) or b"") + path for scheme in (b"https://", b"http://")]
    for other in others:
        shown = other.decode("utf-8", "replace") or "an empty line"
        yield f"signed as {shown}", attempt.with_value(PATH, other)


def other_content_type(attempt: Attempt) -> Variants:
    """Sign another Content-Type than is sent."""
    for other in _CONTENT_TYPES:
        shown = other.decode() or "an empty line"
        yield f"signed as {shown}", attempt.with_value(CONTENT_TYPE, other)


def undigested_body(attempt: Attempt) -> Variants:
    """Sign the body itself, or its digest in another form."""
    body = attempt.find(BODY)
    if body is None:
        return
    digest = hashlib.sha256(body)
    forms = {
        "the body itself": body,
        "its digest in upper-case hex": digest.hexdigest().upper().encode(),
        "its digest in base64": base64.b64encode(digest.digest()),
        "its digest as bytes": digest.digest(),
        "its md5": hashlib.md5(body, usedforsecurity=False).hexdigest().encode(),
        "an empty line": b"",
    }
    for detail, value in forms.items():
        yield (
            detail,
            attempt.with_parts(
                replace(part, value=value, is_digested=False) if part.role == BODY else part
                for part in attempt.parts
            ),
        )
    empty = attempt.with_value(BODY, b"")
    yield "the digest of an empty body", empty


def other_secret(attempt: Attempt) -> Variants:
    """Use another key of the HMAC than the secret."""
    secret = attempt.hmac_key or b""
    keys = {
        "the secret with a line end": secret + b"\n",
        "the secret with a CRLF line end": secret + b"\r\n",
        "the secret without white space at its edges": secret.strip(),
        "the access key": attempt.find(ACCESS_KEY) or b"",
        "an empty key": b"",
        "the SHA-256 of the secret in hex": hashlib.sha256(secret).hexdigest().encode(),
        "the SHA-256 of the secret": hashlib.sha256(secret).digest(),
    }
    for detail, decode in (("base64", base64.b64decode), ("hex", bytes.fromhex)):
        try:
            keys[f"the secret decoded from {detail}"] = decode(secret.decode())
        except (binascii.Error, ValueError):
            continue
    for detail, key in keys.items():
        yield detail, replace(attempt, hmac_key=key)


def other_lines(attempt: Attempt) -> Variants:
    """Compose the lines differently."""
    last = attempt.parts[-1]
    ended = replace(last, value=hashlib.sha256(last.value).hexdigest().encode() + b"\n")
    if last.role == BODY and last.is_digested:
        parts = (*attempt.parts[:-1], replace(ended, is_digested=False))
        yield "a line feed after the last line", attempt.with_parts(parts)
    for between, detail in ((b"\r\n", "CRLF"), (b"&", "&"), (b"", "nothing"), (b"\\n", "\\n")):
        joined = (replace(part, between=between) for part in attempt.parts)
        yield f"{detail} between the lines", attempt.with_parts(joined)
    named = (replace(part, name=part.role.encode(), equals=b"=") for part in attempt.parts)
    yield "name=value lines", attempt.with_parts(named)
    for role in (FIRST_LINE, METHOD, HOST, PATH, CONTENT_TYPE, *HEADERS, NONCE, BODY):
        yield f"the line of {role} is missing", attempt.without(role)
    yield "the method in lower case", attempt.with_value(METHOD, b"post")
    yield "another method", attempt.with_value(METHOD, b"GET")


def digest_for_hmac(attempt: Attempt) -> Variants:
    """Hash with the secret in the text, or compute the HMAC of the vendor's text."""
    secret = attempt.hmac_key or b""
    values = [(attempt.find(role) or b"").decode("utf-8", "replace") for role in HEADERS]
    body = attempt.find(BODY) or b""
    for algorithm in ("sha256", "md5"):
        access_key, action, biz_type, ts = values
        digest = right_attempt(access_key, action, biz_type, ts, body, secret.decode(), algorithm)
        yield f"a plain {algorithm} of the vendor's text", digest
        yield f"an HMAC of the vendor's text with {algorithm}", replace(digest, hmac_key=secret)
        bare = digest.without("accessSecret")
        detail = f"an HMAC of the vendor's text without the secret, with {algorithm}"
        yield detail, replace(bare, hmac_key=secret)


def other_digest(attempt: Attempt) -> Variants:
    """Compute the HMAC with another digest."""
    for name in _DIGESTS:
        if name in hashlib.algorithms_available:
            yield f"HMAC with {name}", replace(attempt, algorithm=name)


def _shared(*names: str) -> tuple[Mistake, ...]:
    """Return mistakes that both schemes know."""
    known = {mistake.name: mistake for mistake in table.MISTAKES}
    return tuple(known[name] for name in names)


HMAC_MISTAKES: Final = (
    Mistake(
        "host",
        Stage.VALUES,
        "the signed host is not the header Host",
        "Sign Host as it is sent, in lower case, with its port; behind a proxy, check "
        "X-Forwarded-Host.",
        other_host,
    ),
    Mistake(
        "content-type",
        Stage.VALUES,
        "the signed Content-Type is not the sent one",
        "Set Content-Type yourself; sign it in lower case, an empty line if it is not sent.",
        other_content_type,
    ),
    Mistake(
        "path",
        Stage.VALUES,
        "the signed path is not the sent one",
        "Sign the path as it is sent, without the query.",
        other_path,
    ),
    *_shared("white-space", "key-order", "escaped-unicode", "raw-unicode", "rewritten-body"),
    Mistake(
        "body-digest",
        Stage.LAYOUT,
        "the last line is not the SHA-256 of the body in lower-case hex",
        "End the text with the SHA-256 of the body as sent, in lower-case hex.",
        undigested_body,
    ),
    Mistake(
        "hmac-key",
        Stage.DIGEST,
        "the key of the HMAC is not the secret",
        "Use the secret as it is, encoded in UTF-8, as the key.",
        other_secret,
    ),
    Mistake(
        "digest",
        Stage.DIGEST,
        "the signature is made as for md5 or sha256",
        "Compute an HMAC-SHA256 of the lines, or send the algorithm that was used.",
        digest_for_hmac,
    ),
    Mistake(
        "lines",
        Stage.LAYOUT,
        "the lines of the text are composed differently",
        "Join the eleven lines with a line feed, none after the last.",
        other_lines,
    ),
    *_shared("upper-case", "ts-in-seconds", "ts-taken-twice", "body-edges", "other-escapes"),
    *_shared("base64", "header-values", "line-ends", "byte-order-mark"),
    Mistake(
        "other-digest",
        Stage.DIGEST,
        "the HMAC uses another digest than SHA-256",
        "Use HMAC-SHA256.",
        other_digest,
    ),
    *_shared("hashed-twice", "other-form"),
)
"""Every mistake that is tried for the HMAC scheme."""
