"""Bodies that no client sends on purpose: a list of known bad ones, and strategies for more."""

import json
from typing import Any

import msgspec
from hypothesis import strategies as st

from openpns import limits
from openpns.api.registry import ACTIONS

DID = "85290000001"
"""A virtual number of the customer that sends the bodies."""

GOOD_VALUES: dict[str, Any] = {
    "Extension": "123",
    "after": "deadbeef" * 4,
    "answerAt": 1,
    "at": 1,
    "bindId": "deadbeef" * 4,
    "businessId": "default",
    "callId": "1",
    "caller": "85222222222",
    "clientToken": "a token",
    "customerBindId": "order 1",
    "detail": True,
    "did": DID,
    "dryRun": False,
    "expireSecond": 0,
    "extension": "123",
    "flag": 1,
    "groupId": "deadbeef" * 4,
    "groupName": "g",
    "id": "1602262837283131392",
    "hangup": 1,
    "hangupAt": 2,
    "hangupCause": "NORMAL_CLEARING",
    "hangupCode": 16,
    "kind": "axb",
    "limit": 1,
    "offset": 0,
    "operateType": 0,
    "order": "newest",
    "phone": "85211111114",
    "phoneA": "85211111114",
    "phoneB": "85222222222",
    "phoneX": DID,
    "phones": "85211111114",
    "recordFile": "https://a.example/1.wav",
    "remark": "r",
    "since": 1,
    "startAt": 1,
    "state": "active",
    "until": 1,
}
"""A value that each field accepts, by its name; every field of every action is here."""

LEFT_OUT = {"after", "clientToken", "since"}
"""Fields that a good body does not have: they exclude others, or would make copies."""

FIELDS: dict[str, tuple[str, ...]] = {
    name: tuple(field.encode_name for field in msgspec.structs.fields(action.request))
    for name, action in ACTIONS.items()
}
"""The fields of every action."""

GOOD: dict[str, dict[str, Any]] = {
    name: {field: GOOD_VALUES[field] for field in fields if field not in LEFT_OUT}
    for name, fields in FIELDS.items()
}
"""A good body of every action."""

REFUSED = {
    *(1002, 10001, 10002, 10004, 10007, 10008, 10010, 10011, 10012, 10013),
    *(19001, 19002, 19007, 19008, 19009, 19011),
}
"""The codes that a bad body may get."""

BIND_DIGITS = {
    name: GOOD_VALUES[name] for name in ("phoneA", "phoneX", "extension", "expireSecond")
}
"""A body of bindAXBExtension: with its digits, no question counts wrong ones."""

DEEP = 100_000
DIGITS = "9" * 5000

