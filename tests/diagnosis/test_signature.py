import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openpns.diagnosis.signature import attempt as attempts
from openpns.diagnosis.signature import json_text, search
from openpns.diagnosis.signature.search import Explanation, explain, mask
from openpns.diagnosis.signature.table import MISTAKES
from openpns.protocol import signing

VECTORS: list[dict[str, str]] = json.loads(
    (Path(__file__).parents[2] / "contract" / "signing.json").read_text("utf-8")
)
SECRET = "abciiiko2k3"
BODY = '{"groupName":"牛小信","remark":"a/b"}'
REQUEST: dict[str, Any] = {
    "access_key": "fme2na3kdi3ki",
    "action": "createGroup",
    "biz_type": "5",
    "ts": "1655710885431",
    "body": BODY.encode(),
    "access_secret": SECRET,
    "algorithm": "md5",
}
HEAD = "accessKey=fme2na3kdi3ki&action=createGroup&bizType=5&ts=1655710885431"
END = f"&accessSecret={SECRET}"
RIGHT = f"{HEAD}&body={BODY}{END}"


def md5(text: str | bytes) -> str:
    return hashlib.md5(text if isinstance(text, bytes) else text.encode()).hexdigest()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def base64_md5(text: str) -> str:
    return base64.b64encode(hashlib.md5(text.encode()).digest()).decode()


def hmac_md5(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), "md5").hexdigest()


def with_body(body: str) -> str:
    return f"{HEAD}&body={body}{END}"


def explained(signature: str, **changes: Any) -> Explanation:
    return explain(attempts.right_attempt(**REQUEST | changes), signature)


def names(explanation: Explanation) -> list[list[str]]:
    return [[found.mistake.name for found in cause.found] for cause in explanation.causes]


