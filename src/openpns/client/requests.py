"""A request of the API as a typed object: what to send, and how to read the response."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

ResultT = TypeVar("ResultT")


class Request(Generic[ResultT]):
    """A request that a client can send.

    Args:
        body: What is sent as JSON: a dict, or a struct.
        read: Return the result from the envelope; raise msgspec.ValidationError if the envelope
            is not a response of this action.
        is_read: The action changes nothing, so the request may always be sent again.
        has_client_token: The body carries a clientToken. The client adds a random one if the body
            has none.
        is_extension: Only openpns can give a response that `read` accepts.

    Raises:
        ValueError: The action cannot be sent in a header.
    """

    __slots__ = ("action", "body", "has_client_token", "is_extension", "is_read", "read")

    def __init__(
        self,
        action: str,
        body: Any,
        read: Callable[[dict[str, Any]], ResultT],
        *,
        is_read: bool = False,
        has_client_token: bool = False,
        is_extension: bool = False,
    ) -> None:
        if not (action and action.isascii() and action.isprintable() and " " not in action):
            raise ValueError("action: must be one word of printable ASCII characters")
        self.action = action
        self.body = body
        self.read = read
        self.is_read = is_read
        self.has_client_token = has_client_token
        self.is_extension = is_extension

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.action!r})"


class RawRequest(Request[dict[str, Any]]):
    """A request of any action; its result is the whole envelope as a dict."""

    __slots__ = ()

    def __init__(
        self, action: str, body: Mapping[str, Any] | None = None, *, is_read: bool = False
    ) -> None:
        super().__init__(action, dict(body or {}), lambda envelope: envelope, is_read=is_read)
