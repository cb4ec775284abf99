from typing import Annotated, Any

import msgspec
import pytest

from openpns.errors import LimitOutOfRange, OffsetOutOfRange, ParameterError, WireError
from openpns.groups import answers, wire
from openpns.protocol.fields import BodyReader, RequestBody, describe, integer, meaning, text

NOT_AN_OBJECT = "the body must be one JSON object in UTF-8"
LIMIT = "an integer from 0 to 1000"
OFFSET = "an integer from 0 to 9223372036854775807"

list_reader = BodyReader(wire.ListGroup)
create_reader = BodyReader(wire.CreateGroup)


def refusal(reader: BodyReader[Any], body: bytes, content_type: str = "") -> WireError:
    """Return what a body is refused with."""
    with pytest.raises(WireError) as caught:
        reader.read(body, content_type)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        b'{"limit":10,"offset":0}',
        b' \r\n{ "offset" : 0 , "limit" : 10 }\t',
        b'{"limit":10,"offset":-0}',
        '{"limit":10,"offset":0,"later":{"名":[1.5,null,true]}}'.encode(),
    ],
)
def test_a_good_body_is_read_and_unknown_fields_are_ignored(body: bytes) -> None:
    assert list_reader.read(body, None) == wire.ListGroup(10, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"limit":1,"offset":0}{}',
        b'{"limit":01,"offset":0}',
        b"limit=1&offset=0",
        b'\xef\xbb\xbf{"limit":1,"offset":0}',
        b'{"limit":1,"offset":0,"later":"\xff"}',
        b'{"limit":1,"offset":0,"later":' + b"[" * 100_000 + b"}",
    ],
)
def test_a_body_that_is_no_object_in_utf_8_is_refused(body: bytes) -> None:
    error = refusal(list_reader, body)
    assert (error.code, error.detail) == (1002, NOT_AN_OBJECT)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=x",
        "Multipart/Form-Data",
        "application/x-www-form-urlencoded",
        "APPLICATION/X-WWW-FORM-URLENCODED;charset=utf-8",
    ],
)
def test_a_form_is_refused_with_what_to_send(content_type: str) -> None:
    error = refusal(list_reader, b'{"limit":1,"offset":0}', content_type)
    assert (error.code, error.detail) == (
        1002,
        "the body must be JSON, sent with Content-Type application/json",
    )


@pytest.mark.parametrize("content_type", [None, "", "application/json", "text/plain", "nonsense"])
def test_any_other_content_type_is_taken_as_json(content_type: str | None) -> None:
    body = b'{"limit":1,"offset":0}'
    assert list_reader.read(body, content_type) == wire.ListGroup(1, 0)


@pytest.mark.parametrize("value", ["10.0", "1e2", "1.5", '"10"', "true", "null", "[]", "{}"])
def test_what_is_no_integer_is_1002(value: str) -> None:
    error = refusal(list_reader, f'{{"limit":{value},"offset":0}}'.encode())
    assert (type(error), error.detail) == (ParameterError, f"limit must be {LIMIT}")
    error = refusal(list_reader, f'{{"limit":0,"offset":{value}}}'.encode())
    assert (type(error), error.detail) == (ParameterError, f"offset must be {OFFSET}")


@pytest.mark.parametrize("value", ["-1", "1001", "9223372036854775808", "-" + "9" * 30])
def test_an_integer_limit_out_of_range_has_its_own_code(value: str) -> None:
    error = refusal(list_reader, f'{{"limit": {value} ,"offset":0}}'.encode())
    assert (type(error), error.detail) == (LimitOutOfRange, f"limit must be {LIMIT}")


