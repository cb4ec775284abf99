import pytest

from openpns.deliveries.urls import parse_url, shown
from openpns.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "target"),
    [
        ("https://example.com", b"example.com", b"/"),
        ("https://EXAMPLE.com:8443/a/b?c=d", b"example.com", b"/a/b?c=d"),
        ("https://exämple.com/é", b"xn--exmple-cua.com", b"/%C3%A9"),
        ("https://hooks_1.a-b.example.com/x", b"hooks_1.a-b.example.com", b"/x"),
        ("https://192.0.2.7/x", b"192.0.2.7", b"/x"),
        ("https://[2001:db8::1]:444/x", b"2001:db8::1", b"/x"),
        ("https://localhost/x", b"localhost", b"/x"),
    ],
)
def test_parse_url_returns_what_is_connected_to(text: str, host: bytes, target: bytes) -> None:
    url = parse_url(text, http_allowed=False)
    assert (url.raw_host, url.raw_path) == (host, target)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://example.com/", "its scheme must be https (webhook_http_allowed allows http)"),
        ("ftp://example.com/", "its scheme must be https"),
        ("example.com/hook", "its scheme must be https"),
        ("//example.com/hook", "its scheme must be https"),
        ("", "its scheme must be https"),
        ("https:///hook", "its host is neither a name nor an IP address"),
        ("https://geheim:geheim@example.com/", "must have no user and password"),
        ("https://geheim@example.com/", "must have no user and password"),
        ("https://example.com/#geheim", "must have no fragment"),
        ("https://example.com:0/geheim", "its port must be from 1 to 65535"),
        ("https://example.com:65536/geheim", "its port must be from 1 to 65535"),
        ("https://example.com:geheim/", "is not a URL"),
        ("https://example.com./geheim", "its host must not end with a dot"),
        ("https://2130706433/", "its host is a number, but not an IP address"),
        ("https://0x7f000001/", "its host is a number, but not an IP address"),
        ("https://0x7f.0.0.1/", "its host is a number, but not an IP address"),
        ("https://017700000001/", "its host is a number, but not an IP address"),
        ("https://0177.0.0.1/", ""),
        ("https://127.1/", "its host is a number, but not an IP address"),
        ("https://example.0x/", "its host is a number, but not an IP address"),
        ("https://256.1.1.1/", ""),
        ("https://1.2.3.4./", ""),
        ("https://１２７.0.0.1/", "is not a URL"),
        ("https://[fe80::1%25eth0]/", "its host must have no zone"),
        ("https://[fe80::1%eth0]/", ""),
        ("https://[::1/", ""),
        ("https://a..example.com/", "its host is neither a name nor an IP address"),
        ("https://-a.example.com/", "its host is neither a name nor an IP address"),
        ("https://a%2eb/", "its host is neither a name nor an IP address"),
        (f"https://{'a' * 64}.com/", ""),
        (f"https://{'a.' * 130}com/", "its host is neither a name nor an IP address"),
        ("https://exam ple.com/", "has a space or a control character"),
        (" https://example.com/", "has a space or a control character"),
        ("https://example.com/a\nb", "has a space or a control character"),
        ("https://example.com/\x00", "has a space or a control character"),
        ("https://example.com\\@127.0.0.1/", "has a backslash"),
        (f"https://example.com/{'a' * 2048}", "has more than 2048 characters"),
    ],
)
def test_parse_url_refuses_what_programs_read_differently(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_url(text, http_allowed=False)
    assert str(error.value).startswith(f"url: {why}")
    assert "allowed is a URL such as https://example.com/hook" in str(error.value)
    assert "geheim" not in str(error.value)


def test_parse_url_allows_http_only_if_it_is_told_to() -> None:
    assert parse_url("http://example.com/", http_allowed=True).scheme == "http"
    with pytest.raises(ConfigError, match="its scheme must be http or https;"):
        parse_url("ws://example.com/", http_allowed=True)


def test_shown_has_no_user_query_and_fragment() -> None:
    assert shown("https://u:geheim@example.com:444/a?b=geheim#geheim") == (
        "https://example.com:444/a?…"
    )
    assert shown("https://example.com/a") == "https://example.com/a"
    assert shown("https://a b:geheim/") == "…"
