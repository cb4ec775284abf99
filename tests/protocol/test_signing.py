import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openpns.protocol import signing

VECTORS: list[dict[str, str]] = json.loads(
    (Path(__file__).parent.parent / "contract" / "signing.json").read_text("utf-8")
)

CALL: dict[str, Any] = {
    "access_key": "fme2na3kdi3ki",
    "action": "listGroup",
    "biz_type": "5",
    "ts": "1655710885431",
    "body": b'{"limit":10,"offset":0}',
}
SECRET = "abciiiko2k3"


def begun(vector: dict[str, str]) -> bytes:
    return signing.text_before_secret(
        vector["accessKey"],
        vector["action"],
        vector["bizType"],
        vector["ts"],
        vector["body"].encode(),
    )


@pytest.mark.parametrize("vector", VECTORS, ids=[row["source"] for row in VECTORS])
def test_a_worked_example_is_signed_and_checked(vector: dict[str, str]) -> None:
    secret, algorithm = vector["accessSecret"], vector["algorithm"]
    text = (vector["accessKey"], vector["action"], vector["bizType"], vector["ts"])
    assert signing.sign(*text, vector["body"].encode(), secret, algorithm) == vector["sign"]
    assert signing.matches(vector["sign"], begun(vector), [secret.encode()], algorithm)


def test_the_examples_cover_every_algorithm() -> None:
    assert {vector["algorithm"] for vector in VECTORS} == signing.ALGORITHMS


def test_the_text_to_sign_is_the_documented_one() -> None:
    assert signing.text_before_secret(**CALL) + SECRET.encode() == (
        b"accessKey=fme2na3kdi3ki&action=listGroup&bizType=5&ts=1655710885431"
        b'&body={"limit":10,"offset":0}&accessSecret=abciiiko2k3'
    )


def test_an_empty_body_leaves_its_part_out() -> None:
    assert signing.text_before_secret(**CALL | {"body": b""}) == (
        b"accessKey=fme2na3kdi3ki&action=listGroup&bizType=5&ts=1655710885431&accessSecret="
    )


@pytest.mark.parametrize(
    "body", [b" ", b"\xff\x00&accessSecret=", b'{\n "limit": 10}', "牛小信".encode()]
)
def test_the_body_is_signed_byte_for_byte(body: bytes) -> None:
    assert b"&body=" + body + b"&accessSecret=" in signing.text_before_secret(
        **CALL | {"body": body}
    )


def test_md5_is_the_algorithm_that_need_not_be_named() -> None:
    text = signing.text_before_secret(**CALL) + SECRET.encode()
    assert signing.sign(**CALL, access_secret=SECRET) == hashlib.md5(text).hexdigest()


def test_an_algorithm_that_is_not_offered_is_an_error() -> None:
    with pytest.raises(KeyError):
        signing.sign(**CALL, access_secret=SECRET, algorithm="sha1")


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
def test_a_change_anywhere_breaks_the_signature(field: str, value: object) -> None:
    signature = signing.sign(**CALL, access_secret=SECRET)
    changed = signing.text_before_secret(**CALL | {field: value})
    assert not signing.matches(signature, changed, [SECRET.encode()], "md5")


@pytest.mark.parametrize("algorithm", sorted(signing.ALGORITHMS))
def test_any_secret_that_the_key_accepts_will_do(algorithm: str) -> None:
    text = signing.text_before_secret(**CALL)
    for secret in ("first-secret", "second-secret"):
        signature = signing.sign(**CALL, access_secret=secret, algorithm=algorithm)
        assert signing.matches(signature, text, [b"first-secret", b"second-secret"], algorithm)
        assert not signing.matches(signature, text, [b"third-secret"], algorithm)
        assert not signing.matches(signature, text, [], algorithm)


def test_a_signature_of_the_other_algorithm_does_not_match() -> None:
    signature = signing.sign(**CALL, access_secret=SECRET, algorithm="sha256")
    assert not signing.matches(
        signature, signing.text_before_secret(**CALL), [SECRET.encode()], "md5"
    )


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=127), max_size=70))
def test_a_guess_does_not_match(guess: str) -> None:
    text = signing.text_before_secret(**CALL)
    assert not signing.matches(guess, text, [SECRET.encode()], "sha256")


def test_a_signature_in_capitals_does_not_match() -> None:
    signature = signing.sign(**CALL, access_secret=SECRET)
    text = signing.text_before_secret(**CALL)
    assert not signing.matches(signature.upper(), text, [SECRET.encode()], "md5")
