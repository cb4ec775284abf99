import pytest

from openpns.errors import MissingHeaders, ParameterError, TimestampExpired
from openpns.protocol.headers import host_in_url, read_headers

REQUIRED = {b"accesskey": "accessKey", b"action": "action", b"biztype": "bizType", b"ts": "ts"}


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
    with pytest.raises(ParameterError, match="md5 or sha256"):
        read_headers(_headers(algorithm=b"sha1"))
    assert read_headers(_headers(algorithm=b"")).algorithm == "md5"


def test_host_in_url_brackets_ipv6_address() -> None:
    assert host_in_url("::1") == "[::1]"
    assert host_in_url("127.0.0.1") == "127.0.0.1"