# JSON, or nearly: the values of a field.
VALUES = [
    *("null", "true", "false", "0", "-0", "-1", "1.0", "1e0", "1e400", "-1E-400", "0x10", "01"),
    *("NaN", "Infinity", "-Infinity", "nan", "+1", ".5", "5.", "1_000", "1" * 20, str(2**63)),
    *(str(2**64), str(-(2**63)), DIGITS, f"-{DIGITS}", f"{DIGITS}.0", f"1e{DIGITS}", f"0.{DIGITS}"),
    *('""', '" "', '"0"', '","', '"+"', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d"'),
    *('"\\x"', '"\\u12"', '"\x00"', '"\n"', '"unfinished', "'single'", '"\\uFFFF"', '"\\u202e"'),
    *("[]", "{}", "[[]]", '{"limit":1}', "[1,]", '{"a":1,}', "// comment", "undefined", ""),
    *("[" * DEEP, "[" * DEEP + "]" * DEEP, '{"a":' * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP),
    *(f'"{"," * 100_000}"', f'"{"1," * 50_000}"', f'"{"9" * 100_000}"', f'"{"٣" * 20}"'),
    *('"85211111114,,85211111114"', '"８５２１１１１１１１４"', '"' + "\\u0031" * 15 + '"'),
]

BODIES = [
    *(b"", b" ", b"{", b"}", b"[]", b"null", b"1", b'"text"', b"{}{}", b"{},", b"{}\0", b"\0"),
    *(b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b"\xff", b'{"\xff":1}', b'{"a":"\xed\xa0\x80"}'),
    *(b'{"a":"\xc0\xaf"}', b'{"a":"\xf4\x90\x80\x80"}', b'{"a":"\xe2\x82"}', b"{'a':1}"),
    *(b"[" * DEEP, b'{"a":' * DEEP, b"[{" * DEEP, b'"' * DEEP, b"\\" * DEEP),
    b'{"a":1' + b',"a":1' * 50_000 + b"}",
    b"{" + b",".join(b'"%d":0' % number for number in range(50_000)) + b"}",
    b'{"' + b"k" * 500_000 + b'":1}',
    b" " * 500_000 + b"{}",
    b'{"phones":"' + b"," * (limits.BODY_BYTES_MAX - 13) + b'"}',
]

HUGE = [
    b'{"phones":"' + b"," * (limits.BODY_BYTES_MAX - 12) + b'"}',
    b"x" * (limits.BODY_BYTES_MAX + 1),
]
"""One byte over the bound."""


def object_of(fields: dict[str, str]) -> bytes:
    """Return an object whose values are JSON, or nearly, already."""
    members = ",".join(f"{json.dumps(name)}:{value}" for name, value in fields.items())
    return f"{{{members}}}".encode()


def bodies_of(action: str) -> list[bytes]:
    """Return every known bad body of an action: each field with each bad value, and others."""
    good = {name: json.dumps(value) for name, value in GOOD[action].items()}
    made = [object_of(good | {name: value}) for name in FIELDS[action] for value in VALUES]
    made += [object_of(good | {"unknown": value}) for value in VALUES]
    for name, value in good.items():
        made.append(object_of({other: text for other, text in good.items() if other != name}))
        made.append(object_of(good)[:-1] + f',"{name}":{value}}}'.encode())
        made.append(object_of(good)[:-1] + f',"{name}":[]}}'.encode())
        made.append(b'{"%s":0,' % name.encode() + object_of(good)[1:])
    return made + BODIES


values = st.one_of(
    st.sampled_from([value for value in VALUES if len(value) < 6000]),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=200).map(json.dumps),
    st.text(max_size=200).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text("0123456789,+ ", max_size=200).map(json.dumps),
    st.recursive(st.none() | st.booleans(), st.lists, max_leaves=9).map(json.dumps),
)


@st.composite
def bodies(draw: st.DrawFn, action: str) -> bytes:
    """A body of an action with bad fields, and perhaps with bad bytes as well."""
    fields = {name: json.dumps(value) for name, value in GOOD[action].items()}
    fields |= draw(st.dictionaries(st.sampled_from((*FIELDS[action], "x")), values, max_size=4))
    body = object_of(fields) if draw(st.booleans()) else object_of(fields) * 2
    return draw(mangled(body)) if draw(st.booleans()) else body


@st.composite
def mangled(draw: st.DrawFn, good: bytes) -> bytes:
    """Good bytes with pieces removed, doubled or replaced."""
    made = good
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(made)))
        end = min(len(made), start + draw(st.integers(0, 12)))
        piece = draw(st.one_of(st.binary(max_size=8), st.just(made[start:end] * 2), PIECES))
        made = made[:start] + piece + made[end:]
    return made


PIECES = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r\n\r\n", b"\0", b": ", b" ", b"\t", b"\xff", b'"', b"{", b"[[[["),
        *(b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b"accessKey: x\r\n"),
        *(b"HTTP/1.0", b"HTTP/2.0", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"-1"),
        *(
            b"ts:\r\n",
            b"X: a\r\n b\r\n",
            b"POST /api/pns/ HTTP/1.1\r\n\r\n",
            b"ffffffffffffffff\r\n",
        ),
    ]
)
