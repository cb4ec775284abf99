"""The description of an action: one row of the registry."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from openpns.protocol.fields import BodyReader, RequestBody

DataT = TypeVar("DataT")

Fragment = bytes | AsyncGenerator[bytes, None]
"""A JSON member of the envelope: whole, or in chunks if it is large."""

_encode: Final = msgspec.json.Encoder().encode


class AtRevision(Generic[DataT]):
    """A result, with the revision of the resource that it was read at."""

    __slots__ = ("data", "revision")

    def __init__(self, revision: int, data: DataT) -> None:
        self.revision = revision
        self.data = data


def encode_data(data: Any) -> Fragment:
    """Write a result as the envelope's `data`; nothing for None."""
    return b"" if data is None else b'"data":' + _encode(data)


def encode_at_revision(result: AtRevision[Any]) -> Fragment:
    """Write a result that was read at a revision as the envelope's `data`."""
    return encode_data(result.data)


def encode_members(data: msgspec.Struct) -> Fragment:
    """Write a struct's fields as members of the envelope itself."""
    return _encode(data)[1:-1]


class Action:
    """How one action is read, run and answered.

    Args:
        request: The struct of its body; its fields are the rule's keyword parameters.
        answer: The struct of the result, for the docs; None for no result.
        answer_in_data: Whether the result is the envelope's `data` or a member of the envelope.
        is_write: Whether it changes anything: read-only keys are refused.
        cost: The units of its rate that a request costs, by its body; at least 1. Source of the
            table in docs/api/README.md.
        depends_on: The resource whose revision the response depends on: the response may be cached
            while that stays the same, and the rule's result has the attribute `revision`. None
            for a response that is never cached.
    """

    def __init__(
        self,
        request: type[RequestBody],
        rule: Callable[..., Awaitable[Any]],
        encode: Callable[[Any], Fragment] = encode_data,
        *,
        answer: type | None = None,
        answer_in_data: bool = True,
        is_write: bool = False,
        cost: Callable[[Any], int] = lambda _: 1,
        depends_on: str | None = None,
    ) -> None:
        self.request = request
        self.read = BodyReader(request).read
        self.rule = rule
        self.encode = encode
        self.answer = answer
        self.answer_in_data = answer_in_data
        self.is_write = is_write
        self.cost = cost
        self.depends_on = depends_on
