"""Body fields: what each one means and allows, and how to read a body against them.

A request struct is the single source of its decoder, its error texts and its table in docs/api.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar

import msgspec

from openpns import limits
from openpns.errors import ParameterError, WireError

_NO_CONTROL_CHARACTERS: Final = r"\A[^\x00-\x1f\x7f-\x9f]*\Z"
_SHORT_BYTES: Final = 512
_NOT_SENT: Final = (None, msgspec.UNSET)
_SENT_TWICE: Final = "a field of the body is sent twice"
_FORM_TYPES: Final = ("multipart/form-data", "application/x-www-form-urlencoded")


def integer(
    meaning: str, at_least: int, at_most: int, out_of_range: type[WireError] = ParameterError
) -> msgspec.Meta:
    """Describe an integer field; `meaning` is one line for the docs."""
    return msgspec.Meta(
        ge=at_least,
        le=at_most,
        description=meaning,
        extra={"allowed": f"an integer from {at_least} to {at_most}", "out_of_range": out_of_range},
    )


def choice(meaning: str, *values: str) -> msgspec.Meta:
    """Describe a text field that has one of a few values; `meaning` is one line for the docs."""
    allowed = f"one of {', '.join(values)}"
    pattern = rf"\A({'|'.join(values)})\Z"
    return msgspec.Meta(pattern=pattern, description=meaning, extra={"allowed": allowed})


def flag(meaning: str) -> msgspec.Meta:
    """Describe a field that is true or false; `meaning` is one line for the docs."""
    return msgspec.Meta(description=meaning, extra={"allowed": "true or false"})


def text(
    meaning: str,
    chars_max: int | None = None,
    allowed: str = "text",
    check: Callable[[str, str], object] | None = None,
) -> msgspec.Meta:
    """Describe a text field.

    Args:
        chars_max: Characters it may have, none of them a control character; None for a text that
            the rule itself checks.
        allowed: What is allowed, for the error text, if `chars_max` is None.
        check: The rule's own check, called with the value and the field's name; raises WireError.
            It is called only if another field is wrong, so that the first one is named.
    """
    if chars_max is None:
        extra = {"allowed": allowed, "check": check}
        return msgspec.Meta(description=meaning, extra=extra)
    return msgspec.Meta(
        max_length=chars_max,
        pattern=_NO_CONTROL_CHARACTERS,
        description=meaning,
        extra={"allowed": f"text of at most {chars_max} characters without control characters"},
    )


class RequestBody(msgspec.Struct, frozen=True, rename="camel"):
    """The base of every action's request; unknown fields are ignored."""

    needed_unless: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Optional fields that are required unless one of some other fields is sent; a field whose
    default is None is not sent if it is null."""

    refused_blank: ClassVar[Mapping[str, type[WireError]]] = {}
    """The error for each text field that must not be missing, null or blank; it comes before all
    other errors of the body."""

    def parameters(self) -> dict[str, Any]:
        """Return the rule's keyword parameters: the fields that were sent or have a default."""
        return {
            name: value
            for name in self.__struct_fields__
            if name != "client_token" and (value := getattr(self, name)) is not msgspec.UNSET
        }

    def __repr__(self) -> str:
        """Return a text without the values: they may be phones."""
        return f"{type(self).__name__}({', '.join(self.__struct_fields__)})"


class WriteBody(RequestBody, frozen=True, kw_only=True):
    """The base of the request of every action that writes; `clientToken` is its last field."""

    client_token: (
        Annotated[
            str,
            text(
                "Extension: idempotency key. A request of the same action with the same key within "
                "24 hours is not carried out again and gets the first response.",
                limits.CLIENT_TOKEN_CHARS_MAX,
            ),
        ]
        | None
    ) = None


BodyT = TypeVar("BodyT", bound=RequestBody)


