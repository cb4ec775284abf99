"""No hole: what was signed cannot be changed, and a key accepts only what it should.

Source: docs/api/README.md, "The order of checks"; docs/api/signing.md.
"""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.api.conftest import Server
from tests.helpers import LIST_ALL, envelope_of, on_sqlite_only, signed_headers
from tests.processes import KEY_OF, SharedServer
from tests.promises.tampering import HeaderBytes, expected_code, flip, flips, is_http_value
from tests.server import conftest as parts

from openpns.accounts import access_keys, customers
from openpns.accounts.access_keys import NewSecret
from openpns.api.registry import ACTIONS
from openpns.clock import now_ms
from openpns.protocol.headers import NONCE

secret_box, key, log, server = parts.secret_box, parts.key, parts.log, parts.server

SIGNED = ("accessKey", "action", "bizType", "ts")
ALGORITHMS = ("md5", "sha256")
PHONES = "85211111114"

with_server = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300
)


def _headers(server: Server, body: bytes, algorithm: str, action: str = "listGroup") -> HeaderBytes:
    """The headers of a request as bytes, signed now."""
    sent = dict(server.headers(action, body, algorithm=algorithm))
    names = {name.lower(): name for name in SIGNED}
    return {names.get(name, name): value.encode() for name, value in sent.items()}


async def _code(server: Server, headers: HeaderBytes, body: bytes) -> int:
    """The code that a request gets; its headers are decoded as the adapters do."""
    sent = [(n.lower(), v.decode()) for n, v in headers.items() if v.isascii()]
    return await server.code(body=body, headers=sent)


# -- flipped bits ---------------------------------------------------------------------------


@on_sqlite_only
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_api_refuses_every_flipped_bit_of_a_small_request(
    server: Server, algorithm: str
) -> None:
    headers = _headers(server, LIST_ALL, algorithm)
    assert await _code(server, headers, LIST_ALL) == 0
    for name in (*SIGNED, "sign"):
        for value in flips(headers[name]):
            code = await _code(server, headers | {name: value}, LIST_ALL)
            assert code == expected_code(name, value, server.clock()), (name, value)
    for body in flips(LIST_ALL):
        assert await _code(server, headers, body) == 1003
    assert await _code(server, headers, LIST_ALL) == 0


@on_sqlite_only
@with_server
@given(
    action=st.sampled_from(sorted(ACTIONS)),
    algorithm=st.sampled_from(ALGORITHMS),
    body=st.binary(min_size=1, max_size=4000),
    part=st.sampled_from((*SIGNED, "sign", "body")),
    data=st.data(),
)
async def test_api_refuses_flipped_bits_of_any_request(
    server: Server, action: str, algorithm: str, body: bytes, part: str, data: st.DataObject
) -> None:
    headers = _headers(server, body, algorithm, action)
    signed_value = body if part == "body" else headers[part]
    value = signed_value
    for bit in data.draw(st.sets(st.integers(0, len(value) * 8 - 1), min_size=1, max_size=9)):
        value = flip(value, bit)
    sent_body = value if part == "body" else body
    sent = headers if part == "body" else headers | {part: value}
    code = await _code(server, sent, sent_body)
    # In this process nothing strips white space from values.
    assume(part == "body" or value == value.strip())
    assert code == expected_code(part, value, server.clock())


@on_sqlite_only
async def test_api_refuses_a_flip_into_another_customers_key(server: Server) -> None:
    other = server.key.access_key[:-1] + chr(ord(server.key.access_key[-1]) ^ 1)
    store, clock = server.services.store, server.clock
    await customers.create(store, clock, "cus_2", "")
    await access_keys.create(store, server.secret_box, clock, "cus_2", access_key=other)
    headers = _headers(server, LIST_ALL, "md5")
    assert await _code(server, headers | {"accessKey": other.encode()}, LIST_ALL) == 1003


@on_sqlite_only
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_api_refuses_a_changed_algorithm(server: Server, algorithm: str) -> None:
    headers = _headers(server, LIST_ALL, algorithm)
    for value in flips(algorithm.encode()):
        # One that is not ASCII counts as missing, and missing means md5.
        allowed = {1002} if value.isascii() else {1003} if algorithm == "sha256" else {0}
        assert {await _code(server, headers | {"algorithm": value}, LIST_ALL)} == allowed


