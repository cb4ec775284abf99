import pytest
from tests.cli.listen.conftest import Target
from tests.processes import free_port

from openpns.cli.listen import forwarding
from openpns.cli.listen.forwarding import Answer, Forwarder
from openpns.errors import ConfigError

HEADERS = [
    ("Host", "pns.example.com"),
    ("Webhook-Id", "msg_1"),
    ("Webhook-Signature", "v1,a v1,b"),
    ("Content-Type", "application/json"),
    ("Content-Length", "99"),
    ("Connection", "keep-alive"),
    ("X-Twice", "1"),
    ("X-Twice", "2"),
    ("X-Latin", "caf\xe9"),
]


def test_body_and_headers_arrive_byte_for_byte(target: Target) -> None:
    forwarder = Forwarder(target.url)
    body = b' {"a": "\xe9"}\n'
    assert forwarder.send(body, HEADERS) == Answer(202, "forwarded: 202")
    ((path, headers, received),) = target.received
    assert path == "/webhook?a=1"
    assert received == body
    host = target.url.split("/")[2]
    assert [(name.lower(), value) for name, value in headers] == [
        ("host", host),
        ("webhook-id", "msg_1"),
        ("webhook-signature", "v1,a v1,b"),
        ("content-type", "application/json"),
        ("x-twice", "1"),
        ("x-twice", "2"),
        ("x-latin", "caf\xe9"),
        ("content-length", str(len(body))),
    ]
    forwarder.close()


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (410, {}, Answer(410, "forwarded: 410")),
        (503, {"Retry-After": "120"}, Answer(503, "forwarded: 503", "120")),
        (503, {"Retry-After": "x" * 100}, Answer(503, "forwarded: 503")),
        (302, {"Location": "http://127.0.0.1:1/"}, Answer(302, "forwarded: 302")),
        (
            700,
            {},
            Answer(502, "the forward URL answered with a status that HTTP does not have"),
        ),
    ],
)
def test_status_and_retry_after_are_those_of_the_url(
    target: Target, status: int, headers: dict[str, str], expected: Answer
) -> None:
    target.status, target.headers = status, headers
    forwarder = Forwarder(target.url)
    assert forwarder.send(b"{}", HEADERS) == expected
    assert len(target.received) == 1
    forwarder.close()


def test_url_that_does_not_answer_is_502(target: Target) -> None:
    unreachable = Forwarder(f"http://127.0.0.1:{free_port()}/")
    assert unreachable.send(b"{}", []) == Answer(502, "the forward URL cannot be reached")
    target.raw = b""
    lost = Forwarder(target.url)
    assert lost.send(b"{}", []) == Answer(502, "the connection to the forward URL was lost")
    target.raw = b"SSH-2.0\r\n"
    assert lost.send(b"{}", []) == Answer(502, "the connection to the forward URL was lost")


def test_header_that_http_does_not_have_is_502(target: Target) -> None:
    forwarder = Forwarder(target.url)
    found = forwarder.send(b"{}", [("X-Folded", "a\r\n b")])
    assert found == Answer(502, "the connection to the forward URL was lost")


def test_url_that_is_too_slow_is_502(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "_TIMEOUT_S", 0.05)
    target.raw = b""  # it is not asked: its listening socket accepts and says nothing
    target.server.shutdown()
    forwarder = Forwarder(target.url)
    assert forwarder.send(b"{}", []).text == "the forward URL did not answer within 0 s"


@pytest.mark.parametrize(
    ("url", "is_exposed"),
    [
        ("http://127.0.0.1:8000/", False),
        ("http://[::1]:8000/", False),
        ("http://localhost/", False),
        ("http://web.localhost/", False),
        ("https://example.com/", False),
        ("http://example.com/", True),
        ("http://192.0.2.1/", True),
    ],
)
def test_plain_http_to_another_machine_is_exposed(url: str, is_exposed: bool) -> None:
    assert Forwarder(url).is_exposed == is_exposed


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://a/", "http:///a", "http://u:hunter22@a/", "http://a:x/"]
)
def test_url_that_cannot_be_used_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^--forward: not a URL that can be used; allowed ") as e:
        Forwarder(url)
    assert "hunter22" not in str(e.value)
