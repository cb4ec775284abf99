import json
import sys
from typing import Annotated, Any

import msgspec
import pytest

from openpns import limits
from openpns.api.registry import ACTIONS
from openpns.bindings.wire import BindAXB, BindAXBExtension, BindAXG
from openpns.errors import LimitOutOfRange, OffsetOutOfRange, ParameterError, WireError
from openpns.groups import wire
from openpns.protocol.fields import (
    BodyReader,
    RequestBody,
    describe,
    fields_of,
    integer,
    meaning,
    text,
)

NOT_AN_OBJECT = "the body must be one JSON object in UTF-8"
LIMIT = "an integer from 0 to 1000"
OFFSET = "an integer from 0 to 9223372036854775807"

list_reader = BodyReader(wire.ListGroup)
create_reader = BodyReader(wire.CreateGroup)


def refusal(reader: BodyReader[Any], body: bytes, content_type: str = "") -> WireError:
    """Return the error that a body raises."""
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
def test_read_ignores_unknown_fields(body: bytes) -> None:
    assert list_reader.read(body, None) == wire.ListGroup(10, 0)


@pytest.mark.parametrize(
    "body",
    [
        '{"limit":1,"limit":2,"offset":0}',
        '{"limit":1,"offset":0,"limit":1}',
        '{"limit":"x","limit":1,"offset":0}',
        '{"limit":1,"li\\u006dit":2,"offset":0}',
        '{"limit":1,"offset":0,"later":1,"later":{"a":[":"]}}',
        '{"limit":1,"offset":0,"groupName":null,"groupName":"a:b"}',
        '{"limit":1,"offset":0,"groupName":"a","groupName":"a:b"}',
        '{"limit":1,"offset":0,"a:b":1,"a:b":1}',
        '{"limit":1,"offset":0,"a\\u003ab":1,"limit":1}',
        '{"limit":1,"offset":0,"a\\u003ab":"a:b","limit":1}',
        '{"limit":1,"offset":0,"https:\\/\\/x":0,"https://x":0}',
    ],
)
def test_read_refuses_a_field_that_is_sent_twice(body: str) -> None:
    error = refusal(list_reader, body.encode())
    assert (error.code, error.detail) == (1002, "a field of the body is sent twice")


@pytest.mark.parametrize(
    "more",
    [
        '"groupName":"a:b:c"',
        '"later":{"a":1,"a":2},"more":[{"a":":"},{"a":":"}]',
        '"a:b":1,"c:d:e":{"a:b":":"}',
        '"a\\u003ab":"\\u003a"',
        '"a:\\u0062":0',
        '"https:\\/\\/x":0,"https:\\/\\/y":0',
        '"\\u00e4:\\u00fc":0',
        '"A:":0,"a:":0',
        '"later":' + "9" * 5000,
    ],
)
def test_read_accepts_colons_in_names_and_values(more: str) -> None:
    assert list_reader.read(f'{{"limit":1,"offset":0,{more}}}'.encode(), None).limit == 1


def test_read_accepts_null_and_looks_for_a_second_field_in_a_long_body() -> None:
    phones = ",".join(str(85211000000 + number) for number in range(100))
    body = f'{{"phones":"{phones}","remark":null,"clientToken":null'
    assert create_reader.read(f"{body}}}".encode(), None).phones == phones
    assert refusal(create_reader, f'{body},"phones":"{phones}"}}'.encode()).code == 1002


@pytest.mark.parametrize("name", ["k{}", "k:{}", "\\u003a{}"])
def test_read_bounds_the_fields_and_its_work_for_them(name: str) -> None:
    def body(count: int) -> bytes:
        more = "".join(f',"{name.format(number)}":0' for number in range(count - 2))
        return f'{{"limit":1,"offset":0{more}}}'.encode()

    assert list_reader.read(body(limits.BODY_FIELDS_MAX), None) == wire.ListGroup(1, 0)
    error = refusal(list_reader, body(limits.BODY_FIELDS_MAX + 1))
    assert (error.code, error.detail) == (1002, "the body may have at most 1000 fields")
    many = body(60_000)
    steps: list[str] = []
    sys.setprofile(lambda _frame, event, _argument: steps.append(event))
    try:
        with pytest.raises(ParameterError):
            list_reader.read(many, None)
    finally:
        sys.setprofile(None)
    assert len(steps) < 10 * limits.BODY_FIELDS_MAX


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
def test_read_refuses_body_that_is_not_utf_8_object(body: bytes) -> None:
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
def test_read_refuses_form(content_type: str) -> None:
    error = refusal(list_reader, b'{"limit":1,"offset":0}', content_type)
    assert (error.code, error.detail) == (
        1002,
        "the body must be JSON, sent with Content-Type application/json",
    )


