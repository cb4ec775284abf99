import ssl
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.certificates import write_certificate

from openpns.client.route import find_proxy, http_options, parse_url, tls_context
from openpns.errors import ConfigError

HTTP = httpx2.URL("http://pns.example.com:8080/api/pns/")
HTTPS = httpx2.URL("https://pns.example.com/api/pns/")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies and certificates."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return monkeypatch


def found(url: httpx2.URL) -> str | None:
    proxy = find_proxy(url)
    return proxy and str(proxy.url)


@pytest.mark.parametrize(
    ("variables", "of_http", "of_https"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": "http://a:1"}, "http://a:1", None),
        ({"http_proxy": "a:1"}, "http://a:1", None),
        ({"HTTPS_PROXY": "https://a"}, None, "https://a"),
        ({"ALL_PROXY": "http://a:1"}, "http://a:1", "http://a:1"),
        ({"ALL_PROXY": "http://a:1", "https_proxy": "b:2"}, "http://a:1", "http://b:2"),
        ({"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:2"}, "http://b:2", None),
        ({"HTTP_PROXY": ""}, None, None),
        ({"FTP_PROXY": "nonsense", "HTTPS_PROXY": "socks://a"}, None, "error"),
    ],
)
def test_proxy_is_that_of_the_scheme(
    environment: pytest.MonkeyPatch,
    variables: dict[str, str],
    of_http: str | None,
    of_https: str | None,
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    for url, expected in ((HTTP, of_http), (HTTPS, of_https)):
        if expected == "error":
            with pytest.raises(ConfigError):
                find_proxy(url)
        else:
            assert found(url) == expected


def test_proxy_keeps_a_password(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ALL_PROXY", "http://user:p@ss%2F@a:1")
    proxy = find_proxy(HTTP)
    assert proxy is not None
    assert (str(proxy.url), proxy.auth) == ("http://a:1", ("user", "p@ss/"))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("socks://a:1", "socks:// is no kind of proxy; allowed are http, https, socks5, socks5h"),
        ("socks5://a:1", "a SOCKS proxy needs the package socksio"),
        ("\x1b[2J://a", "\ufffd[2j:// is no kind of proxy"),
        ("http://a:port", "it is not a URL such as"),
        ("http://a:99999", "it is not a URL such as"),
        ("http://", "it is not a URL such as"),
        ("http://[::1", "it is not a URL such as"),
        ("http://a\x00b", "it is not a URL such as"),
    ],
)
@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"])
def test_wrong_proxy_names_its_variable(
    environment: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    if "\x00" in value:  # cannot be in an environment, but in the settings of a system
        environment.setattr("openpns.client.route.getproxies", lambda: {"all": value})
        name = "the system's all proxy"
    else:
        environment.setenv(name, value.replace("//a", "//user:hunter22@a"))
    with pytest.raises(ConfigError) as raised:
        find_proxy(HTTP)
    assert str(raised.value).startswith(f"{name}: {problem}")
    assert "set NO_PROXY=pns.example.com" in str(raised.value)
    assert "hunter22" not in str(raised.value)
    environment.setenv("NO_PROXY", "pns.example.com")
    if "\x00" not in value:
        assert find_proxy(HTTP) is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_matched"),
    [
        ("*", "http://a.test", True),
        ("b.test, *", "http://a.test", True),
        ("a.test", "http://a.test", True),
        ("A.TEST", "http://a.test", True),
        ("a.test", "http://A.test", True),
        ("test", "http://a.test", True),
        (".test", "http://a.test", True),
        ("*.test", "http://a.test", True),
        (".a.test", "http://a.test", False),
        ("*.a.test", "http://a.test", False),
        ("a.test", "http://ba.test", False),
        ("a.test.example", "http://a.test", False),
        ("a.test:80", "http://a.test", True),
        ("a.test:8080", "http://a.test", False),
        ("a.test:8080", "http://a.test:8080", True),
        ("http://a.test", "http://a.test", True),
        ("https://a.test", "http://a.test", False),
        ("all://a.test", "http://a.test", True),
        ("127.0.0.1", "http://127.0.0.1:8080", True),
        ("127.0.0.0/8", "http://127.0.0.1:8080", True),
        ("10.0.0.0/8", "http://127.0.0.1:8080", False),
        ("::1", "http://[::1]:8080", True),
        ("[::1]", "http://[::1]:8080", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("[::1]:8081", "http://[::1]:8080", False),
        ("fd00::/8", "http://[fd00::1]", True),
        ("localhost", "http://localhost", True),
        ("localhost", "http://a.localhost", False),
        ("", "http://a.test", False),
        (" , ", "http://a.test", False),
        ("10.0.0.0/99", "http://10.0.0.1", False),
        ("bücher.test", "http://bücher.test", True),
    ],
)
def test_no_proxy_matches(
    environment: pytest.MonkeyPatch, no_proxy: str, url: str, is_matched: bool
) -> None:
    environment.setenv("ALL_PROXY", "http://proxy:3128")
    environment.setenv("NO_PROXY", no_proxy)
    assert (find_proxy(httpx2.URL(url)) is None) == is_matched


def test_plain_http_reads_no_certificates(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SSL_CERT_FILE", "/nothing")
    assert http_options(HTTP)["verify"].verify_mode == ssl.CERT_REQUIRED
    for name, value, url in (
        ("https_proxy", "http://a:1", HTTPS),
        ("http_proxy", "https://a:1", HTTP),
    ):
        environment.setenv(name, value)
        with pytest.raises(ConfigError, match=r"^SSL_CERT_FILE: cannot read it"):
            http_options(url)


def test_proxy_with_tls_uses_the_certificates(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("http_proxy", "https://a:1")
    options = http_options(HTTP)
    assert options["proxy"].ssl_context is options["verify"]
    assert options["verify"].cert_store_stats()["x509_ca"] >= 0


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"SSL_CERT_FILE": "nothing"}, r"SSL_CERT_FILE: cannot read it \(No such file"),
        ({"SSL_CERT_FILE": "."}, r"SSL_CERT_FILE: cannot read it \(Is a directory"),
        ({"SSL_CERT_FILE": "text"}, "SSL_CERT_FILE: it contains no certificates"),
        ({"SSL_CERT_FILE": "empty"}, "SSL_CERT_FILE: it contains no certificates"),
        ({"SSL_CERT_DIR": "nothing"}, r"SSL_CERT_DIR: cannot read it \(No such file"),
        ({"SSL_CERT_DIR": "text"}, r"SSL_CERT_DIR: cannot read it \(Not a directory"),
        ({"SSL_CERT_FILE": "nothing", "SSL_CERT_DIR": "."}, "SSL_CERT_FILE: cannot read it"),
    ],
)
def test_wrong_certificates_name_their_variable(
    environment: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], problem: str
) -> None:
    (tmp_path / "text").write_text("no certificate")
    (tmp_path / "empty").touch()
    for name, value in variables.items():
        environment.setenv(name, str(tmp_path / value))
    with pytest.raises(ConfigError, match=f"^{problem}"):
        tls_context()


def test_certificates_of_the_environment_are_trusted(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("SSL_CERT_FILE", str(write_certificate(tmp_path)[0]))
    environment.setenv("SSL_CERT_DIR", "/nothing")
    assert tls_context().cert_store_stats()["x509_ca"] == 1


def test_url_that_httpx2_cannot_use_is_an_error() -> None:
    assert parse_url("https://pns.test/") == httpx2.URL("https://pns.test/")
    with pytest.raises(ConfigError, match=r"^base_url: Invalid IDNA hostname"):
        parse_url("http://xn--\xe4.test")


def test_no_netrc_is_read(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine pns.test login user password hunter22")
    environment.setenv("NETRC", str(file))
    environment.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(file.read_text())
    sent: list[Any] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.headers)
        return httpx2.Response(200)

    transport = httpx2.MockTransport(handle)
    with httpx2.Client(transport=transport, **http_options(None)) as http:
        http.get("https://pns.test")
    assert "authorization" not in sent[0]