@pytest.mark.parametrize("value", ["-1", "9223372036854775808", "9" * 30, "9" * 10_000])
def test_an_integer_offset_out_of_range_has_its_own_code(value: str) -> None:
    error = refusal(list_reader, f'{{"limit":0,"offset":{value}}}'.encode())
    assert (type(error), error.detail) == (OffsetOutOfRange, f"offset must be {OFFSET}")


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (1000, 2**63 - 1)])
def test_both_ends_of_a_range_are_allowed(limit: int, offset: int) -> None:
    body = f'{{"limit":{limit},"offset":{offset}}}'.encode()
    assert list_reader.read(body, None) == wire.ListGroup(limit, offset)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{}", f"limit is required: {LIMIT}"),
        (b'{"limit":1}', f"offset is required: {OFFSET}"),
        (b'{"offset":"x"}', f"limit is required: {LIMIT}"),
        (b'{"offset":"x","limit":-1}', f"limit must be {LIMIT}"),
        (b'{"offset":"x","limit":1}', f"offset must be {OFFSET}"),
    ],
)
def test_the_first_wrong_field_is_told_in_the_order_of_the_docs(body: bytes, detail: str) -> None:
    assert refusal(list_reader, body).detail == detail


@pytest.mark.parametrize("name", ["", "a" * 128, "牛" * 128, "😀" * 128, "a,b 'c' \"d\" \\ \u2028"])
def test_a_name_may_be_any_unicode_within_its_bound(name: str) -> None:
    body = msgspec.json.encode({"phones": "85211111114", "groupName": name})
    assert create_reader.read(body, None).groupName == name


@pytest.mark.parametrize("name", ["a" * 129, "😀" * 129, "a\nb", "\x00", "\x7f", "a\x85", "b\n", 5])
def test_a_long_name_or_one_with_control_characters_is_refused(name: object) -> None:
    error = refusal(create_reader, msgspec.json.encode({"phones": "1", "groupName": name}))
    assert (error.code, error.detail) == (
        1002,
        "groupName must be text of at most 128 characters without control characters",
    )


def test_half_a_character_is_refused() -> None:
    error = refusal(create_reader, b'{"phones":"85211111114","groupName":"\\ud800"}')
    assert error.code == 1002


def test_a_refused_number_is_not_repeated() -> None:
    error = refusal(create_reader, b'{"phones":85211111114}')
    assert error.detail == f"phones must be {wire.PHONES_ALLOWED}"
    assert "85211111114" not in error.msg


def test_the_same_field_twice_counts_as_its_last_and_must_be_right_twice() -> None:
    assert list_reader.read(b'{"limit":1,"offset":5,"limit":2}', None) == wire.ListGroup(2, 5)
    assert refusal(list_reader, b'{"limit":"x","offset":5,"limit":2}').code == 1002


def test_an_optional_field_that_is_missing_is_not_what_is_wrong() -> None:
    error = refusal(create_reader, b'{"phones":"85211111114","remark":5}')
    assert error.detail.startswith("remark must be text of at most 512 characters")


STRUCTS = [
    wire.ListGroup,
    wire.CreateGroup,
    wire.UpdateGroup,
    wire.DeleteGroup,
    answers.Group,
    answers.GroupPage,
    answers.GroupCreated,
]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_field_has_a_meaning_for_the_docs(struct: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(struct):
        assert meaning(field).endswith(".")
        assert describe(field)[0]


def test_a_field_without_a_description_is_a_mistake_that_shows_at_once() -> None:
    class Careless(RequestBody, frozen=True):
        number: int

    (field,) = msgspec.structs.fields(Careless)
    with pytest.raises(TypeError, match="a field without a description"):
        describe(field)


def test_an_optional_field_is_described_like_a_required_one() -> None:
    class Both(RequestBody, frozen=True):
        much: Annotated[int, integer("How much.", 1, 5)]
        note: Annotated[str, text("A note.", 3)] | None = None

    much, note = msgspec.structs.fields(Both)
    assert describe(much) == ("an integer from 1 to 5", ParameterError)
    assert meaning(note) == "A note."
    reader = BodyReader(Both)
    assert reader.read(b'{"much":5,"note":null}', None) == Both(5)
    assert refusal(reader, b'{"much":5,"note":"long"}').detail.startswith("note must be text of")