@pytest.mark.parametrize("content_type", [None, "", "application/json", "text/plain", "nonsense"])
def test_read_takes_other_content_types_as_json(content_type: str | None) -> None:
    body = b'{"limit":1,"offset":0}'
    assert list_reader.read(body, content_type) == wire.ListGroup(1, 0)


@pytest.mark.parametrize("value", ["10.0", "1e2", "1.5", '"10"', "true", "null", "[]", "{}"])
def test_read_raises_parameter_error_for_other_type_than_integer(value: str) -> None:
    error = refusal(list_reader, f'{{"limit":{value},"offset":0}}'.encode())
    assert (type(error), error.detail) == (ParameterError, f"limit must be {LIMIT}")
    error = refusal(list_reader, f'{{"limit":0,"offset":{value}}}'.encode())
    assert (type(error), error.detail) == (ParameterError, f"offset must be {OFFSET}")


@pytest.mark.parametrize("value", ["-1", "1001", "9223372036854775808", "-" + "9" * 30])
def test_read_raises_limit_out_of_range(value: str) -> None:
    error = refusal(list_reader, f'{{"limit": {value} ,"offset":0}}'.encode())
    assert (type(error), error.detail) == (LimitOutOfRange, f"limit must be {LIMIT}")


@pytest.mark.parametrize("value", ["-1", "9223372036854775808", "9" * 30, "9" * 10_000])
def test_read_raises_offset_out_of_range(value: str) -> None:
    error = refusal(list_reader, f'{{"limit":0,"offset":{value}}}'.encode())
    assert (type(error), error.detail) == (OffsetOutOfRange, f"offset must be {OFFSET}")


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (1000, 2**63 - 1)])
def test_read_allows_both_ends_of_range(limit: int, offset: int) -> None:
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
def test_read_names_first_invalid_field_in_order_of_docs(body: bytes, detail: str) -> None:
    assert refusal(list_reader, body).detail == detail


@pytest.mark.parametrize("name", ["", "a" * 128, "牛" * 128, "😀" * 128, "a,b 'c' \"d\" \\ \u2028"])
def test_read_allows_any_unicode_name_within_bound(name: str) -> None:
    body = msgspec.json.encode({"phones": "85211111114", "groupName": name})
    assert create_reader.read(body, None).group_name == name


@pytest.mark.parametrize("name", ["a" * 129, "😀" * 129, "a\nb", "\x00", "\x7f", "a\x85", "b\n", 5])
def test_read_refuses_long_name_and_control_characters(name: object) -> None:
    error = refusal(create_reader, msgspec.json.encode({"phones": "1", "groupName": name}))
    assert (error.code, error.detail) == (
        1002,
        "groupName must be text of at most 128 characters without control characters",
    )


def test_read_refuses_lone_surrogate() -> None:
    error = refusal(create_reader, b'{"phones":"85211111114","groupName":"\\ud800"}')
    assert error.code == 1002


def test_read_error_hides_phones() -> None:
    error = refusal(create_reader, b'{"phones":85211111114}')
    assert error.detail == f"phones must be {wire.PHONES_ALLOWED}"
    assert "85211111114" not in error.msg


def test_read_names_invalid_field_after_missing_optional_field() -> None:
    error = refusal(create_reader, b'{"phones":"85211111114","remark":5}')
    assert error.detail.startswith("remark must be text of at most 512 characters")


