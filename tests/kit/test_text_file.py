import pytest

from openpns.kit.text_file import decode_text, parse_toml


@pytest.mark.parametrize("content", [b"a\n", b"\xef\xbb\xbfa\n"])
def test_decode_text_accepts_a_byte_order_mark(content: bytes) -> None:
    assert decode_text(content) == ("a\n", None)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("é".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("é".encode("utf-16-be"), "line 1: is not UTF-8"),
        ("\ufeffé".encode("utf-16-be"), "is UTF-16; save it as UTF-8"),
        ("a\né".encode("latin-1"), "line 2: is not UTF-8"),
        ("号码".encode("gbk"), "line 1: is not UTF-8"),
    ],
)
def test_decode_text_names_the_encoding_or_the_line(content: bytes, problem: str) -> None:
    assert decode_text(content) == ("", problem)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_parse_toml_accepts_what_editors_write(mark: bytes, end: bytes) -> None:
    assert parse_toml(mark + b"a = 1" + end + b"b = 'x'" + end) == ({"a": 1, "b": "x"}, None)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = 1\nport = 18x\n", "line 2, column 10"),
        ("a = hunter22", "line 1, column 5"),
        ("a = 'hunter22", "end of document"),
        ("a = " + "[" * 20_000, "a value"),
    ],
)
def test_parse_toml_names_the_place_and_shows_no_value(text: str, place: str) -> None:
    values, problem = parse_toml(text.encode())
    assert values == {}
    assert problem is not None
    assert problem.startswith(f"{place}: not TOML; allowed are")
    assert "hunter22" not in problem
