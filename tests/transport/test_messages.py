import pytest

from openpns.transport.messages import Reply, Request


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/api/pns/", "/api/pns/"),
        (b"/api/pns/?x=1?y", "/api/pns/"),
        (b"/api%2Fpns/", "/api/pns/"),
        (b"//api/pns/", "//api/pns/"),
        (b"http://host/api/pns/?x", "/api/pns/"),
        (b"*", "*"),
        (b"http://[/x", ""),
    ],
)
def test_path_is_the_target_without_query_and_decoded(target: bytes, path: str) -> None:
    assert Request(b"GET", target, {}, [], 0.0).path == path


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/api%2Fpns/?x=1?y", b"/api%2Fpns/"),
        (b"//api/pns/", b"//api/pns/"),
        (b"http://host/api/pns/?x", b"/api/pns/"),
        (b"http://[/x", b""),
        (b"http://host/\xff", b""),
    ],
)
def test_raw_path_is_the_target_without_query(target: bytes, path: bytes) -> None:
    assert Request(b"GET", target, {}, [], 0.0).raw_path == path


def test_repr_shows_neither_headers_nor_body() -> None:
    shown = repr(Request(b"POST", b"/", {b"sign": b"abcdef"}, [], 0.0, b"85211111114"))
    shown += repr(Reply(200, b"", (b"85211111114",)))
    assert "abcdef" not in shown
    assert "85211111114" not in shown
