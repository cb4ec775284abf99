import re
from pathlib import Path

import pytest

from openpns import errors
from openpns.cli.exit_codes import ExitCode, exit_code_of

DOCS = Path(__file__).parents[2] / "docs"
ALL_ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.OpenPNSError)
]
EXPECTED = {
    ExitCode.FAILED: {
        "OpenPNSError", "WireError", "MissingHeaders", "ParameterError", "PathNotFound",
        "MethodNotAllowed", "BodyTooLarge", "ClientTokenReused", "UnknownCode",
    },
    ExitCode.USAGE: {"ConfigError"},
    ExitCode.NOT_FOUND: {"GroupNotFound"},
    ExitCode.AUTHENTICATION: {"InvalidSignature", "TimestampExpired", "PermissionDenied"},
    ExitCode.LIMITS: {"GroupFull", "RateLimited", "LimitOutOfRange", "OffsetOutOfRange"},
    ExitCode.UNAVAILABLE: {
        "ServiceUnavailable", "Overloaded", "InternalError", "OutcomeUnknown", "ReadFailed",
        "TransportError", "ConnectFailed", "ConnectionLost", "AnswerTooLate", "AnswerUnreadable",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_every_error_has_its_exit_code(kind: type[errors.OpenPNSError]) -> None:
    # Made without its arguments: only the class counts.
    code = exit_code_of(kind.__new__(kind))
    assert kind.__name__ in EXPECTED[code]


def test_the_docs_have_every_exit_code_once() -> None:
    table = re.findall(r"^\| (\d+) \|", (DOCS / "cli.md").read_text("utf-8"), re.MULTILINE)
    assert table == [str(code.value) for code in ExitCode]