# The mistake, its signature, and the values of REQUEST that differ.
# The texts to sign are written out: they do not depend on the module under test.
LOWER = re.compile("%..")
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("white-space", md5(with_body('{"groupName": "牛小信", "remark": "a/b"}')), {}),
    ("white-space", md5(with_body('{\n  "groupName": "牛小信",\n  "remark": "a/b"\n}')), {}),
    ("white-space", md5(with_body('{"a":[1.0,{}]}')), {"body": b'{"a": [1.0, {}]}'}),
    ("key-order", md5(with_body('{"remark":"a/b","groupName":"牛小信"}')), {}),
    ("key-order", md5(with_body('[{"a": 1, "b": [2]}]')), {"body": b'[{"b": [2], "a": 1}]'}),
    ("escaped-unicode", md5(with_body(json.dumps(json.loads(BODY), separators=(",", ":")))), {}),
    ("escaped-unicode", md5(with_body('"\\ud83d\\ude00"')), {"body": '"😀"'.encode()}),
    ("raw-unicode", md5(with_body('"😀 \\u000a"')), {"body": b'"\\ud83d\\ude00 \\u000a"'}),
    ("rewritten-body", md5(with_body(json.dumps(json.loads(BODY)))), {}),
    ("rewritten-body", md5(with_body('{"remark":"a\\/b","groupName":"牛小信"}')), {}),
    ("body-missing", md5(HEAD + END), {}),
    ("body-missing", md5(HEAD + "&body=" + END), {}),
    ("empty-body-signed", md5(HEAD + "&body=" + END), {"body": b""}),
    ("empty-body-signed", md5(HEAD + "&body={}" + END), {"body": b""}),
    ("secret-edges", md5(RIGHT + "\n"), {}),
    ("secret-edges", md5(RIGHT), {"access_secret": f" {SECRET}\r\n"}),
    ("secret-edges", md5(f"{HEAD}&body={BODY}&accessSecret='{SECRET}'"), {}),
    ("secret-edges", md5(RIGHT), {"access_secret": f'"{SECRET}"'}),
    ("other-algorithm", sha256(RIGHT), {}),
    ("other-algorithm", md5(RIGHT), {"algorithm": "sha256"}),
    ("upper-case", md5(RIGHT).upper(), {}),
    ("ts-in-seconds", md5(RIGHT.replace("431&", "&")), {}),
    ("ts-in-seconds", md5(RIGHT), {"ts": "1655710885"}),
    ("ts-taken-twice", md5(RIGHT), {"ts": "1655710885434"}),
    ("body-edges", md5(with_body(BODY + "\n")), {}),
    ("white-space", md5(with_body("[1, 2]\n")), {"body": b"[1,2]\n"}),
    ("body-edges", md5(RIGHT), {"body": BODY.encode() + b"\r\n"}),
    ("other-escapes", md5(with_body(BODY.replace("/", "\\/"))), {}),
    ("other-escapes", md5(with_body('"\\u003ca\\u003e"')), {"body": b'"<a>"'}),
    ("other-escapes", md5(with_body('"<a>"')), {"body": b'"\\u003ca\\u003e"'}),
    ("part-order", md5(f"ts=1655710885431&{HEAD[:-17]}&body={BODY}{END}"), {}),
    ("part-order", md5(f"accessSecret={SECRET}&{HEAD}&body={BODY}"), {}),
    ("part-order", md5(f"{HEAD}{END}&body={BODY}"), {}),
    ("base64", base64_md5(RIGHT), {}),
    ("hmac", hmac_md5(f"{HEAD}&body={BODY}"), {}),
    ("hmac", hmac_md5(RIGHT), {}),
    ("separators", md5(RIGHT.replace("&", "")), {}),
    ("separators", md5(RIGHT.replace("=", "")), {}),
    ("separators", md5(f"fme2na3kdi3kicreateGroup51655710885431{BODY}{SECRET}"), {}),
    ("secret-without-name", md5(f"{HEAD}&body={BODY}{SECRET}"), {}),
    ("secret-without-name", md5(f"{SECRET}{HEAD}&body={BODY}{SECRET}"), {}),
    ("url-encoded", md5(with_body(quote(BODY, safe=""))), {}),
    ("url-encoded", md5(RIGHT.replace(SECRET, "a%2Bb")), {"access_secret": "a+b"}),
    ("url-encoded", md5(with_body(quote(BODY))), {}),
    ("url-encoded", md5(with_body(LOWER.sub(lambda at: at[0].lower(), quote_plus(BODY)))), {}),
    ("url-encoded", md5(quote(RIGHT, safe="")), {}),
    ("url-encoded", md5(quote_plus(RIGHT)), {}),
    ("name-case", md5(RIGHT.replace("accessKey", "accesskey")), {}),
    ("name-case", md5(RIGHT.replace("accessKey", "access_key").replace("bizType", "biz_type")
                      .replace("accessSecret", "access_secret")), {}),
    ("name-case", md5(RIGHT.replace("&accessSecret=", "&key=")), {}),
    ("algorithm-in-text", md5(f"{HEAD}&algorithm=md5&body={BODY}{END}"), {}),
    ("algorithm-in-text", md5(f"{RIGHT}&algorithm=md5"), {}),
    ("secret-empty", md5(RIGHT.removesuffix(SECRET)), {}),
    ("secret-empty", md5(RIGHT.removesuffix(END)), {}),
    ("secret-empty", md5(RIGHT.replace(SECRET, "undefined")), {}),
    ("header-values", md5(RIGHT.replace("createGroup", "creategroup")), {}),
    ("header-values", md5(RIGHT.replace("bizType=5", "bizType=1")), {}),
    ("header-values", md5(RIGHT.replace("&action", "\n&action")), {}),
    ("header-missing", md5(RIGHT.replace("&bizType=5", "")), {}),
    ("line-ends", md5(with_body("[\n1,\n2]")), {"body": b"[\r\n1,\r\n2]"}),
    ("byte-order-mark", md5("\ufeff" + RIGHT), {}),
    ("byte-order-mark", md5(with_body("\ufeff" + BODY)), {}),
    ("byte-order-mark", md5(RIGHT), {"body": b"\xef\xbb\xbf" + BODY.encode()}),
    ("printed-body", md5(with_body(str(json.loads(BODY)))), {}),
    ("printed-body", md5(with_body("{groupName=牛小信, remark=a/b}")), {}),
    ("printed-body", md5(with_body(str(b"[1, 2]"))), {"body": b"[1, 2]"}),
    ("digested-body", md5(with_body(md5(BODY))), {}),
    ("character-set", md5(RIGHT.encode("gbk")), {}),
    ("character-set", md5(RIGHT.encode("utf-16-le")), {}),
    ("character-set", md5(with_body(BODY.encode().decode("latin-1"))), {}),
    ("swapped", md5(RIGHT.replace(SECRET, "fme2na3kdi3ki")), {}),
    ("swapped", md5(f"accessKey={SECRET}{HEAD[23:]}&accessSecret=fme2na3kdi3ki"), {"body": b""}),
    ("unknown-digest", hashlib.sha1(RIGHT.encode()).hexdigest(), {}),
    ("hashed-twice", md5(md5(RIGHT)), {}),
    ("hashed-twice", md5(md5(RIGHT).upper()), {}),
    ("hashed-twice", sha256(sha256(RIGHT)), {"algorithm": "sha256"}),
    ("other-form", md5(RIGHT)[8:24], {}),
    ("other-form", "MD5(stdin)= " + md5(RIGHT), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "signature", "changes"), CASES, ids=lambda value: str(value)[:20])
