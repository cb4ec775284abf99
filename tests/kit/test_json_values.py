import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpns.kit import json_values
from openpns.kit.json_values import JsonValuesError, RepeatedName, read_json_values

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def _values(text: str | bytes) -> list[object]:
    content = text if isinstance(text, bytes) else text.encode()
    return [value for _, value in read_json_values(io.BytesIO(content), 200_000)]


@given(st.lists(JSON, max_size=5), st.sampled_from([None, 0, 2]), st.booleans())
def test_read_json_values_returns_the_items_of_an_array(
    values: list[object], indent: int | None, is_ascii: bool
) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=is_ascii)
    assert _values(text) == values
    assert _values(f"\ufeff\n {text}\r\n") == values


@given(st.lists(st.dictionaries(st.text(max_size=3), JSON), min_size=1, max_size=4))
def test_read_json_values_returns_values_one_after_another(values: list[object]) -> None:
    assert _values("\n".join(json.dumps(value, indent=2) for value in values)) == values


@pytest.mark.parametrize("size", [1, 2, 7])
def test_read_json_values_reads_in_small_pieces(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(json_values, "_CHUNK_BYTES", size)
    values = [{"name": "销售😀"}, 1234567, "a", [1, [2]]]
    assert _values(json.dumps(values, ensure_ascii=False)) == values
    assert _values("12 34\n56") == [12, 34, 56]


def test_read_json_values_counts_lines() -> None:
    text = b'[\n  {"a": 1},\n\n  {\n    "b": 2\n  }\n]'
    assert [line for line, _ in read_json_values(io.BytesIO(text), 200_000)] == [2, 4]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (b"[1,\n2", 2, "has no end, or no comma"),
        (b"[1\n2]", 2, "has no end, or no comma"),
        (b"[1]\n2", 2, "something follows the array"),
        (b"[1,\n]", 2, "is not JSON"),
        (b'[\n{"a": 1', 2, "is not JSON"),
        (b'[\n{"a": x}]', 2, "is not JSON"),
        (b"[1,\n\xff]", 1, "is not UTF-8"),
        (b"[" * 100_000, 1, "is not JSON"),
    ],
)
def test_read_json_values_names_the_line(text: bytes, line: int, what: str) -> None:
    with pytest.raises(JsonValuesError, match=what) as caught:
        _values(text)
    assert caught.value.line == line


@pytest.mark.parametrize("value", [b'{"a": 1, "a": 1}', b'{"a": 1, "\\u0061": 2}'])
def test_object_with_a_name_twice_is_not_one_of_its_values(value: bytes) -> None:
    (found,) = _values(value)
    assert isinstance(found, RepeatedName)
    ((inner,),) = _values(b"[[" + value + b"]]")
    assert isinstance(inner, RepeatedName)


def test_value_that_is_too_long_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "_CHUNK_BYTES", 16)
    file = io.BytesIO(b'[1,\n"' + b"a" * 10_000 + b'"]')
    with pytest.raises(JsonValuesError, match="is no JSON of at most 100 characters") as caught:
        [*read_json_values(file, 100)]
    assert caught.value.line == 2
    assert file.tell() < 500