STRUCTS = [
    struct
    for action in ACTIONS.values()
    for struct in (action.request, action.answer)
    if struct is not None
]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_wire_fields_have_meaning(struct: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(struct):
        assert meaning(field).endswith(".")
        assert describe(field)[0]


def test_describe_raises_for_field_without_description() -> None:
    class Careless(RequestBody, frozen=True):
        number: int

    (field,) = msgspec.structs.fields(Careless)
    with pytest.raises(TypeError, match="a field without a description"):
        describe(field)


def test_describe_handles_optional_field() -> None:
    class Both(RequestBody, frozen=True):
        much: Annotated[int, integer("How much.", 1, 5)]
        note: Annotated[str, text("A note.", 3)] | None = None

    much, note = msgspec.structs.fields(Both)
    assert describe(much) == ("an integer from 1 to 5", ParameterError)
    assert meaning(note) == "A note."
    reader = BodyReader(Both)
    assert reader.read(b'{"much":5,"note":null}', None) == Both(5)
    assert refusal(reader, b'{"much":5,"note":"long"}').detail.startswith("note must be text of")


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (b"{}", 10001, "phoneA is required"),
        (b'{"phoneA":null,"flag":"x"}', 10001, "phoneA is required"),
        (b'{"phoneA":" \\t","phoneB":1}', 10001, "phoneA is required"),
        (b'{"phoneA":1,"phoneB":""}', 10001, "phoneB is required"),
        (b'{"phoneA":1e400,"phoneB":"1","expireSecond":0}', 1002, "phoneA must be a phone"),
        (b'{"phoneA":[],"phoneB":"1","expireSecond":0}', 1002, "phoneA must be a phone"),
        (b'{"phoneA":"8521","phoneB":"8522"}', 1002, "phoneA must be 5 to 15 digits"),
        (b'{"phoneA":"85211","phoneB":"85222"}', 1002, "expireSecond is required"),
    ],
)
def test_read_refuses_blank_field_before_any_other(body: bytes, code: int, detail: str) -> None:
    error = refusal(BodyReader(BindAXB), body)
    assert (error.code, error.detail[: len(detail)]) == (code, detail)


@pytest.mark.parametrize(
    ("fields", "digits"),
    [
        (b'"extension":null,"Extension":"123"', (None, "123")),
        (b'"extension":"123","Extension":null', ("123", None)),
        (b'"Extension":"123"', (None, "123")),
    ],
)
def test_null_of_one_name_leaves_the_other(
    fields: bytes, digits: tuple[str | None, str | None]
) -> None:
    body = b'{"phoneA":"8521","phoneX":"8529","expireSecond":0,' + fields + b"}"
    read = BodyReader(BindAXBExtension).read(body, None)
    assert (read.extension, read.capital_extension) == digits


@pytest.mark.parametrize(
    "fields",
    [b"", b',"extension":null', b',"Extension":null', b',"Extension":null,"extension":null'],
)
def test_null_of_both_names_is_missing(fields: bytes) -> None:
    body = b'{"phoneA":"85211","phoneX":"85299","expireSecond":0' + fields + b"}"
    error = refusal(BodyReader(BindAXBExtension), body)
    assert error.detail == "extension is required: three digits, as text"


@pytest.mark.parametrize(
    ("struct", "fields"),
    [
        (BindAXB, "phoneA phoneB customerBindId flag expireSecond businessId dryRun"),
        (
            BindAXBExtension,
            "phoneA phoneB phoneX extension Extension customerBindId flag expireSecond dryRun",
        ),
        (
            BindAXG,
            "phoneA phoneX phoneB groupId customerBindId flag expireSecond businessId dryRun",
        ),
    ],
)
def test_read_names_the_first_wrong_field_in_the_order_of_the_table(
    struct: type[RequestBody], fields: str
) -> None:
    names = [*fields.split(), "clientToken"]
    assert [field.encode_name for field in fields_of(struct)] == names
    wrong: dict[str, Any] = {name: [] for name in names}
    phones = {"phoneA": "85211111111", "phoneB": "85222222222", "phoneX": "85290000001"}
    good = {"extension": "123", "Extension": "123", "expireSecond": 0, "flag": 0, "dryRun": True}
    reader = BodyReader(struct)
    for name in names:
        error = refusal(reader, json.dumps(wrong).encode())
        assert error.detail.startswith(name), error.detail
        if name in phones or name.lower() == "extension":
            error = refusal(reader, json.dumps(wrong | {name: "12x"}).encode())
            assert error.detail.startswith((name, "extension")), error.detail
        wrong[name] = (phones | good).get(name, "x")
