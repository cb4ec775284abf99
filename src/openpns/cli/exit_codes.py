"""The exit code of every way in which a command ends. Source: docs/cli.md."""

from enum import IntEnum
from typing import Final

from openpns.errors import (
    ConfigError,
    GroupFull,
    GroupNotFound,
    InternalError,
    InvalidSignature,
    LimitOutOfRange,
    OffsetOutOfRange,
    OpenPNSError,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    ReadFailed,
    ServiceUnavailable,
    TimestampExpired,
    TransportError,
)


class ExitCode(IntEnum):
    """What a script can tell from how a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTHENTICATION = 4
    LIMITS = 5
    UNAVAILABLE = 6


_OF_ERROR: Final[dict[type[OpenPNSError], ExitCode]] = {
    ConfigError: ExitCode.USAGE,
    GroupNotFound: ExitCode.NOT_FOUND,
    InvalidSignature: ExitCode.AUTHENTICATION,
    TimestampExpired: ExitCode.AUTHENTICATION,
    PermissionDenied: ExitCode.AUTHENTICATION,
    GroupFull: ExitCode.LIMITS,
    RateLimited: ExitCode.LIMITS,
    LimitOutOfRange: ExitCode.LIMITS,
    OffsetOutOfRange: ExitCode.LIMITS,
    ServiceUnavailable: ExitCode.UNAVAILABLE,
    InternalError: ExitCode.UNAVAILABLE,
    OutcomeUnknown: ExitCode.UNAVAILABLE,
    ReadFailed: ExitCode.UNAVAILABLE,
    TransportError: ExitCode.UNAVAILABLE,
}


def exit_code_of(error: OpenPNSError) -> ExitCode:
    """Return the exit code of a command that ended with an error.

    Args:
        error: The error; its class decides, or the nearest class above it that has a code.
    """
    codes = (_OF_ERROR[kind] for kind in type(error).__mro__ if kind in _OF_ERROR)
    return next(codes, ExitCode.FAILED)
