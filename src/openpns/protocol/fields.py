"""Body fields: what each one means and allows, and reading a body against them.

A request struct is the single source: the decoder, the error texts and the tables in docs/api
are made from it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Generic, TypeVar

import msgspec

from openpns.errors import ParameterError, WireError

_NO_CONTROL_CHARACTERS: Final = r"\A[^\x00-\x1f\x7f-\x9f]*\Z"
_FORM_TYPES: Final = ("multipart/form-data", "application/x-www-form-urlencoded")


class RequestBody(msgspec.Struct, frozen=True):
    """The base of every action's request; unknown fields are ignored."""

    needed_unless: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Fields that must be there unless one of some others is."""

    def __repr__(self) -> str:
        """Return a text without the values: they may be phone numbers."""
        return f"{type(self).__name__}({', '.join(self.__struct_fields__)})"


BodyT = TypeVar("BodyT", bound=RequestBody)


def integer(
    meaning: str, at_least: int, at_most: int, out_of_range: type[WireError] = ParameterError
) -> msgspec.Meta:
    """Describe an integer field.

    Args:
        meaning: One line for the docs.
        at_least: The smallest allowed value.
        at_most: The largest allowed value.
        out_of_range: What an integer outside the range is answered with.
    """
    return msgspec.Meta(
        ge=at_least,
        le=at_most,
        description=meaning,
        extra={"allowed": f"an integer from {at_least} to {at_most}", "out_of_range": out_of_range},
    )


def choice(meaning: str, *values: str) -> msgspec.Meta:
    """Describe a text field with few values.

    Args:
        meaning: One line for the docs.
        values: What it may be.
    """
    allowed = f"one of {', '.join(values)}"
    pattern = rf"\A({'|'.join(values)})\Z"
    return msgspec.Meta(pattern=pattern, description=meaning, extra={"allowed": allowed})


def flag(meaning: str) -> msgspec.Meta:
    """Describe a field that is true or false.

    Args:
        meaning: One line for the docs.
    """
    return msgspec.Meta(description=meaning, extra={"allowed": "true or false"})


def text(meaning: str, chars_max: int | None = None, allowed: str = "text") -> msgspec.Meta:
    """Describe a text field.

    Args:
        meaning: One line for the docs.
        chars_max: How many characters it may have, none of them a control character; None for
            a text that the action itself reads.
        allowed: What is allowed, for the error text, where `chars_max` does not say it.
    """
    if chars_max is None:
        return msgspec.Meta(description=meaning, extra={"allowed": allowed})
    return msgspec.Meta(
        max_length=chars_max,
        pattern=_NO_CONTROL_CHARACTERS,
        description=meaning,
        extra={"allowed": f"text of at most {chars_max} characters without control characters"},
    )


class BodyReader(Generic[BodyT]):
    """Read a body into one action's request struct.

    Args:
        struct: The action's request struct.
    """

    def __init__(self, struct: type[BodyT]) -> None:
        self._decode = msgspec.json.Decoder(struct).decode
        self._fields = msgspec.structs.fields(struct)
        self._needed_unless = struct.needed_unless

    def read(self, body: bytes, content_type: str | None) -> BodyT:
        """Return the request that the body holds.

        Args:
            body: The body as sent.
            content_type: The header Content-Type; JSON where it is missing.

        Raises:
            WireError: The first thing that is wrong, fields in the order of the docs.
        """
        if content_type and content_type.lower().startswith(_FORM_TYPES):
            raise ParameterError("the body must be JSON, sent with Content-Type application/json")
        try:
            if not body.isascii():
                body.decode()  # the decoder skips unknown fields without reading their text
            request = self._decode(body)
            if self._has_all(request):
                return request
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        # No name for it here: with its traceback it would be a circle, and keep the body for long.
        raise self._first_error(body)

    def _has_all(self, request: BodyT) -> bool:
        for field, others in self._needed_unless.items():
            if getattr(request, field) is msgspec.UNSET and all(
                getattr(request, other) is msgspec.UNSET for other in others
            ):
                return False
        return True

    def _first_error(self, body: bytes) -> WireError:
        try:
            values = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            body.decode()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return ParameterError("the body must be one JSON object in UTF-8")
        for field in self._fields:
            allowed, out_of_range = describe(field)
            if field.encode_name not in values:
                others = self._needed_unless.get(field.encode_name)
                if field.required or (others and values.keys().isdisjoint(others)):
                    return ParameterError(f"{field.encode_name} is required: {allowed}")
                continue
            raw = values[field.encode_name]
            try:
                msgspec.json.decode(raw, type=field.type)
            except msgspec.MsgspecError:
                kind = out_of_range if _is_integer(bytes(raw)) else ParameterError
                return kind(f"{field.encode_name} must be {allowed}")
        # Read one by one, the last of each name counts, and all are well.
        return ParameterError("a field of the body stands twice")


def describe(field: msgspec.structs.FieldInfo) -> tuple[str, type[WireError]]:
    """Return what a field allows, in words, and what an integer out of range is answered with.

    Args:
        field: A field of a request struct; each is described by `integer` or `text`.
    """
    extra = _meta(field.type).extra or {}
    return extra["allowed"], extra.get("out_of_range", ParameterError)


def meaning(field: msgspec.structs.FieldInfo) -> str:
    """Return a field's one line of meaning, for the docs.

    Args:
        field: A field of a request or answer struct.
    """
    return _meta(field.type).description or ""


def _meta(annotated: Any) -> msgspec.Meta:
    for part in (annotated, *getattr(annotated, "__args__", ())):
        for meta in getattr(part, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta):
                return meta
    raise TypeError(f"a field without a description: {annotated}")


def _is_integer(raw: bytes) -> bool:
    return raw.strip().removeprefix(b"-").isdigit()
