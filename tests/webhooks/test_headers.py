from http.client import HTTPMessage
from typing import Any

import httpx2
import pytest
from django.http.request import HttpHeaders
from starlette.datastructures import Headers as StarletteHeaders
from werkzeug.datastructures import Headers as WerkzeugHeaders

from openpns.errors import ConfigError
from openpns.webhooks import WebhookMalformed
from openpns.webhooks.headers import SignedHeaders, read_headers

SIGNATURE = "v1,H9ieCsHAJ7gUUrez2vcAVK5MjFc4pvrdl4O8x9Gayhg="
PAIRS = [
    ("Content-Type", "application/json"),
    ("Webhook-Id", "msg_1"),
    ("WEBHOOK-TIMESTAMP", "1670479632"),
    ("webhook-signature", SIGNATURE),
    ("Accept", "a"),
    ("Accept", "b"),
]
FOUND = SignedHeaders("msg_1", 1_670_479_632, (SIGNATURE,))


def message() -> HTTPMessage:
    made = HTTPMessage()
    for name, value in PAIRS:
        made[name] = value
    return made


FORMS: dict[str, Any] = {
    "dict": dict(PAIRS),
    "dict of bytes": {name.encode(): value.encode() for name, value in PAIRS},
    "pairs": PAIRS,
    "pairs of bytes": [[name.lower().encode(), value.encode()] for name, value in PAIRS],
    "http.client": message(),
    "httpx2": httpx2.Headers(PAIRS),
    "Starlette": StarletteHeaders(raw=[(n.lower().encode(), v.encode()) for n, v in PAIRS]),
    "Werkzeug": WerkzeugHeaders(PAIRS),
    "Django": HttpHeaders({f"HTTP_{n.upper().replace('-', '_')}": v for n, v in PAIRS}),
}


@pytest.mark.parametrize("form", FORMS)
def test_headers_of_any_framework_are_read(form: str) -> None:
    assert read_headers(FORMS[form]) == FOUND


def changed(**values: str | bytes) -> dict[str, Any]:
    names = {"id": "webhook-id", "timestamp": "webhook-timestamp", "signature": "webhook-signature"}
    good = {"id": "msg_1", "timestamp": "1670479632", "signature": SIGNATURE}
    return {names[name]: value for name, value in (good | values).items()}


def test_signatures_of_other_versions_are_ignored() -> None:
    other = SIGNATURE.replace("H", "I")
    found = read_headers(changed(signature=f"v1a,x/= {SIGNATURE} v2,{other[3:]} {other}"))
    assert found.signatures == (SIGNATURE, other)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        " ",
        "v1",
        "v1,",
        "v1,abc",
        f"{SIGNATURE} ",
        f"{SIGNATURE}  {SIGNATURE}",
        f"{SIGNATURE},{SIGNATURE}",
        f"{SIGNATURE}\n",
        SIGNATURE.replace("v1", "V1"),
        "v1a,x",
        f"{SIGNATURE} v1,{'!' * 44}",
        f"{SIGNATURE} é,x",
        SIGNATURE[3:],
        " ".join([SIGNATURE] * 100),
        SIGNATURE.encode() + b"\xff",
    ],
)
def test_malformed_signature_is_named(signature: str | bytes) -> None:
    with pytest.raises(WebhookMalformed, match=r"^webhook-signature: allowed are signatures "):
        read_headers(changed(signature=signature))


@pytest.mark.parametrize(
    "value", ["", "msg.1", "msg 1", "msg_1,msg_1", "msg_1\n", "ü", b"\xff", "m" * 129]
)
def test_malformed_id_is_named(value: str | bytes) -> None:
    with pytest.raises(WebhookMalformed, match=r"^webhook-id: allowed are 1 to 128 letters"):
        read_headers(changed(id=value))


@pytest.mark.parametrize(
    "value",
    ["", "0", "-1", "+1", "01", "1.5", "1e9", "nan", "1_000", " 1", "1\n", "٣", "1" * 13, "1, 1"],
)
def test_malformed_timestamp_is_named(value: str) -> None:
    with pytest.raises(WebhookMalformed, match=r"^webhook-timestamp: allowed are seconds since"):
        read_headers(changed(timestamp=value))


def test_missing_headers_are_all_named() -> None:
    with pytest.raises(WebhookMalformed) as caught:
        read_headers({"Webhook-Timestamp": "1"})
    assert str(caught.value) == (
        "webhook-id, webhook-signature: missing; an event is sent with webhook-id, "
        "webhook-timestamp and webhook-signature"
    )


@pytest.mark.parametrize("name", ["webhook-id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE"])
def test_repeated_header_is_refused(name: str) -> None:
    again = [*PAIRS, (name, dict(changed())[name.lower()])]
    for headers in (again, WerkzeugHeaders(again), httpx2.Headers(again).multi_items()):
        with pytest.raises(WebhookMalformed, match=f"^{name.lower()}: sent more than once"):
            read_headers(headers)


@pytest.mark.parametrize(
    "headers", [None, 5, "webhook-id", [1], [("a",)], {"webhook-id": ["msg_1"]}, {1: "a"}]
)
def test_other_types_are_a_mistake_of_the_program(headers: Any) -> None:
    with pytest.raises(ConfigError, match=r"^headers: allowed "):
        read_headers(headers)
