import hashlib
import hmac
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from openpns.cli.diagnose import sign
from openpns.diagnosis.signature import search
from openpns.protocol import signing

ROOT = Path(__file__).parents[3]
KEY, SECRET = "fme2na3kdi3ki", "abciiiko2k3"
TS = "1655710885431"
BODY = '{"limit":3,"offset":0}'
REQUEST = ("sign", "--action", "listGroup", "--ts", TS)
HEAD = f"accessKey={KEY}&action=listGroup&bizType=5&ts={TS}"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENPNS_ACCESS_KEY", KEY)
    monkeypatch.setenv("OPENPNS_ACCESS_SECRET", SECRET)


def signature(body: bytes = BODY.encode(), secret: str = SECRET, algorithm: str = "md5") -> str:
    return signing.sign(KEY, "listGroup", "5", TS, body, secret, algorithm)


def test_sign_prints_the_masked_text_and_the_signature(run_anywhere: Run) -> None:
    done = run_anywhere(*REQUEST, "--body", BODY)
    assert done.out.splitlines() == [
        f"text to sign  {HEAD}&body={BODY}&accessSecret=***",
        f"ts            {TS}",
        f"sign          {signature()}",
    ]
    assert done.err == ""


def test_json_has_every_header(run_anywhere: Run) -> None:
    done = run_anywhere(*REQUEST, "--body", BODY, "--algorithm", "sha256", "--json")
    assert done.json == {
        "accessKey": KEY,
        "action": "listGroup",
        "bizType": "5",
        "ts": TS,
        "algorithm": "sha256",
        "text": f"{HEAD}&body={BODY}&accessSecret=***",
        "sign": signature(algorithm="sha256"),
    }


def test_options_have_priority_over_the_environment(run_anywhere: Run) -> None:
    options = ("--access-key", "k2", "--access-secret", "other", "--biz-type", "1", "--json")
    done = run_anywhere(*REQUEST, *options)
    assert done.json["sign"] == signing.sign("k2", "listGroup", "1", TS, b"", "other")
    assert "bizType is not 5" in done.err


def test_default_ts_is_now(run_anywhere: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign, "now_ms", lambda: int(TS))
    done = run_anywhere("sign", "--action", "listGroup", "--body", BODY, "--json")
    assert done.json["ts"] == TS
    assert done.json["sign"] == signature()


@pytest.mark.parametrize("body", [b"{}\r\n", b"\xff\x00", b"", b" \xef\xbb\xbf"])
def test_sign_uses_file_and_stdin_byte_for_byte(
    run_anywhere: Run, tmp_path: Path, body: bytes
) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(body)
    expected = signature(body)
    assert run_anywhere(*REQUEST, "--body-file", str(file), "--json").json["sign"] == expected
    assert run_anywhere(*REQUEST, "--body-file", "-", "--json", stdin=body).json["sign"] == expected


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_sign_reads_the_secret_from_stdin(run_anywhere: Run, end: bytes) -> None:
    done = run_anywhere(
        *REQUEST, "--access-secret", "-", "--body", BODY, "--json", stdin=b"another-one" + end
    )
    assert done.json["sign"] == signature(secret="another-one")
    assert done.err == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--body", "a", "--body-file", "-"], "--body and --body-file exclude each other"),
        (["--access-secret", "-", "--body-file", "-"], "only one of"),
        (["--explain"], "--explain, --sign and --ts go together"),
        (["--sign", "a"], "--explain, --sign and --ts go together"),
        (["--body-file", "/no/such/file"], "does not exist"),
        (["--algorithm", "sha1"], "'sha1' is not one of"),
        (["--access-key", "\udcff"], "must be UTF-8"),
        (["--access-secret", "se\udcffcret"], "must be UTF-8"),
    ],
)
def test_sign_refuses_wrong_usage(run_anywhere: Run, arguments: list[str], text: str) -> None:
    done = run_anywhere(*REQUEST, *arguments, code=2)
    assert text in done.err
    assert "cret\n" not in done.err
    assert done.out == ""


def test_explain_needs_ts(run_anywhere: Run) -> None:
    done = run_anywhere("sign", "--action", "a", "--explain", "--sign", "0", code=2)
    assert "--explain, --sign and --ts go together" in done.err