@on_sqlite_only
@with_server
@given(
    parts=st.lists(st.sampled_from(["", "listGroup", "&bizType=5", "&ts=", "&body=", "{}", "1"])),
    cuts=st.lists(st.integers(0, 200), min_size=3, max_size=3),
)
async def test_signature_matches_no_other_split_of_its_text(
    server: Server, parts: list[str], cuts: list[int]
) -> None:
    """The text to sign has no escapes; nothing may follow from that."""
    body = "".join(parts).encode() + LIST_ALL
    headers = _headers(server, body, "md5")
    text = f"{headers['action'].decode()}&bizType=5&ts={server.clock()}&body={body.decode()}"
    first, second, third = sorted(min(cut, len(text)) for cut in cuts)
    pieces = [text[:first], text[first:second], text[second:third], text[third:]]
    names = ("", "&bizType=", "&ts=", "&body=")
    action, biz_type, ts, other_body = (
        piece.removeprefix(name) for piece, name in zip(pieces, names, strict=True)
    )
    changed = {"action": action, "bizType": biz_type, "ts": ts}
    sent = headers | {name: value.encode() for name, value in changed.items()}
    is_same = all(headers[name] == sent[name] for name in changed) and other_body.encode() == body
    code = await _code(server, sent, other_body.encode())
    assert is_same or code in (1001, 1002, 1003, 1004)


# -- over a socket ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One server process for all tests here that need a socket."""
    folder = tmp_path_factory.mktemp("no-hole")
    made = SharedServer(f"sqlite:///{folder / 'shared.db'}", folder)
    yield made
    made.process.stop()


def _send(server: SharedServer, head: list[bytes], body: bytes) -> tuple[int, dict[str, Any]]:
    """Send a request with these header lines; return the status, and the envelope if any."""
    lines = [b"POST /api/pns/ HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *head]
    connection = server.process.connect()
    connection.connect()
    connection.sock.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    answer = connection.response_class(connection.sock, method="POST")
    answer.begin()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else {}


def _lines(headers: HeaderBytes) -> list[bytes]:
    return [name.encode() + b": " + value for name, value in headers.items()]


def _signed(body: bytes = LIST_ALL, algorithm: str = "md5", skew_ms: int = 0) -> HeaderBytes:
    """The headers of a request of cus_1, signed now."""
    access_key, secret = KEY_OF["cus_1"]
    made = NewSecret(access_key, secret, "cus_1")
    sent = signed_headers(made, "listGroup", body, now_ms() + skew_ms, algorithm)
    names = {name.lower(): name for name in SIGNED}
    return {names.get(name, name): value.encode() for name, value in sent}


def test_server_refuses_every_flipped_bit_on_the_wire(shared: SharedServer) -> None:
    for part in (*SIGNED, "sign"):
        for bit in range(len(_signed()[part]) * 8):
            headers = _signed()
            value = flip(headers[part], bit)
            expected = expected_code(part, value, now_ms())
            status, envelope = _send(shared, _lines(headers | {part: value}), LIST_ALL)
            if is_http_value(value):
                assert (status, envelope["code"]) == (200, expected), (part, value)
            else:
                assert (status, envelope) == (400, {}), (part, value)
    for body in flips(LIST_ALL):
        assert _send(shared, _lines(_signed()), body)[1]["code"] == 1003


def test_server_ignores_case_of_names_and_white_space_around_values(shared: SharedServer) -> None:
    for change in (str.upper, str.lower, str.swapcase):
        headers = {change(name): b" \t" + value + b"\t " for name, value in _signed().items()}
        assert _send(shared, _lines(headers), LIST_ALL)[1]["code"] == 0


def test_server_refuses_folded_header_values(shared: SharedServer) -> None:
    for name in (*SIGNED, "sign"):
        headers = _signed()
        value = headers[name]
        for fold in (b"\r\n ", b"\r\n\t", b"\r", b"\0"):
            folded = headers | {name: value[:1] + fold + value[1:]}
            assert _send(shared, _lines(folded), LIST_ALL) == (400, {})


def test_server_refuses_a_header_that_is_sent_twice(shared: SharedServer) -> None:
    for name in (*SIGNED, "sign", "algorithm"):
        headers = _signed(algorithm="sha256")
        for again in (headers[name], b"1"):
            line = name.upper().encode() + b": " + again
            for lines in ([line, *_lines(headers)], [*_lines(headers), line]):
                envelope = _send(shared, lines, LIST_ALL)[1]
                assert envelope["code"] == 1002
                assert envelope["msg"].endswith(f"the header {name} must be sent once")
        code = _send(shared, [*_lines(headers), name.encode() + b":"], LIST_ALL)[1]["code"]
        assert code in (1001, 1002)  # an empty one is a second one, or counts as missing


# -- time and signature -----------------------------------------------------------------------


@on_sqlite_only
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("skew_ms", "code"), [(-60_001, 1004), (-60_000, 0), (60_000, 0), (60_001, 1004)]
)
async def test_api_accepts_a_ts_for_60_seconds_and_not_a_millisecond_more(
    server: Server, algorithm: str, skew_ms: int, code: int
) -> None:
    assert await server.code(ts=server.clock() + skew_ms, algorithm=algorithm) == code


