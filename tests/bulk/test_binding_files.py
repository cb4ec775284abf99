"""Files of bindings."""

import io
import json

import pytest

from openpns.bindings.transfer import BindingRow
from openpns.bulk.binding_files import read_rows, write_row

A, B, X = "85211111111", "85222222222", "85290000001"
ID = "0" * 32
NOW_MS = 1_700_000_000_000
AXB = {"kind": "axb", "bindId": ID, "did": X, "phoneA": A, "phoneB": B}


def read(content: bytes) -> tuple[list[tuple[int, BindingRow]], list[tuple[int, str]]]:
    bad: list[tuple[int, str]] = []
    rows = [*read_rows(io.BytesIO(content), NOW_MS, lambda line, why: bad.append((line, why)))]
    return rows, bad


def test_what_is_written_is_read() -> None:
    rows = [
        BindingRow("axb", ID, X, A, B, customer_bind_id="订单", flag=1, expire_at=5),
        BindingRow("extension", "B_z-" * 16, X, A, extension="042", expire_at=2_015_360_000),
        BindingRow("axg", ID, X, A, group_id=ID),
    ]
    out = io.StringIO()
    for row in rows:
        write_row(out, row)
    content = b"\xef\xbb\xbf" + out.getvalue().encode() + b"\n"
    assert read(content) == ([*enumerate(rows, 1)], [])


def test_phones_are_read_as_people_write_them() -> None:
    ((_, row),), _ = read(json.dumps(AXB | {"phoneA": f" +{A}", "did": f"+{X}"}).encode())
    assert (row.phone_a, row.did) == (A, X)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"kind": "axx"}, "kind must be one of"),
        ({"kind": 5}, "not a binding"),
        ({"bindId": ""}, "bindId must be 1 to 64"),
        ({"phoneB": ""}, "axb a phoneB"),
        ({"groupId": ID}, "axg needs a groupId"),
        ({"kind": "axg"}, "axg needs a groupId"),
        ({"kind": "extension"}, "three digits"),
        ({"extension": "042"}, "three digits"),
        ({"kind": "extension", "extension": "42"}, "three digits"),
        ({"flag": 2}, "flag must be 0 or 1"),
        ({"expireAt": -1}, "expireAt must be 0"),
        ({"expireAt": 1_700_000_000 + 315_360_001}, "expireAt must be 0"),
        ({"bindId": "x" * 65}, "bindId must be 1 to 64"),
        ({"bindId": "a b"}, "bindId must be 1 to 64"),
        ({"bindId": "a\n"}, "bindId must be 1 to 64"),
        ({"customerBindId": "x" * 129}, "customerBindId must be at most 128"),
        ({"customerBindId": "\x00"}, "customerBindId must be at most 128"),
        ({"phoneB": f"+{A}"}, "phoneA and phoneB must differ"),
        ({"phoneA": ""}, "phoneA is empty"),
        ({"phoneA": "8521"}, "phoneA must be 5 to 15 digits"),
        ({"did": "21099999999"}, "did must begin with an assigned country code"),
    ],
)
def test_bad_row_is_refused_with_its_line(fields: dict[str, object], why: str) -> None:
    content = b"\n" + json.dumps(AXB | fields).encode() + b"\n" + json.dumps(AXB).encode()
    rows, bad = read(content)
    assert [line for line, _ in rows] == [3]
    ((line, reason),) = bad
    assert line == 2
    assert why in reason
    assert A not in reason


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff", b"null"])
def test_line_that_is_no_object_is_refused(text: bytes) -> None:
    assert read(text)[1][0][1].startswith("not a binding; allowed is an object with kind")
