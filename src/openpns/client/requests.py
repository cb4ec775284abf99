"""A request of the API as a typed object: what to send, and how to read the response."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar
from uuid import uuid4

import msgspec

from openpns.errors import ParameterError

ResultT = TypeVar("ResultT")


class Request(Generic[ResultT]):
    """A request that a client can send.

    Args:
        body: What is sent as JSON: a dict, a struct, or `msgspec.Raw` to send bytes as they are.
        read: Return the result from the envelope; raise msgspec.ValidationError if the envelope
            is not a response of this action.
        is_read: The action changes nothing, so the request may always be sent again.
        has_client_token: The body carries a clientToken. The client adds a random one if the body
            has none.
        is_extension: Only openpns can give a response that `read` accepts.
        probe: A request that only openpns answers, to be sent before this one: another server
            would do more than this one says.

    Raises:
        ValueError: The action cannot be sent in a header.
    """

    __slots__ = ("action", "body", "has_client_token", "is_extension", "is_read", "probe", "read")

    def __init__(
        self,
        action: str,
        body: Any,
        read: Callable[[dict[str, Any]], ResultT],
        *,
        is_read: bool = False,
        has_client_token: bool = False,
        is_extension: bool = False,
        probe: "Request[Any] | None" = None,
    ) -> None:
        if not (isinstance(action, str) and _is_word(action)):
            raise ValueError("action: must be one word of printable ASCII characters")
        self.action = action
        self.body = body
        self.read = read
        self.is_read = is_read
        self.has_client_token = has_client_token
        self.is_extension = is_extension
        self.probe = probe

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.action!r})"


class RawRequest(Request[dict[str, Any]]):
    """A request of any action; its result is the whole envelope as a dict.

    Raises:
        ValueError: The action cannot be sent in a header.
        ParameterError: The body is not a mapping.
    """

    __slots__ = ()

    def __init__(
        self, action: str, body: Mapping[str, Any] | None = None, *, is_read: bool = False
    ) -> None:
        if not (body is None or isinstance(body, Mapping)):
            raise ParameterError(f"body must be a mapping, not {type(body).__name__}")
        super().__init__(action, dict(body or {}), lambda envelope: envelope, is_read=is_read)


def _is_word(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def encode_body(request: Request[Any]) -> bytes:
    """Return a request's body as JSON, with a random clientToken if it needs one.

    Raises:
        ParameterError: A value cannot be sent; the text names its field, never the value.
    """
    if isinstance(request.body, msgspec.Raw):
        return bytes(request.body)
    encoded, field = _encode(request)
    if encoded is None:
        raise ParameterError(
            f"{field}: allowed are the types of JSON, texts without halves of surrogate pairs and "
            "finite numbers"
        )
    return encoded


def _encode(request: Request[Any]) -> tuple[bytes | None, str]:
    """Return the JSON; if there is none, the field that has none.

    It raises no error, whose traceback would hold the body.
    """
    body = request.body if isinstance(request.body, dict) else msgspec.to_builtins(request.body)
    if request.has_client_token and "clientToken" not in body:
        body = body | {"clientToken": uuid4().hex}
    try:
        return _to_json(body), ""
    except (TypeError, ValueError, RecursionError):  # UnicodeEncodeError is a ValueError
        return None, next((str(name) for name in body if not _is_json({name: body[name]})), "body")


def _is_json(value: Any) -> bool:
    try:
        return bool(_to_json(value))
    except (TypeError, ValueError, RecursionError):
        return False


def _to_json(value: Any) -> bytes:
    # Stricter than msgspec, which encodes bytes as Base64, and a number that is not finite as null.
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()
