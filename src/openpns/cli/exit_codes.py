"""The exit codes of all commands. Source: docs/cli.md.

An error's class has the code of a command that it stopped: `OpenPNSError.exit_code`.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTHENTICATION = 4
    LIMITS = 5
    UNAVAILABLE = 6
    OUTPUT = 7
    BUG = 70
    BROKEN_PIPE = 141
