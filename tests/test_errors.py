import inspect
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
    10009: "Failed to retrieve data",
    10011: "Incorrect list page capacity",
    10012: "Incorrect list page starting point",
    19001: "Number group does not exist",
    19002: "Number group is full",
    19003: "Too many requests",
    19004: "Service unavailable",
    19005: "Internal error",
    19006: "Outcome unknown",
    19007: "Client token reused",
}
STATUSES_BEFORE_AN_ACTION = {404, 405, 413, 500, 503}


class Drawn(NamedTuple):
    """A class as the tree in the docstring shows it."""

    depth: int
    name: str
    code: int | None
    http_status: int


def tree(error: type[Exception], depth: int = 0) -> Iterator[Drawn]:
    """Return every subclass, in the order of definition."""
    for below in error.__subclasses__():
        if below.__module__ == errors.__name__:
            code, status = getattr(below, "code", None), getattr(below, "http_status", 200)
            yield Drawn(depth, below.__name__, code, status)
            yield from tree(below, depth + 1)


def test_wire_errors_have_the_codes_and_texts_of_the_protocol() -> None:
    assert {code: error.text for code, error in WIRE_ERRORS.items()} == TEXTS


def test_wire_errors_contains_every_wire_error() -> None:
    codes = {error.code for error in tree(WireError) if error.name != "UnknownCode"}
    assert codes == set(WIRE_ERRORS)


def test_error_tree_is_the_one_in_the_module_docstring() -> None:
    drawing = re.finditer(
        r"^    ([│ ]*)[├└]── (\w+)(?: +(\d+)\b)?(?:, HTTP (\d+))?",
        inspect.getdoc(errors) or "",
        re.MULTILINE,
    )
    assert list(tree(OpenPNSError)) == [
        Drawn(
            len(match[1]) // 4,
            match[2],
            int(match[3]) if match[3] else None,
            int(match[4] or 200),
        )
        for match in drawing
    ]


def test_http_status_is_200_unless_the_request_did_not_reach_an_action() -> None:
    statuses = {error.http_status for error in tree(WireError)} - {200}
    assert statuses == STATUSES_BEFORE_AN_ACTION


def test_retry_after_is_set_for_temporary_errors_only() -> None:
    waits = {error for error in WIRE_ERRORS.values() if error.retry_after_s is not None}
    assert waits == {errors.ServiceUnavailable}


@pytest.mark.parametrize("error", WIRE_ERRORS.values(), ids=lambda error: error.__name__)
def test_msg_begins_with_the_text_of_the_code(error: type[WireError]) -> None:
    assert error().msg == error.text
    assert error("it must be blue").msg == f"{error.text}: it must be blue"
    assert str(error("it must be blue")) == error("it must be blue").msg


@pytest.mark.parametrize("error", WIRE_ERRORS.values(), ids=lambda error: error.__name__)
def test_when_is_a_complete_sentence(error: type[WireError]) -> None:
    assert re.fullmatch(r"[A-Z`].*\.", error.when)


def test_refusals_that_depend_on_the_state_are_recorded() -> None:
    recorded = {code for code, error in WIRE_ERRORS.items() if error.is_recorded}
    assert recorded == {19001, 19002}
