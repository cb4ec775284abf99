import json
from pathlib import Path
from typing import Any

import pytest

from openpns.errors import MissingHeaders, ParameterError, TimestampExpired
from openpns.protocol.headers import hmac_headers, host_in_url, read_headers

REQUIRED = {b"accesskey": "accessKey", b"action": "action", b"biztype": "bizType", b"ts": "ts"}
VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "contract" / "signing_hmac.json").read_text("utf-8")
)


def _headers(**changed: bytes) -> dict[bytes, bytes]:
    headers = {"accesskey": b"k", "action": b"a", "biztype": b"5", "ts": b"1", "sign": b"s"}
    return {name.encode(): value for name, value in (headers | changed).items()}


def test_read_headers_names_every_missing_empty_or_non_ascii_header() -> None:
    with pytest.raises(MissingHeaders, match="accessKey, action, bizType, ts, sign"):
        read_headers({})
    with pytest.raises(MissingHeaders, match=r": bizType, sign$"):
        read_headers(_headers(biztype=b"", sign=b""))
    with pytest.raises(MissingHeaders, match=r": accessKey, sign$"):
        read_headers(_headers(accesskey="ü".encode(), sign=b"\xff"))


@pytest.mark.parametrize("name", REQUIRED)
def test_read_headers_refuses_a_repeated_header_by_name(name: bytes) -> None:
    with pytest.raises(ParameterError, match=f"{REQUIRED[name]} must be sent once"):
        read_headers(_headers(), [b"accept", name])


def test_read_headers_accepts_other_repeated_headers() -> None:
    assert read_headers(_headers(), [b"accept"]).access_key == "k"


@pytest.mark.parametrize("ts", [b"now", b"-1", b"1.5", b"1 ", b"1" * 20])
def test_read_headers_refuses_a_ts_that_is_not_a_time(ts: bytes) -> None:
    with pytest.raises(TimestampExpired, match="in digits"):
        read_headers(_headers(ts=ts))


def test_read_headers_refuses_an_unknown_algorithm_and_takes_an_empty_one_as_md5() -> None:
    with pytest.raises(ParameterError, match="md5, sha256 or hmac-sha256"):
        read_headers(_headers(algorithm=b"sha1"))
    assert read_headers(_headers(algorithm=b"")).algorithm == "md5"


def test_host_in_url_brackets_ipv6_address() -> None:
    assert host_in_url("::1") == "[::1]"
    assert host_in_url("127.0.0.1") == "127.0.0.1"


HMAC = {"algorithm": b"hmac-sha256", "nonce": b"q0X3c9-Vb_7Kd2Lz"}


def test_read_headers_demands_a_nonce_for_hmac_only() -> None:
    assert read_headers(_headers(**HMAC)).nonce == "q0X3c9-Vb_7Kd2Lz"
    assert read_headers(_headers(nonce=b"!")).nonce == ""
    for nonce in (b"", "ü".encode()):
        with pytest.raises(MissingHeaders, match=r": nonce$"):
            read_headers(_headers(**HMAC | {"nonce": nonce}), [b"ts"])
    with pytest.raises(MissingHeaders, match=r": sign, nonce$"):
        read_headers(_headers(algorithm=b"hmac-sha256", sign=b""))


@pytest.mark.parametrize("nonce", [b"a" * 15, b"a" * 65, b"a" * 15 + b"+", b"a" * 16 + b"\n"])
def test_read_headers_refuses_a_malformed_nonce(nonce: bytes) -> None:
    with pytest.raises(ParameterError, match="16 to 64 letters, digits, _ and -"):
        read_headers(_headers(**HMAC | {"nonce": nonce}))
    with pytest.raises(TimestampExpired):
        read_headers(_headers(**HMAC | {"nonce": nonce, "ts": b"now"}))


@pytest.mark.parametrize(("name", "shown"), [(b"nonce", "nonce"), (b"host", "Host")])
def test_read_headers_refuses_what_hmac_signs_twice_for_hmac_only(name: bytes, shown: str) -> None:
    with pytest.raises(ParameterError, match=f"the header {shown} must be sent once"):
        read_headers(_headers(**HMAC), [name])
    assert read_headers(_headers(), [name]).access_key == "k"


def test_hmac_headers_have_a_signature_of_what_is_sent() -> None:
    headers = hmac_headers(
        *("sixgqophrnv4", "listGroup", 1670479632933, "q0X3c9-Vb_7Kd2Lz"),
        *(b'{"limit":10,"offset":0}', "abciiiko2k3"),
        host="pns.example.com",
        path="/api/pns/",
    )
    assert headers.pop("sign") == VECTORS[0]["sign"]
    assert headers == {
        "accessKey": "sixgqophrnv4",
        "action": "listGroup",
        "bizType": "5",
        "ts": "1670479632933",
        "nonce": "q0X3c9-Vb_7Kd2Lz",
        "algorithm": "hmac-sha256",
        "Content-Type": "application/json",
        "Host": "pns.example.com",
    }