def test_explain_recognises_each_mistake(
    name: str, signature: str, changes: dict[str, Any]
) -> None:
    explanation = explained(signature, **changes)
    assert not explanation.matches
    assert explanation.complete
    assert names(explanation) == [[name]]


def test_every_mistake_has_a_case_and_a_unique_name() -> None:
    table = [mistake.name for mistake in MISTAKES]
    assert sorted(table) == sorted({name for name, _, _ in CASES})


def test_mistake_texts_are_sentences() -> None:
    for mistake in MISTAKES:
        assert mistake.what[0].islower()
        assert not mistake.what.endswith(".")
        assert mistake.fix[0].isupper()
        assert mistake.fix.endswith(".")


@pytest.mark.parametrize("vector", VECTORS, ids=[row["source"] for row in VECTORS])
def test_explain_accepts_the_worked_examples(vector: dict[str, str]) -> None:
    explanation = explain(_attempt_of(vector), vector["sign"])
    assert explanation.matches
    assert explanation.causes == ()


@pytest.mark.parametrize(
    ("sent", "signed", "mistake"),
    [
        (0, 1, "key-order"),
        (0, 2, "rewritten-body"),
        (1, 2, "white-space"),
        (2, 0, "rewritten-body"),
        (0, 3, "other-algorithm"),
    ],
)
def test_explain_one_example_signed_and_another_sent(sent: int, signed: int, mistake: str) -> None:
    explanation = explain(_attempt_of(VECTORS[sent]), VECTORS[signed]["sign"])
    assert names(explanation) == [[mistake]]


def _attempt_of(vector: dict[str, str]) -> attempts.Attempt:
    head = (vector["accessKey"], vector["action"], vector["bizType"], vector["ts"])
    body, secret = vector["body"].encode(), vector["accessSecret"]
    return attempts.right_attempt(*head, body, secret, vector["algorithm"])


@pytest.mark.parametrize(
    ("signature", "changes", "pair"),
    [
        (
            md5(f'{HEAD}&body={{"groupName": "牛小信", "remark": "a/b"}}{END}\n'),
            {},
            ["white-space", "secret-edges"],
        ),
        (md5(HEAD[:-3] + END), {}, ["body-missing", "ts-in-seconds"]),
        (sha256(with_body(BODY + "\n")), {}, ["other-algorithm", "body-edges"]),
        (md5(RIGHT.replace("a/b", "a\\/b") + "\n"), {}, ["other-escapes", "secret-edges"]),
        (
            md5(f'{HEAD}&body={{"remark": "a/b", "groupName": "牛小信"}}{END}\n').upper(),
            {},
            ["upper-case", "rewritten-body", "secret-edges"],
        ),
        (
            hmac.new(SECRET.encode(), f"{HEAD}&body={BODY}".encode(), "sha256").hexdigest(),
            {},
            ["other-algorithm", "hmac"],
        ),
    ],
)
def test_explain_recognises_two_mistakes(
    signature: str, changes: dict[str, Any], pair: list[str]
) -> None:
    assert names(explained(signature, **changes)) == [pair]


def test_explain_returns_the_most_likely_cause_first() -> None:
    explanation = explained(md5(RIGHT.replace("431&", "000&")), ts="1655710885001")
    assert names(explanation) == [["ts-in-seconds"], ["ts-taken-twice"]]


def test_cause_shows_the_signed_text_with_the_secret_masked() -> None:
    (cause,) = explained(md5(f"{HEAD}{END}\n"), body=b"").causes
    assert cause.text == f"{HEAD}&accessSecret=***"
    assert cause.found[0].detail == "a line end after it"
    (cause,) = explained(md5(HEAD + "&accessSecret="), body=b"").causes
    assert cause.text == f"{HEAD}&accessSecret="


@pytest.mark.parametrize(
    ("signature", "evident"),
    [("0" * 32, ()), ("0" * 64, ("other-algorithm",)), ("A" * 32, ("upper-case",)), ("0", None)],
)
def test_explain_without_cause_returns_only_the_evident(
    monkeypatch: pytest.MonkeyPatch, signature: str, evident: tuple[str, ...] | None
) -> None:
    monkeypatch.setattr(search, "VARIANTS_IN_PAIR_MAX", 2)  # for speed
    explanation = explained(signature, body=b"[1]")
    assert explanation.causes == ()
    assert explanation.complete
    found = explanation.evident
    assert (None if found is None else tuple(one.mistake.name for one in found)) == evident


