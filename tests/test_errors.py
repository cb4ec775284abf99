import pickle
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from openpns import errors
from openpns.errors import WIRE_ERRORS, OpenPNSError, WireError

# Fixed by the wire protocol: a code never changes its meaning.
TEXTS = {
    1001: "Missing common parameters",
    1002: "Parameter error",
    1003: "Invalid signature",
    1004: "Timestamp has expired",
    1005: "Insufficient permissions",
    10001: "Empty binding number",
    10002: "Same binding number",
    10004: "Different prefix for binding numbers",
    10007: "Virtual number without prefix",
    10008: "User has no virtual number",
    10009: "Failed to retrieve data",
    10010: "Virtual number exhausted",
    10011: "Incorrect list page capacity",
    10012: "Incorrect list page starting point",
    10013: "binding not exist",
    19001: "Number group does not exist",
    19002: "Number group is full",
    19003: "Too many requests",
    19004: "Service unavailable",
    19005: "Internal error",
    19006: "Outcome unknown",
    19007: "Client token reused",
    19008: "Binding conflict",
    19009: "customerBindId in use",
    19010: "Number group is bound",
    19011: "Not found",
    19012: "Quota exceeded",
    19013: "Nonce already used",
}
TREE = """\
ConfigError
  EntryNotFound
  DatabaseUnavailable
ClientClosed
TransportError
  ConnectFailed
  ConnectionLost
  AnswerTooLate
  AnswerUnreadable
    AnswerTooLarge
WireError
  MissingHeaders
  ParameterError
    ParameterUnfit
    PathNotFound
    MethodNotAllowed
    BodyTooLarge
  InvalidSignature
  TimestampExpired
  PermissionDenied
  EmptyPhone
  SamePhone
  CountryMismatch
  DidWithoutCountry
  NoVirtualNumber
  ReadFailed
  PoolExhausted
  LimitOutOfRange
  OffsetOutOfRange
  BindingNotFound
  GroupNotFound
  GroupFull
  RateLimited
  ServiceUnavailable
    Overloaded
  InternalError
  OutcomeUnknown
  ClientTokenReused
  BindingConflict
  CustomerBindIdInUse
  GroupBound
  NotFound
  QuotaExceeded
  NonceReused
  UnknownCode"""
STATUSES = {
    "PathNotFound": 404,
    "MethodNotAllowed": 405,
    "BodyTooLarge": 413,
    "ServiceUnavailable": 503,
    "Overloaded": 503,
    "InternalError": 500,
    "OutcomeUnknown": 503,
}


class Drawn(NamedTuple):
    """A class of the tree."""

    depth: int
    name: str
    code: int | None
    http_status: int


def tree(error: type[Exception], depth: int = 0) -> Iterator[Drawn]:
    """Return every subclass, in the order of definition."""
    for below in error.__subclasses__():
        if below.__module__.startswith(f"{errors.__name__}."):
            code, status = getattr(below, "code", None), getattr(below, "http_status", 200)
            yield Drawn(depth, below.__name__, code, status)
            yield from tree(below, depth + 1)


def test_wire_errors_have_the_codes_and_texts_of_the_protocol() -> None:
    assert {code: error.text for code, error in WIRE_ERRORS.items()} == TEXTS


def all_errors() -> list[OpenPNSError]:
    """An error of each class."""
    made: list[OpenPNSError] = [errors.ConfigError("port: wrong"), errors.ClientClosed()]
    for drawn in tree(OpenPNSError):
        kind = getattr(errors, drawn.name)
        if issubclass(kind, errors.TransportError):
            made.append(kind("listGroup", "why", http_status=502))
        elif issubclass(kind, WireError) and kind is not WireError:
            made.append(kind("it must be blue"))
    return made


def test_wire_errors_contains_every_wire_error() -> None:
    codes = {error.code for error in tree(WireError) if error.name != "UnknownCode"}
    assert codes == set(WIRE_ERRORS)


def test_error_tree_is_the_documented_one() -> None:
    assert [f"{'  ' * error.depth}{error.name}" for error in tree(OpenPNSError)] == TREE.split("\n")
    statuses = {error.name: error.http_status for error in tree(WireError)}
    assert {name: status for name, status in statuses.items() if status != 200} == STATUSES


def test_retry_after_is_set_for_temporary_errors_only() -> None:
    waits = {error for error in WIRE_ERRORS.values() if error.retry_after_s is not None}
    assert waits == {errors.ServiceUnavailable}


@pytest.mark.parametrize("error", WIRE_ERRORS.values(), ids=lambda error: error.__name__)
def test_msg_begins_with_the_text_of_the_code(error: type[WireError]) -> None:
    assert error().msg == error.text
    assert error("it must be blue").msg == f"{error.text}: it must be blue"
    assert str(error("it must be blue")) == error("it must be blue").msg


@pytest.mark.parametrize("error", WIRE_ERRORS.values(), ids=lambda error: error.__name__)
def test_docstring_has_complete_sentences(error: type[WireError]) -> None:
    assert re.fullmatch(r"[A-Z`].*\.\s*", error.__doc__ or "", re.DOTALL)


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: type(error).__name__)
def test_error_can_be_sent_to_another_process(error: OpenPNSError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), repr(again)) == (str(error), repr(error))
    assert vars(again) == vars(error)


def test_refusals_that_depend_on_the_state_are_recorded() -> None:
    recorded = {code for code, error in WIRE_ERRORS.items() if error.is_recorded}
    assert recorded == {
        *(10001, 10002, 10004, 10008, 10010, 10013),
        *(19001, 19002, 19008, 19009, 19010, 19011, 19012),
    }
