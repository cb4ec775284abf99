import pytest

from openpns.errors import MissingHeaders, ParameterError, TimestampExpired
from openpns.protocol.headers import host_in_url, read_headers

REQUIRED = {"accesskey": "accessKey", "action": "action", "biztype": "bizType", "ts": "ts"}


def _headers(**changed: str) -> list[tuple[str, str]]:
    headers = {"accesskey": "k", "action": "a", "biztype": "5", "ts": "1", "sign": "s"}
    return list((headers | changed).items())


def test_read_headers_names_every_missing_or_empty_header() -> None:
    with pytest.raises(MissingHeaders, match="accessKey, action, bizType, ts, sign"):
        read_headers([])
    with pytest.raises(MissingHeaders, match=r": bizType, sign$"):
        read_headers(_headers(biztype="", sign=""))


@pytest.mark.parametrize("name", REQUIRED)
def test_read_headers_refuses_a_repeated_header_by_name(name: str) -> None:
    with pytest.raises(ParameterError, match=f"{REQUIRED[name]} must be sent once"):
        read_headers([*_headers(), (name, "again")])


def test_read_headers_accepts_other_repeated_headers() -> None:
    headers = read_headers([*_headers(), ("accept", "a"), ("accept", "b")])
    assert headers.access_key == "k"


@pytest.mark.parametrize("ts", ["now", "-1", "1.5", "１", "1 ", "1" * 20])
def test_read_headers_refuses_a_ts_that_is_not_a_time(ts: str) -> None:
    with pytest.raises(TimestampExpired, match="in digits"):
        read_headers(_headers(ts=ts))


def test_read_headers_refuses_an_unknown_algorithm_and_takes_an_empty_one_as_md5() -> None:
    with pytest.raises(ParameterError, match="md5 or sha256"):
        read_headers(_headers(algorithm="sha1"))
    assert read_headers(_headers(algorithm="")).algorithm == "md5"


def test_host_in_url_brackets_ipv6_address() -> None:
    assert host_in_url("::1") == "[::1]"
    assert host_in_url("127.0.0.1") == "127.0.0.1"
