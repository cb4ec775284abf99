"""The response envelope: code, msg, requestId, then what the action returns.

The fields have this order. A large success is sent in chunks, so the envelope is written as a
beginning and an end around a fragment such as `"data":{…}`.

Source: docs/api/README.md, "The response".
"""

from typing import Any, Final

import msgspec

from openpns.errors import WireError

ENVELOPE_END: Final = b"}"

_encode: Final = msgspec.json.Encoder().encode


class Failure(msgspec.Struct, rename="camel", omit_defaults=True):
    """The envelope of a failed request; `data` is left out if there is none."""

    code: int
    msg: str
    request_id: str
    data: Any = None


def success_begin(request_id: bytes) -> bytes:
    """Return the beginning of a success; a comma and a fragment may follow."""
    return b'{"code":0,"msg":"success","requestId":"%b"' % request_id


def success(request_id: bytes, fragment: bytes = b"") -> tuple[bytes, ...]:
    """Return a whole successful response in pieces; a fragment is one JSON member, or empty.

    The fragment is a piece of its own, so that a large one is not copied.
    """
    if not fragment:
        return success_begin(request_id), ENVELOPE_END
    return success_begin(request_id) + b",", fragment, ENVELOPE_END


def failure(request_id: str, error: WireError) -> bytes:
    """Return a whole failed response, with the error's `code`, `msg` and `data`."""
    return _encode(Failure(error.code, error.msg, request_id, error.data))
