import contextlib
import ssl

import pytest
from tests.transport.tls_client import client_context

from openpns.transport.records import RECORD_BYTES_MAX, BadRecord, HelloBound, record_size
from openpns.transport.tls_session import TlsBuffers, TlsSession


def _records(data: bytes) -> list[memoryview]:
    found, view = [], memoryview(data)
    while size := record_size(view):
        found.append(view[:size])
        view = view[size:]
    assert not len(view)
    return found


class _Pair:
    """A session and a client that hand bytes to each other."""

    def __init__(self, context: ssl.SSLContext, buffers: TlsBuffers) -> None:
        self.session = TlsSession(context, buffers.incoming)
        self.received, self.sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client_context().wrap_bio(self.received, self.sent)
        self.flights: list[bytes] = []

    def step(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.do_handshake()
        self.flights.append(self.sent.read())
        for record in _records(self.flights[-1]):
            assert self.session.take(record) == b""
        self.received.write(self.session.take_output())

    def shake_hands(self) -> None:
        while not self.session.is_open:
            self.step()

    def ask(self, content: bytes) -> bytes:
        self.client.write(content)
        return b"".join(self.session.take(record) for record in _records(self.sent.read()))

    def answer(self, content: bytes) -> bytes:
        self.received.write(self.session.encrypt(memoryview(content)))
        return self.client.read(len(content) + 1)


def test_sessions_that_share_buffers_carry_their_own_bytes(tls: ssl.SSLContext) -> None:
    buffers = TlsBuffers()
    pairs = [_Pair(tls, buffers) for _ in range(3)]
    while not all(pair.session.is_open for pair in pairs):
        for pair in pairs:  # their handshakes are interleaved
            pair.step()
    for place, pair in enumerate(pairs):
        for size in (1, 100, 16_384, 50_000):
            assert pair.ask(b"%d" % place * size) == b"%d" % place * size
        assert pair.answer(b"%d" % place * 16_384) == b"%d" % place * 16_384
        assert not buffers.incoming.pending


def test_refused_record_leaves_nothing_for_another_session(tls: ssl.SSLContext) -> None:
    buffers = TlsBuffers()
    bad, good = _Pair(tls, buffers), _Pair(tls, buffers)
    bad.shake_hands()
    good.shake_hands()
    bad.client.write(b"x" * 1000)
    record = bytearray(bad.sent.read())
    record[-1] ^= 1
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            bad.session.take(memoryview(record))
        assert not buffers.incoming.pending
    assert bad.session.take_output()[0] in (21, 23)  # an alert, which TLS 1.3 encrypts
    assert good.ask(b"abc") == b"abc"


def test_record_of_another_session_is_refused(tls: ssl.SSLContext) -> None:
    buffers = TlsBuffers()
    one, other = _Pair(tls, buffers), _Pair(tls, buffers)
    one.shake_hands()
    other.shake_hands()
    one.client.write(b"abc")
    with pytest.raises(ssl.SSLError):
        other.session.take(memoryview(one.sent.read()))


def test_second_hello_that_the_server_asks_for_is_bounded_too(tls: ssl.SSLContext) -> None:
    tls.set_ecdh_curve("secp384r1")  # clients offer a key for another one first
    good, bad = _Pair(tls, TlsBuffers()), _Pair(tls, TlsBuffers())
    good.shake_hands()
    assert good.ask(b"abc") == b"abc"
    hellos = [flight for flight in good.flights if 22 in {one[0] for one in _records(flight)}]
    assert len(hellos) == 2
    bad.step()
    with pytest.raises(BadRecord, match="ClientHello too large"):
        bad.session.take(memoryview(bytes.fromhex("16030300040101fff0")))


def test_second_hello_together_with_the_first_is_bounded(tls: ssl.SSLContext) -> None:
    tls.set_ecdh_curve("secp384r1")
    pair = _Pair(tls, TlsBuffers())
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.do_handshake()
    for record in _records(pair.sent.read()):
        pair.session.take(record)
    pair.session.take(memoryview(bytes.fromhex("140303000101")))
    with pytest.raises(BadRecord):  # before the answer to the first one was taken
        pair.session.take(memoryview(bytes.fromhex("16030300040101fff0")))


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("16030100040101fff0", "ClientHello too large"),
        ("1603010001" + "01", "no ClientHello"),
        ("160301000402000000", "no ClientHello"),
        ("1603010008" + "01000002" + "aabbccdd", "followed by another message"),
    ],
)
def test_hello_that_is_none_is_refused(record: str, why: str) -> None:
    with pytest.raises(BadRecord, match=why):
        HelloBound().check(memoryview(bytes.fromhex(record)))


def test_hello_in_several_records_is_followed_to_its_end() -> None:
    bound = HelloBound()
    bound.check(memoryview(bytes.fromhex("1603010006" + "01000006" + "aabb")))
    bound.check(memoryview(bytes.fromhex("1403010001" + "01")))
    bound.check(memoryview(bytes.fromhex("1603010002" + "ccdd")))
    with pytest.raises(BadRecord, match="followed by another message"):
        bound.check(memoryview(bytes.fromhex("1603010003" + "ccddee")))


def test_size_of_a_record_is_that_of_its_head() -> None:
    record = bytes.fromhex("1703030003") + b"abc"
    for size in range(len(record)):
        assert record_size(memoryview(record[:size])) == 0
    assert record_size(memoryview(record)) == len(record)
    assert record_size(memoryview(record + b"next")) == len(record)
    longest = b"\x17\x03\x03" + (RECORD_BYTES_MAX - 5).to_bytes(2, "big")
    assert record_size(memoryview(longest)) == 0


@pytest.mark.parametrize("head", [b"GET /", b"\x80\x2e\x01\x03\x01", b"\x17\x03\x03\xff\xff"])
def test_what_is_no_record_is_refused(head: bytes) -> None:
    with pytest.raises(BadRecord):
        record_size(memoryview(head))
