import base64
import traceback
from typing import Any

import pytest
from standardwebhooks import Webhook
from tests.webhooks.vectors import OTHER_SECRET, RECORD, SECRET, VECTORS, headers_of

from openpns.errors import ConfigError
from openpns.webhooks import WebhookMalformed, signed_headers
from openpns.webhooks.headers import read_headers
from openpns.webhooks.signature import Secrets


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["source"])
def test_signatures_are_those_of_the_vectors(vector: dict[str, str]) -> None:
    secrets = Secrets(vector["secret"])
    body, at_s = vector["body"].encode(), int(vector["timestamp"])
    assert secrets.sign(vector["id"], at_s, body) == [vector["signature"]]
    assert secrets.match(read_headers(headers_of(vector)), body)
    assert not secrets.match(read_headers(headers_of(vector)), body + b" ")


def test_any_secret_matches_any_signature() -> None:
    body = b"{}"
    sent = read_headers(signed_headers(body, [SECRET, OTHER_SECRET], timestamp_s=1))
    assert len(sent.signatures) == 2
    third = "whsec_" + base64.b64encode(bytes(32)).decode()
    for known in ([SECRET], [OTHER_SECRET], [third, OTHER_SECRET]):
        assert Secrets(known).match(sent, body)
    assert not Secrets(third).match(sent, body)


def test_signed_headers_pass_the_library() -> None:
    Webhook(SECRET).verify(b'{"a": 1}', signed_headers(b'{"a": 1}', SECRET))


@pytest.mark.parametrize(
    "secrets",
    [
        f"{SECRET},{OTHER_SECRET}",
        f"{SECRET} {OTHER_SECRET}\n",
        f" {SECRET}\r\n\r\n{OTHER_SECRET},",
        [SECRET, OTHER_SECRET],
        (secret for secret in (SECRET, OTHER_SECRET)),
        [f"{SECRET}\n", "", OTHER_SECRET],
    ],
)
def test_several_secrets_are_read_from_one_text_or_several(secrets: Any) -> None:
    assert repr(Secrets(secrets)) == "Secrets(2)"


def test_padding_of_a_secret_may_be_missing() -> None:
    assert SECRET.endswith("=")
    assert Secrets(SECRET.rstrip("=")).sign("m", 1, b"") == Secrets(SECRET).sign("m", 1, b"")


@pytest.mark.parametrize(
    ("secrets", "problem"),
    [
        ("", "there are 0; allowed are 1 to 10"),
        ([], "there are 0; allowed are 1 to 10"),
        (",".join([SECRET] * 11), "there are 11; allowed are 1 to 10"),
        (SECRET.removeprefix("whsec_"), "number 1 of 1 is not one"),
        (SECRET.replace("whsec_", "WHSEC_"), "number 1 of 1 is not one"),
        (f"{SECRET},whsec_", "number 2 of 2 is not one"),
        (f"{SECRET} whsec_AAAA", "number 2 of 2 is not one"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "number 1 of 1 is not one"),
        (f"{SECRET}!", "number 1 of 1 is not one"),
        (SECRET.replace("=", "==="), "number 1 of 1 is not one"),
        (SECRET.rstrip("=") + "AA", "number 1 of 1 is not one"),
        (SECRET.encode(), "is not a text"),
        ([SECRET.encode()], "is not a text"),
        (None, "is not a text"),
    ],
)
def test_wrong_secret_is_refused_and_not_shown(secrets: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Secrets(secrets)
    assert str(caught.value).startswith(f"webhook secret: {problem}")
    assert SECRET[6:20] not in str(caught.value)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:]
    assert frames
    assert SECRET[6:20] not in repr([frame.f_locals for frame in frames])


def test_body_that_is_not_utf8_is_malformed() -> None:
    with pytest.raises(WebhookMalformed, match=r"^the body is not UTF-8"):
        Secrets(SECRET).match(read_headers(headers_of(RECORD)), b"\xff\xfe")