class BodyReader(Generic[BodyT]):
    """Read a body into the request struct of one action."""

    def __init__(self, struct: type[BodyT]) -> None:
        self._decode = msgspec.json.Decoder(struct).decode
        self._fields = fields_of(struct)
        self._needed_unless = struct.needed_unless
        self._refused_blank = struct.refused_blank
        self._wire_names = {field.name: field.encode_name for field in self._fields}
        self._required_count = sum(field.required for field in self._fields)
        self._sent_min = self._required_count + bool(self._needed_unless)
        self._optional = [(one.name, one.default) for one in self._fields if not one.required]

    def read(self, body: bytes, content_type: str | None) -> BodyT:
        """Return the request of a body; without a Content-Type it is JSON.

        Raises:
            WireError: The first thing that is wrong, fields in the order of the docs.
        """
        if content_type and content_type.lower().startswith(_FORM_TYPES):
            raise ParameterError("the body must be JSON, sent with Content-Type application/json")
        try:
            if not body.isascii():
                body.decode()  # the decoder skips the text of unknown fields
            request = self._decode(body)
            if self._has_all(request):
                # Each field takes a colon: if there are no more of them, none is sent twice.
                colons = body.count(b":") if len(body) < _SHORT_BYTES else _count_colons(body)
                if colons > self._sent_min and colons > self._sent_count(request):
                    _refuse_repeated(body)
                return request
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        # Without a name: with its traceback, a name would make a cycle that keeps the body alive.
        raise self._first_error(body)

    def _sent_count(self, request: BodyT) -> int:
        count = self._required_count
        for name, default in self._optional:
            count += getattr(request, name) is not default
        return count

    def _has_all(self, request: BodyT) -> bool:
        for field in self._refused_blank:
            if not getattr(request, field).strip():
                return False
        for field, others in self._needed_unless.items():
            if all(getattr(request, name) in _NOT_SENT for name in (field, *others)):
                return False
        return True

    def _first_error(self, body: bytes) -> WireError:
        try:
            values = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            body.decode()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return ParameterError("the body must be one JSON object in UTF-8")
        for name, default in self._optional:
            if default is None and values.get(self._wire_names[name]) == msgspec.Raw(b"null"):
                del values[self._wire_names[name]]
        for name, error in self._refused_blank.items():
            if _is_blank(values.get(self._wire_names[name])):
                return error(f"{self._wire_names[name]} is required")
        for field in self._fields:
            found = self._find_error(field, values)
            if found is not None:
                return found
        # Read one by one, the last of each name counts, and each of them is allowed.
        return ParameterError(_SENT_TWICE)

    def _find_error(
        self, field: msgspec.structs.FieldInfo, values: Mapping[str, msgspec.Raw]
    ) -> WireError | None:
        """Return what is wrong with a field; None if nothing is."""
        name, (allowed, out_of_range) = field.encode_name, describe(field)
        if name not in values:
            others = [self._wire_names[one] for one in self._needed_unless.get(field.name, ())]
            if field.required or (others and values.keys().isdisjoint(others)):
                return ParameterError(f"{name} is required: {allowed}")
            return None
        raw = values[name]
        try:
            value = msgspec.json.decode(raw, type=field.type)
        except msgspec.MsgspecError:
            kind = out_of_range if _is_integer(bytes(raw)) else ParameterError
            return kind(f"{name} must be {allowed}")
        check = (_meta(field.type).extra or {}).get("check")
        try:
            if check is not None:
                check(value, name)
        except WireError as error:
            return error.with_traceback(None)
        return None


def _count_colons(body: bytes) -> int:
    # Ten times as fast as bytes.count, if there are few.
    return len(body) - len(body.replace(b":", b""))


class _Name:
    """A name of an object, as the decoder hands it out: without its escapes."""


_NAME: Final = _Name()


def _refuse_repeated(body: bytes) -> None:
    """Refuse an object that has a name twice: parsers do not agree which of the two counts.

    Objects inside the object are not looked at.

    Raises:
        ParameterError: It has one, or more names than are allowed.
    """
    names: set[str] = set()

    def take(_: type, name: str) -> _Name:
        if name in names:
            raise ParameterError(_SENT_TWICE)
        if len(names) == limits.BODY_FIELDS_MAX:
            raise ParameterError(f"the body may have at most {limits.BODY_FIELDS_MAX} fields")
        names.add(name)
        return _NAME

    msgspec.json.decode(body, type=dict[_Name, msgspec.Raw], dec_hook=take)


def fields_of(struct: type[RequestBody]) -> Sequence[msgspec.structs.FieldInfo]:
    """Return the fields of a request in the order of the docs and of the checks.

    `clientToken` is the last one, also of a struct whose fields are all keyword-only.
    """
    return sorted(msgspec.structs.fields(struct), key=lambda field: field.name == "client_token")


def describe(field: msgspec.structs.FieldInfo) -> tuple[str, type[WireError]]:
    """Return what a request field allows, in words, and the error for an integer out of range."""
    extra = _meta(field.type).extra or {}
    return extra["allowed"], extra.get("out_of_range", ParameterError)


def meaning(field: msgspec.structs.FieldInfo) -> str:
    """Return the one line of meaning of a request or answer field, for the docs."""
    return _meta(field.type).description or ""


def _meta(annotated: Any) -> msgspec.Meta:
    for part in (annotated, *getattr(annotated, "__args__", ())):
        for meta in getattr(part, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta):
                return meta
    raise TypeError(f"a field without a description: {annotated}")


def _is_blank(raw: msgspec.Raw | None) -> bool:
    try:
        value = None if raw is None else msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return False  # such as a number that is out of range
    return value is None or (isinstance(value, str) and not value.strip())


def _is_integer(raw: bytes) -> bool:
    return raw.strip().removeprefix(b"-").isdigit()
