"""The answer envelope: code, msg, requestId, then what the action returns.

The fields stand in this order. A success that carries much data is sent in pieces, so the
envelope is written as a beginning and an end around a fragment such as `"data":{…}`.

Source: docs/api/README.md, "The answer".
"""

from typing import Final

import msgspec

from openpns.errors import WireError

ENVELOPE_END: Final = b"}"

_encode: Final = msgspec.json.Encoder().encode


class Failure(msgspec.Struct):
    """The envelope of a failed call."""

    code: int
    msg: str
    requestId: str  # noqa: N815


def success_begin(request_id: str) -> bytes:
    """Return the beginning of a success; a fragment with data follows after a comma.

    Args:
        request_id: The call's own id, a decimal.
    """
    return b'{"code":0,"msg":"success","requestId":"%s"' % request_id.encode()


def success(request_id: str, fragment: bytes = b"") -> bytes:
    """Return a whole successful answer.

    Args:
        request_id: The call's own id, a decimal.
        fragment: What the action returns, as a JSON member without a comma before it.
    """
    if not fragment:
        return success_begin(request_id) + ENVELOPE_END
    return b"%s,%s}" % (success_begin(request_id), fragment)


def failure(request_id: str, error: WireError) -> bytes:
    """Return a whole failed answer.

    Args:
        request_id: The call's own id, a decimal.
        error: What is answered; its `code` and `msg` are sent.
    """
    return _encode(Failure(error.code, error.msg, request_id))
