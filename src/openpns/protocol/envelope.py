"""The response envelope: code, msg, requestId, then what the action returns.

The fields have this order. A large success is sent in chunks, so the envelope is written as a
beginning and an end around a fragment such as `"data":{…}`.

Source: docs/api/README.md, "The response".
"""

from typing import Final

import msgspec

from openpns.errors import WireError

ENVELOPE_END: Final = b"}"

_encode: Final = msgspec.json.Encoder().encode


class Failure(msgspec.Struct, rename="camel"):
    """The envelope of a failed request."""

    code: int
    msg: str
    request_id: str


def success_begin(request_id: str) -> bytes:
    """Return the beginning of a success; a comma and a fragment may follow."""
    return b'{"code":0,"msg":"success","requestId":"%s"' % request_id.encode()


def success(request_id: str, fragment: bytes = b"") -> bytes:
    """Return a whole successful response; a fragment is one JSON member, or empty."""
    if not fragment:
        return success_begin(request_id) + ENVELOPE_END
    return b"%s,%s}" % (success_begin(request_id), fragment)


def failure(request_id: str, error: WireError) -> bytes:
    """Return a whole failed response, with the error's `code` and `msg`."""
    return _encode(Failure(error.code, error.msg, request_id))