def test_search_of_a_long_body_is_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "TEXT_BYTES_MAX", 100_000)
    explanation = explained("0" * 32, body=b'"' + b"1" * 1000 + b'"')
    assert not explanation.complete
    assert explanation.digests < 100


def test_search_bounds_the_number_of_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "DIGESTS_MAX", 50)
    explanation = explained("0" * 32)
    assert explanation.digests == 50
    assert not explanation.complete


def test_parse_refuses_json_with_very_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "JSON_TOKENS_MAX", 6)
    assert names(explained(md5(with_body("[1, 2, 3]")), body=b"[1,2,3]")) == []


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe not UTF-8",
        b"{not JSON",
        b"[" * 5000 + b"]" * 5000,
        b'"\\ud83d"',
        b'{"a":1,"a":2}',
        b" ",
        b"NaN",
        b"1" * 5000,
        b'{"a":{"b":"\\"}"}}',
    ],
    ids=lambda body: str(body[:12]),
)
def test_explain_accepts_any_body(body: bytes) -> None:
    text = HEAD.encode() + b"&body=" + body + f"{END}\n".encode()
    assert ["secret-edges"] in names(explained(md5(text), body=body))
    assert explained(md5(text[:-1]), body=body).matches


def test_explain_accepts_a_ts_that_is_not_a_number() -> None:
    assert names(explained(md5(HEAD[:-13] + "now" + END + "\n"), body=b"", ts="now")) == [
        ["secret-edges"]
    ]


REQUESTS = st.fixed_dictionaries(
    {
        "access_key": st.text(max_size=8),
        "action": st.text(max_size=8),
        "biz_type": st.text(max_size=2),
        "ts": st.text(max_size=8) | st.integers(0, 10**14).map(str),
        "body": st.binary(max_size=20)
        | st.recursive(
            st.text(max_size=5) | st.integers(),
            lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=2),
        ).map(lambda value: json.dumps(value).encode()),
        "algorithm": st.sampled_from(["md5", "sha256"]),
    }
)
SECRETS = st.text("0123456789abcdef", min_size=4, max_size=12).map(lambda end: f"s3cr=t&é{end}")


@settings(deadline=None)
@given(REQUESTS, st.text(max_size=12))
def test_explain_never_reports_a_correct_signature(request: dict[str, Any], secret: str) -> None:
    signature = signing.sign(**request, access_secret=secret)
    right = attempts.right_attempt(**request, access_secret=secret)
    explanation = explain(right, signature)
    assert explanation.matches
    assert explanation.causes == ()


@settings(deadline=None, max_examples=50)
@given(REQUESTS, SECRETS, st.data())
def test_no_mistake_shows_the_secret_or_raises(
    request: dict[str, Any], secret: str, data: st.DataObject
) -> None:
    mistake = data.draw(st.sampled_from(MISTAKES))
    request["body"] += data.draw(st.sampled_from([b"", secret.encode()]))
    right = attempts.right_attempt(**request, access_secret=secret)
    variants = list(mistake.variants(right))
    for _, made in variants[:: max(1, len(variants) // 3)]:
        assert secret not in repr(made) + repr(made.parts)
        explanation = explain(right, made.signature())
        shown = msgspec.json.encode(
            [(cause.text, [one.detail for one in cause.found]) for cause in explanation.causes]
        ).decode()
        assert secret not in shown
        assert secret.strip() not in shown


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(MISTAKES), st.sampled_from(MISTAKES))
def test_any_two_mistakes_can_be_combined(one: attempts.Mistake, other: attempts.Mistake) -> None:
    right = attempts.right_attempt(**REQUEST)
    for _, half in list(one.variants(right))[:5]:
        for _, whole in list(other.variants(half))[:5]:
            assert SECRET not in repr(whole)
            assert isinstance(whole.signature(), str)


def test_mask_replaces_the_secret_everywhere() -> None:
    assert mask("a long-secret b", " long-secret\n") == "a *** b"
    assert mask("abc", "abc") == "abc"  # too short to look for


def test_masked_hides_the_secret_part_only() -> None:
    for secret, shown in (("5", "***"), ("", "")):
        changes = {"access_secret": secret, "body": b""}
        right = attempts.right_attempt(**REQUEST | changes)
        assert right.masked() == f"{HEAD}&accessSecret={shown}".encode()