@on_sqlite_only
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_api_accepts_only_the_exact_signature(server: Server, algorithm: str) -> None:
    headers = _headers(server, LIST_ALL, algorithm)
    right = headers["sign"]
    other = _headers(server, LIST_ALL, "md5" if algorithm == "sha256" else "sha256")["sign"]
    wrong = [right[:length] for length in range(1, len(right))]
    wrong += [right[start:] for start in range(1, len(right))]
    wrong += [
        right.upper(),
        right.swapcase(),
        right[::-1],
        bytes.fromhex(right.decode()).hex("-").encode(),
    ]
    wrong += [right + end for end in (b"0", b" ", b"=", b"\t", right)]
    wrong += [start + right for start in (b"0", b" ", b"0x", b"md5=")]
    wrong += [other, b"0" * len(right), b" ", b"null", b"a" * 60_000]
    for sign in wrong:
        assert await _code(server, headers | {"sign": sign}, LIST_ALL) == 1003, sign
    assert await _code(server, headers | {"sign": b""}, LIST_ALL) == 1001
    assert await _code(server, headers, LIST_ALL) == 0


# -- a sha256-only key ------------------------------------------------------------------------


async def test_sha256_only_key_refuses_md5_from_the_next_request_on(
    server: Server,
) -> None:
    store, name = server.services.store, server.key.access_key
    assert await server.code(algorithm="md5") == 0
    await access_keys.require_sha256(store, name, server.clock())
    for sent in ({}, {"algorithm": "md5"}, {"algorithm": ""}):
        assert envelope_of(await server.send(**sent))["msg"] == (
            "Invalid signature: this accessKey demands sha256; sign with it, and send the header "
            "algorithm: sha256"
        )
    assert await server.code(algorithm="sha256") == 0
    old = server.key
    new = await access_keys.rotate(store, server.secret_box, server.clock, name, 10_000)
    for known in (old, new):
        assert await server.code(key=known) == 1003
        assert await server.code(key=known, algorithm="sha256") == 0
    await access_keys.require_sha256(store, name, None)
    assert await server.code(key=new) == 0


async def test_wrong_signature_does_not_reveal_a_sha256_only_key(server: Server) -> None:
    store, name = server.services.store, server.key.access_key
    guessed = NewSecret(name, "a-guessed-secret", "cus_1")
    for algorithm in ALGORITHMS:
        before = envelope_of(await server.send(key=guessed, algorithm=algorithm))
        await access_keys.require_sha256(store, name, server.clock())
        after = envelope_of(await server.send(key=guessed, algorithm=algorithm))
        await access_keys.require_sha256(store, name, None)
        assert before["msg"] == after["msg"] == "Invalid signature"
    late = server.clock() - 60_001
    await access_keys.require_sha256(store, name, server.clock())
    assert await server.code(ts=late) == 1004
    await access_keys.disable(store, name, server.clock())
    assert await server.code() == 1005


# -- HMAC -------------------------------------------------------------------------------------


@on_sqlite_only
async def test_api_refuses_every_flipped_bit_of_an_hmac_request(server: Server) -> None:
    names = {name.lower(): name for name in SIGNED}
    sent = dict(server.hmac_headers())
    headers = {names.get(name, name): value.encode() for name, value in sent.items()}
    assert await _code(server, headers, LIST_ALL) == 0
    for name in (*SIGNED, "sign"):
        for value in flips(headers[name]):
            code = await _code(server, headers | {name: value}, LIST_ALL)
            assert code == expected_code(name, value, server.clock()), (name, value)
    for value in flips(headers["nonce"]):
        allowed = NONCE.fullmatch(value) is not None
        expected = 1001 if not value.isascii() else 1003 if allowed else 1002
        assert await _code(server, headers | {"nonce": value}, LIST_ALL) == expected, value
    for name in ("host", "content-type"):
        for value in flips(headers[name]):
            is_same = value.lower() == headers[name]  # only the case of a letter differs
            code = await _code(server, headers | {name: value}, LIST_ALL)
            assert code == (0 if is_same else 1003), (name, value)
    for body in flips(LIST_ALL):
        assert await _code(server, headers, body) == 1003
    for algorithm in (b"md5", b"sha256", b""):
        assert await _code(server, headers | {"algorithm": algorithm}, LIST_ALL) == 1003


async def test_wrong_signature_does_not_reveal_the_restrictions_of_a_key(server: Server) -> None:
    store, name = server.services.store, server.key.access_key
    guessed = NewSecret(name, "a-guessed-secret", "cus_1")
    await access_keys.require_hmac(store, name, server.clock())
    await access_keys.set_addresses(store, name, ["192.0.2.1"])
    await access_keys.set_actions(store, name, ["getLimits"])
    for algorithm in ALGORITHMS:
        refused = envelope_of(await server.send(key=guessed, algorithm=algorithm))
        assert refused["msg"] == "Invalid signature"
    sent = server.hmac_headers(key=guessed)
    assert envelope_of(await server.send(headers=sent))["msg"] == "Invalid signature"