def test_secret_from_stdin_must_be_utf_8(run_anywhere: Run) -> None:
    done = run_anywhere(*REQUEST, "--access-secret", "-", stdin=b"\xff", code=2)
    assert "must be UTF-8" in done.err


@pytest.mark.parametrize("name", ["OPENPNS_ACCESS_KEY", "OPENPNS_ACCESS_SECRET"])
def test_missing_key_or_secret_names_option_and_variable(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    assert f"(env var: '{name}')" in run_anywhere(*REQUEST, code=2).err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--ts", "1655710885"], "ts is not a time in ms"),
        (["--biz-type", "1"], "bizType is not 5"),
        (["--access-secret", "a-secret "], "the secret has white space"),
        (["--body", "{}\n"], "the body has white space"),
        (["--body", "\ufeff{}"], "byte order mark"),
    ],
)
def test_hints_are_printed_on_stderr(run_anywhere: Run, arguments: list[str], hint: str) -> None:
    done = run_anywhere(*REQUEST, *arguments)
    assert done.err.startswith("hint: ")
    assert hint in done.err
    assert hint not in done.out


def test_explain_reports_a_match(run_anywhere: Run) -> None:
    done = run_anywhere(*REQUEST, "--body", BODY, "--explain", "--sign", f" {signature()}\n")
    assert done.out.splitlines() == [
        "the signature matches",
        f"text to sign  {HEAD}&body={BODY}&accessSecret=***",
    ]
    done = run_anywhere(*REQUEST, "--body", BODY, "--explain", "--sign", signature(), "--json")
    assert done.json["matches"] is True
    assert done.json["causes"] == []


def test_explain_prints_a_mistake_with_its_fix_and_exits_with_4(run_anywhere: Run) -> None:
    wrong = signature(b'{"limit": 3, "offset": 0}')
    line = (
        "1. the signed body has other white space than the sent one (signed with a space after "
        "each comma and colon, as Python writes it). Encode the data once; sign these bytes and "
        "send the same bytes."
    )
    done = run_anywhere(*REQUEST, "--body", BODY, "--explain", "--sign", wrong, code=4)
    assert done.out.splitlines() == [
        "the signature does not match",
        f"text to sign  {HEAD}&body={BODY}&accessSecret=***",
        f"sign          {signature()}",
        "",
        line,
        f'   what was signed: {HEAD}&body={{"limit": 3, "offset": 0}}&accessSecret=***',
    ]
    assert done.err == ""


def test_explain_prints_two_mistakes_in_one_line(run_anywhere: Run) -> None:
    wrong = signature(b"", SECRET + "\n").upper()
    done = run_anywhere(*REQUEST, "--body", BODY, "--explain", "--sign", wrong, code=4)
    (line,) = [line for line in done.out.splitlines() if line.startswith("1. ")]
    assert line.startswith("1. 3 mistakes at once: the signature is in upper-case hex; ")
    assert "the body is not in the text (signed without &body=)" in line
    assert "\n2. " not in done.out


def test_explain_escapes_invisible_characters(run_anywhere: Run) -> None:
    wrong = signature(b"\xef\xbb\xbf{}")
    done = run_anywhere(*REQUEST, "--body", "{}", "--explain", "--sign", wrong, code=4)
    assert "&body=\\ufeff{}&" in done.out


def test_explain_json_names_each_mistake(run_anywhere: Run) -> None:
    wrong = signature(algorithm="sha256")
    done = run_anywhere(*REQUEST, "--body", BODY, "--explain", "--sign", wrong, "--json", code=4)
    assert done.json["matches"] is False
    assert done.json["right"]["sign"] == signature()
    (cause,) = done.json["causes"]
    (mistake,) = cause["mistakes"]
    assert mistake["name"] == "other-algorithm"
    assert mistake["fix"].startswith("Send the matching header algorithm")
    assert done.json["complete"] is True


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ("0" * 32, "most likely another secret, body or header value"),
        ("0" * 64, "its form shows: the digest is not the one that the header algorithm names"),
        ("F" * 32, "its form shows: the signature is in upper-case hex"),
        ("hello", "it does not look like a hex digest"),
    ],
)
def test_explain_without_cause_says_so(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch, wrong: str, text: str
) -> None:
    monkeypatch.setattr(search, "VARIANTS_IN_PAIR_MAX", 2)  # for speed
    done = run_anywhere(*REQUEST, "--explain", "--sign", wrong, code=4)
    assert text in done.out
    assert "no known mistake explains it" in done.out
    assert "not everything was tried" not in done.out


