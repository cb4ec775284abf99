"""The records that TLS sends, as far as their heads say: sizes, and how large a handshake begins.

OpenSSL allocates what a client announces before it has sent it: up to 16 KiB for a record, and up
to 128 KiB for the first message of a handshake. So neither reaches OpenSSL before it was looked at.
"""

from hashlib import sha256
from typing import Final

RECORD_BYTES_MAX: Final = 5 + 16 * 1024 + 2048
"""The head, the most that a record holds, and what TLS 1.2 allows encryption to add."""

_HEAD_BYTES: Final = 5
_TYPES: Final = frozenset({20, 21, 22, 23})
_MAJOR_VERSION: Final = 3
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_HELLO: Final = 2
_MESSAGE_HEAD_BYTES: Final = 4
_HELLO_BYTES_MAX: Final = 16 * 1024
"""Ten times a usual ClientHello with keys for post-quantum algorithms."""

_RETRY: Final = sha256(b"HelloRetryRequest").digest()
"""The random bytes of a ServerHello that asks for another ClientHello (RFC 8446, 4.1.3)."""
_RETRY_PLACE: Final = slice(11, 43)


class BadRecord(Exception):
    """What a client sends is not TLS, or begins too large a handshake."""


def record_size(received: memoryview) -> int:
    """Return the size of the first record with its head; 0 if it has not arrived.

    Raises:
        BadRecord: It is no record of TLS.
    """
    if len(received) < _HEAD_BYTES:
        return 0
    size = _HEAD_BYTES + (received[3] << 8 | received[4])
    is_record = received[0] in _TYPES and received[1] == _MAJOR_VERSION
    if not is_record or size > RECORD_BYTES_MAX:
        raise BadRecord("not a record of TLS")
    return size if size <= len(received) else 0


class HelloBound:
    """Bounds the ClientHello of a handshake, and a second one if the server asks for it.

    All other messages of a client are bounded by OpenSSL to a few KiB.
    """

    def __init__(self) -> None:
        self._is_expected = True
        self._left = 0

    def check(self, record: memoryview) -> None:
        """Check a record before OpenSSL gets it.

        Raises:
            BadRecord: A ClientHello is too large, or does not begin and end with a record.
        """
        if record[0] != _HANDSHAKE or not (self._is_expected or self._left):
            return
        size = len(record) - _HEAD_BYTES
        if self._is_expected:
            message = record[_HEAD_BYTES:]
            if size < _MESSAGE_HEAD_BYTES or message[0] != _CLIENT_HELLO:
                raise BadRecord("no ClientHello")
            self._is_expected = False
            self._left = _MESSAGE_HEAD_BYTES + int.from_bytes(message[1:4], "big")
            if self._left > _HELLO_BYTES_MAX:
                raise BadRecord("ClientHello too large")
        self._left -= size
        if self._left < 0:
            raise BadRecord("ClientHello followed by another message")

    def note_answer(self, sent: bytes) -> None:
        """Note what the server has sent: it may ask for another ClientHello."""
        if sent[_HEAD_BYTES : _HEAD_BYTES + 1] == bytes([_SERVER_HELLO]):
            self._is_expected = sent[_RETRY_PLACE] == _RETRY
