import re
from pathlib import Path

import pytest

from openpns import errors
from openpns.cli.exit_codes import ExitCode

DOCS = Path(__file__).parents[2] / "docs"
ALL_ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.OpenPNSError)
]
EXPECTED = {
    ExitCode.FAILED: {
        "OpenPNSError", "ClientClosed", "WireError", "MissingHeaders", "ParameterError",
        "PathNotFound", "MethodNotAllowed", "BodyTooLarge", "ClientTokenReused", "NonceReused",
        "UnknownCode", "ParameterUnfit",
    },
    ExitCode.USAGE: {"ConfigError"},
    ExitCode.NOT_FOUND: {
        "GroupNotFound", "BindingNotFound", "NoVirtualNumber", "NotFound", "EntryNotFound",
    },
    ExitCode.AUTHENTICATION: {"InvalidSignature", "TimestampExpired", "PermissionDenied"},
    ExitCode.LIMITS: {
        "GroupFull", "RateLimited", "LimitOutOfRange", "OffsetOutOfRange", "QuotaExceeded",
        "EmptyPhone", "SamePhone", "CountryMismatch", "DidWithoutCountry", "PoolExhausted",
        "BindingConflict", "CustomerBindIdInUse", "GroupBound",
    },
    ExitCode.UNAVAILABLE: {
        "ServiceUnavailable", "Overloaded", "InternalError", "OutcomeUnknown", "ReadFailed",
        "TransportError", "ConnectFailed", "ConnectionLost", "AnswerTooLate", "AnswerUnreadable",
        "AnswerTooLarge", "DatabaseUnavailable",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_exit_code_of_error_class(kind: type[errors.OpenPNSError]) -> None:
    assert kind.__name__ in EXPECTED[ExitCode(kind.exit_code)]


def test_docs_list_every_exit_code_once() -> None:
    table = re.findall(r"^\| (\d+) \|", (DOCS / "cli.md").read_text("utf-8"), re.MULTILINE)
    assert table == [str(code.value) for code in ExitCode]
