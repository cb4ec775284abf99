import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openpns.protocol import signing

ALGORITHMS = {"md5", "sha256"}
VECTORS: list[dict[str, str]] = json.loads(
    (Path(__file__).parents[2] / "contract" / "signing.json").read_text("utf-8")
)

REQUEST: dict[str, Any] = {
    "access_key": "fme2na3kdi3ki",
    "action": "listGroup",
    "biz_type": "5",
    "ts": "1655710885431",
    "body": b'{"limit":10,"offset":0}',
}
SECRET = "abciiiko2k3"


def before_secret(vector: dict[str, str]) -> bytes:
    return signing.text_before_secret(
        vector["accessKey"],
        vector["action"],
        vector["bizType"],
        vector["ts"],
        vector["body"].encode(),
    )


@pytest.mark.parametrize("vector", VECTORS, ids=[row["source"] for row in VECTORS])
def test_sign_and_matches_agree_with_vector(vector: dict[str, str]) -> None:
    secret, algorithm = vector["accessSecret"], vector["algorithm"]
    text = (vector["accessKey"], vector["action"], vector["bizType"], vector["ts"])
    assert signing.sign(*text, vector["body"].encode(), secret, algorithm) == vector["sign"]
    assert signing.matches(vector["sign"], before_secret(vector), [secret.encode()], algorithm)


def test_vectors_cover_all_algorithms() -> None:
    assert {vector["algorithm"] for vector in VECTORS} == ALGORITHMS


def test_text_before_secret_is_as_documented() -> None:
    assert signing.text_before_secret(**REQUEST) + SECRET.encode() == (
        b"accessKey=fme2na3kdi3ki&action=listGroup&bizType=5&ts=1655710885431"
        b'&body={"limit":10,"offset":0}&accessSecret=abciiiko2k3'
    )


def test_text_before_secret_omits_empty_body() -> None:
    assert signing.text_before_secret(**REQUEST | {"body": b""}) == (
        b"accessKey=fme2na3kdi3ki&action=listGroup&bizType=5&ts=1655710885431&accessSecret="
    )


@pytest.mark.parametrize(
    "body", [b" ", b"\xff\x00&accessSecret=", b'{\n "limit": 10}', "牛小信".encode()]
)
def test_text_before_secret_contains_body_unchanged(body: bytes) -> None:
    assert b"&body=" + body + b"&accessSecret=" in signing.text_before_secret(
        **REQUEST | {"body": body}
    )


def test_sign_uses_md5_by_default() -> None:
    text = signing.text_before_secret(**REQUEST) + SECRET.encode()
    assert signing.sign(**REQUEST, access_secret=SECRET) == hashlib.md5(text).hexdigest()


def test_sign_raises_for_unknown_algorithm() -> None:
    with pytest.raises(KeyError):
        signing.sign(**REQUEST, access_secret=SECRET, algorithm="sha1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("access_key", "fme2na3kdi3kj"),
        ("action", "deleteGroup"),
        ("biz_type", "4"),
        ("ts", "1655710885432"),
        ("body", b'{"limit":10, "offset":0}'),
    ],
)
def test_matches_fails_for_any_changed_part(field: str, value: object) -> None:
    signature = signing.sign(**REQUEST, access_secret=SECRET)
    changed = signing.text_before_secret(**REQUEST | {field: value})
    assert not signing.matches(signature, changed, [SECRET.encode()], "md5")


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_matches_accepts_any_of_several_secrets(algorithm: str) -> None:
    text = signing.text_before_secret(**REQUEST)
    for secret in ("first-secret", "second-secret"):
        signature = signing.sign(**REQUEST, access_secret=secret, algorithm=algorithm)
        assert signing.matches(signature, text, [b"first-secret", b"second-secret"], algorithm)
        assert not signing.matches(signature, text, [b"third-secret"], algorithm)
        assert not signing.matches(signature, text, [], algorithm)


def test_matches_fails_for_other_algorithm() -> None:
    signature = signing.sign(**REQUEST, access_secret=SECRET, algorithm="sha256")
    assert not signing.matches(
        signature, signing.text_before_secret(**REQUEST), [SECRET.encode()], "md5"
    )


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=127), max_size=70))
def test_matches_fails_for_arbitrary_text(guess: str) -> None:
    text = signing.text_before_secret(**REQUEST)
    assert not signing.matches(guess, text, [SECRET.encode()], "sha256")


def test_matches_fails_for_upper_case_signature() -> None:
    signature = signing.sign(**REQUEST, access_secret=SECRET)
    text = signing.text_before_secret(**REQUEST)
    assert not signing.matches(signature.upper(), text, [SECRET.encode()], "md5")


HMAC_VECTORS: list[dict[str, str]] = json.loads(
    (Path(__file__).parents[2] / "contract" / "signing_hmac.json").read_text("utf-8")
)
HMAC_PARTS = (
    *("method", "host", "path", "contentType", "accessKey", "action", "bizType", "ts", "nonce"),
)


def hmac_input(vector: dict[str, str]) -> signing.HmacInput:
    return signing.HmacInput(*(vector[part].encode() for part in HMAC_PARTS))


@pytest.mark.parametrize("vector", HMAC_VECTORS, ids=[row["source"] for row in HMAC_VECTORS])
def test_hmac_text_and_sign_agree_with_vector(vector: dict[str, str]) -> None:
    text = signing.hmac_text(hmac_input(vector), vector["body"].encode())
    secret = vector["accessSecret"].encode()
    assert text.decode() == vector["text"]
    assert signing.hmac_sign(text, secret) == vector["sign"]
    assert signing.hmac_matches(vector["sign"], text, [secret])
    assert hmac_by_hand(text, secret) == vector["sign"]


def hmac_by_hand(text: bytes, secret: bytes) -> str:
    """HMAC as RFC 2104 defines it, for a secret of at most 64 bytes."""
    padded = secret.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + text).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).hexdigest()


@pytest.mark.parametrize("part", HMAC_PARTS)
def test_hmac_matches_fails_for_any_changed_part(part: str) -> None:
    vector = HMAC_VECTORS[0]
    changed = hmac_input(vector | {part: vector[part] + "0"})
    text = signing.hmac_text(changed, vector["body"].encode())
    assert not signing.hmac_matches(vector["sign"], text, [vector["accessSecret"].encode()])


def test_hmac_matches_fails_for_another_body_or_secret_and_upper_case() -> None:
    vector = HMAC_VECTORS[0]
    secret = vector["accessSecret"].encode()
    text = signing.hmac_text(hmac_input(vector), vector["body"].encode())
    other = signing.hmac_text(hmac_input(vector), vector["body"].encode() + b" ")
    assert signing.hmac_matches(vector["sign"], text, [b"other", secret])
    assert not signing.hmac_matches(vector["sign"], other, [secret])
    assert not signing.hmac_matches(vector["sign"], text, [b"other"])
    assert not signing.hmac_matches(vector["sign"].upper(), text, [secret])
