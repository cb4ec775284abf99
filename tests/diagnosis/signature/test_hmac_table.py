import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from openpns.diagnosis.signature.attempt import right_hmac_attempt
from openpns.diagnosis.signature.hmac_table import HMAC_MISTAKES
from openpns.diagnosis.signature.search import Explanation, explain
from openpns.protocol.signing import HmacInput

VECTORS: list[dict[str, str]] = json.loads(
    (Path(__file__).parents[3] / "contract" / "signing_hmac.json").read_text("utf-8")
)
SECRET = "abciiiko2k3"
BODY = '{"groupName":"牛小信","remark":"a/b"}'
REQUEST = {
    "method": "POST",
    "host": "pns.example.com",
    "path": "/api/pns/",
    "content_type": "application/json",
    "access_key": "fme2na3kdi3ki",
    "action": "createGroup",
    "biz_type": "5",
    "ts": "1655710885431",
    "nonce": "q0X3c9-Vb_7Kd2Lz",
}
VENDOR = f"accessKey=fme2na3kdi3ki&action=createGroup&bizType=5&ts=1655710885431&body={BODY}"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def text(body: str = BODY, **changes: str) -> str:
    values = (REQUEST | changes).values()
    return "\n".join(("OPENPNS-HMAC-SHA256", *values, sha256(body)))


def mac(signed: str, secret: str = SECRET, digest: str = "sha256") -> str:
    return hmac.new(secret.encode(), signed.encode(), digest).hexdigest()


def explained(
    signature: str, *, secret: str = SECRET, body: str = BODY, **sent: str
) -> Explanation:
    request = HmacInput(*(value.encode() for value in (REQUEST | sent).values()))
    return explain(right_hmac_attempt(request, body.encode(), secret), signature)


def names(explanation: Explanation) -> list[list[str]]:
    return [[found.mistake.name for found in cause.found] for cause in explanation.causes]


# The mistake, its signature, and what was sent instead of REQUEST.
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("host", mac(text(host="pns.example.com:443")), {}),
    ("host", mac(text()), {"host": "pns.example.com:8443"}),
    ("host", mac(text(host="PNS.EXAMPLE.COM")), {}),
    ("host", mac(text(host="127.0.0.1:8080")), {}),
    ("path", mac(text(path="/api/pns")), {}),
    ("path", mac(text(path="/v1/api/pns/")), {}),
    ("path", mac(text(path="https://pns.example.com/api/pns/")), {}),
    ("content-type", mac(text(content_type="")), {}),
    ("content-type", mac(text()), {"content_type": "application/json; charset=utf-8"}),
    ("white-space", mac(text(json.dumps(json.loads(BODY), ensure_ascii=False))), {}),
    ("key-order", mac(text('{"remark":"a/b","groupName":"牛小信"}')), {}),
    ("escaped-unicode", mac(text(json.dumps(json.loads(BODY), separators=(",", ":")))), {}),
    ("raw-unicode", mac(text('"😀"')), {"body": '"\\ud83d\\ude00"'}),
    ("rewritten-body", mac(text(json.dumps(json.loads(BODY)))), {}),
    ("body-digest", mac(text().replace(sha256(BODY), BODY)), {}),
    ("body-digest", mac(text().replace(sha256(BODY), sha256(BODY).upper())), {}),
    ("hmac-key", mac(text(), SECRET + "\n"), {}),
    ("hmac-key", mac(text(), "fme2na3kdi3ki"), {}),
    ("hmac-key", mac(text(), "a-secret"), {"secret": base64.b64encode(b"a-secret").decode()}),
    ("digest", sha256(f"{VENDOR}&accessSecret={SECRET}"), {}),
    ("digest", mac(VENDOR), {}),
    ("lines", mac(text() + "\n"), {}),
    ("lines", mac(text().replace("\n", "\r\n")), {}),
    ("lines", mac(text().replace("q0X3c9-Vb_7Kd2Lz\n", "")), {}),
    ("lines", mac(text().replace("POST", "post")), {}),
    ("upper-case", mac(text()).upper(), {}),
    ("ts-in-seconds", mac(text(ts="1655710885")), {}),
    ("ts-taken-twice", mac(text(ts="1655710885434")), {}),
    ("body-edges", mac(text(BODY + "\n")), {}),
    ("other-escapes", mac(text(BODY.replace("/", "\\/"))), {}),
    ("base64", base64.b64encode(bytes.fromhex(mac(text()))).decode(), {}),
    ("header-values", mac(text(action="creategroup")), {}),
    ("line-ends", mac(text("[\n1,\n2]")), {"body": "[\r\n1,\r\n2]"}),
    ("byte-order-mark", mac(text("\ufeff" + BODY)), {}),
    ("other-digest", mac(text(), digest="sha1"), {}),
    ("hashed-twice", hashlib.sha256(mac(text()).encode()).hexdigest(), {}),
    ("other-form", "(stdin)= " + mac(text()), {}),
]


@pytest.mark.parametrize(("name", "signature", "sent"), CASES, ids=lambda value: str(value)[:20])
def test_explain_recognises_each_mistake(name: str, signature: str, sent: dict[str, Any]) -> None:
    explanation = explained(signature, **sent)
    assert not explanation.matches
    assert explanation.complete
    assert names(explanation) == [[name]]


def test_every_mistake_has_a_case_and_a_unique_name() -> None:
    table = [mistake.name for mistake in HMAC_MISTAKES]
    assert sorted(table) == sorted({name for name, _, _ in CASES})
    for mistake in HMAC_MISTAKES:
        assert mistake.what[0].islower()
        assert not mistake.what.endswith(".")
        assert mistake.fix[0].isupper()
        assert mistake.fix.endswith(".")


@pytest.mark.parametrize("vector", VECTORS, ids=[row["source"] for row in VECTORS])
def test_explain_accepts_the_vectors(vector: dict[str, str]) -> None:
    sent = (
        *("method", "host", "path", "contentType", "accessKey", "action", "bizType", "ts", "nonce"),
    )
    request = HmacInput(*(vector[name].encode() for name in sent))
    right = right_hmac_attempt(request, vector["body"].encode(), vector["accessSecret"])
    assert right.text().decode() == vector["text"]
    assert explain(right, vector["sign"]).matches


def test_explain_recognises_two_mistakes() -> None:
    signature = mac(text(host="pns.example.com:443", path="/api/pns"))
    assert names(explained(signature)) == [["host", "path"]]


def test_cause_masks_the_secret() -> None:
    (cause,) = explained(sha256(f"{VENDOR}&accessSecret={SECRET}")).causes
    assert cause.text == f"{VENDOR}&accessSecret=***"
    assert SECRET not in repr(cause)