def test_explain_reports_an_incomplete_search(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "TEXT_BYTES_MAX", 1000)
    done = run_anywhere(*REQUEST, "--body", BODY, "--explain", "--sign", "0" * 32, code=4)
    assert "not everything was tried" in done.out


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize("secret", [SECRET, f" {SECRET}\n", "s&=+%é secret"])
def test_sign_never_prints_the_secret(run_anywhere: Run, secret: str, form: list[str]) -> None:
    arguments = (*REQUEST, "--access-secret", secret, "--body", f'"{secret}"', *form)
    body = f'"{secret}"'.encode()
    shown = [run_anywhere(*arguments)]
    for other in (signature(body, secret), signature(body, KEY), signature(b"", secret), "x" * 32):
        code = 0 if other == signature(body, secret) else 4
        shown.append(run_anywhere(*arguments, "--explain", "--sign", other, code=code))
    for done in shown:
        assert secret.strip() not in done.out + done.err


def test_sign_works_without_the_servers_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extra = [
        line.split(">")[0].replace("-", "_") for line in project["optional-dependencies"]["server"]
    ]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({extra!r}))\n"
        "from openpns.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *REQUEST, "--body", BODY],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith(f"sign          {signature()}\n")


HMAC = ("--algorithm", "hmac-sha256", "--host", "PNS.test:8080", "--nonce", "q0X3c9-Vb_7Kd2Lz")


def test_sign_prints_the_text_and_signature_of_hmac(run_anywhere: Run) -> None:
    done = run_anywhere(*REQUEST, *HMAC, "--body", BODY)
    digest = hashlib.sha256(BODY.encode()).hexdigest()
    lines = ["OPENPNS-HMAC-SHA256", "POST", "pns.test:8080", "/api/pns/", "application/json"]
    lines += [KEY, "listGroup", "5", TS, "q0X3c9-Vb_7Kd2Lz", digest]
    text = "\n".join(lines)
    signed = hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()
    assert done.out == (
        f"text to sign  {text}\nts            {TS}\nnonce         q0X3c9-Vb_7Kd2Lz\n"
        f"sign          {signed}\n"
    )
    assert done.err == ""
    found = run_anywhere(*REQUEST, *HMAC, "--body", BODY, "--json").json
    assert (found["text"], found["sign"]) == (text, signed)
    assert [found[name] for name in ("algorithm", "host", "path", "contentType", "nonce")] == [
        *("hmac-sha256", "PNS.test:8080", "/api/pns/", "application/json", "q0X3c9-Vb_7Kd2Lz")
    ]


def test_sign_draws_a_nonce_for_hmac(run_anywhere: Run) -> None:
    nonces = {run_anywhere(*REQUEST, *HMAC[:4], "--json").json["nonce"] for _ in range(2)}
    assert len(nonces) == 2
    assert all(16 <= len(nonce) <= 64 for nonce in nonces)


def test_explain_knows_hmac(run_anywhere: Run) -> None:
    right = run_anywhere(*REQUEST, *HMAC, "--body", BODY, "--json").json["sign"]
    explain = ("--explain", "--sign", right, "--body", BODY)
    assert "the signature matches" in run_anywhere(*REQUEST, *HMAC, *explain).out
    done = run_anywhere(*REQUEST, *HMAC, *explain, "--content-type", "", code=4)
    assert "the signed Content-Type is not the sent one (signed as application/json)" in done.out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--nonce", "a"], "--nonce, --host, --path and --content-type need --algorithm"),
        (["--path", "/"], "need --algorithm hmac-sha256"),
        (["--algorithm", "hmac-sha256"], "hmac-sha256 needs --host"),
        ([*HMAC[:4], "--explain", "--sign", "00"], "with --explain also --nonce"),
    ],
)
def test_sign_refuses_options_that_do_not_fit(
    run_anywhere: Run, arguments: list[str], text: str
) -> None:
    assert text in run_anywhere(*REQUEST, *arguments, code=2).err


def test_sign_hints_at_a_malformed_nonce(run_anywhere: Run) -> None:
    done = run_anywhere(*REQUEST, *HMAC, "--nonce", "short")
    assert "nonce must have 16 to 64 letters" in done.err
