"""Runs a command. One that fails says why in one line, and its exit code says the kind.

A traceback is for bugs only, and only if OPENPNS_DEBUG asks for it.
"""

import io
import os
import sys
import traceback
from pathlib import Path
from typing import Final

import click

from openpns import __version__
from openpns.cli.exit_codes import ExitCode
from openpns.cli.root import cli
from openpns.cli.streams import OutputFailed, standard_streams
from openpns.errors import OpenPNSError
from openpns.kit import environment
from openpns.kit.interrupts import as_interrupts
from openpns.kit.plain_text import plain

DEBUG_VARIABLE: Final = "OPENPNS_DEBUG"
_EXTRAS: Final = {"standardwebhooks": ("the packages for webhooks", "webhooks")}
_PACKAGE: Final = Path(__file__).parents[1]


def run() -> int:
    """Run the command of `sys.argv`; return its exit code."""
    environment.tidy(os.environ)
    with as_interrupts() as interrupted:
        try:
            with standard_streams():
                return _run_command()
        except KeyboardInterrupt:
            _say("interrupted")
            return interrupted()
        except click.Abort as error:
            if sys.stderr.isatty():  # the cursor is behind ^C, or behind a question
                click.echo(err=True)
            if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
                _say("interrupted")
                return interrupted()
            _say("not confirmed: nothing was done")
            return ExitCode.FAILED
        except Exception as error:  # noqa: BLE001 - each becomes one line
            return _explain(error)


def _run_command() -> int:
    # https://no-color.org: any value but an empty one. click itself does not look at it.
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    try:
        ended = cli.main(
            prog_name="openpns", standalone_mode=False, color=False if is_plain else None
        )
    except SystemExit as exited:
        ended = exited.code or ExitCode.OK
        return ended if isinstance(ended, int) else ExitCode.FAILED
    return ended if isinstance(ended, int) else ExitCode.OK  # else what the command returned


def _explain(error: Exception) -> int:
    """Print why a command failed; return its exit code."""
    if isinstance(error, OutputFailed):
        return _explain_output(error)
    if isinstance(error, click.UsageError):
        shown = io.StringIO()
        error.show(shown)
        click.echo("\n".join(map(plain, shown.getvalue().splitlines())), err=True)
        return error.exit_code
    if isinstance(error, OpenPNSError | click.ClickException):
        _say(error.message if isinstance(error, click.ClickException) else str(error))
        return error.exit_code
    cause = _cause(error)
    _say(cause or _bug_report(error))
    return ExitCode.FAILED if cause else ExitCode.BUG


def _explain_output(error: OutputFailed) -> int:
    if error.is_shown:
        return error.exit_code
    if error.is_left:
        return ExitCode.BROKEN_PIPE
    _say(str(error))
    return error.exit_code


def _cause(error: Exception) -> str | None:
    """Return what the system or the installation lacks; None if the error is a bug."""
    if isinstance(error, OSError) and error.strerror:
        file = error.filename
        place = os.fsdecode(file) if isinstance(file, str | bytes) else ""
        return f"{place}: {error.strerror}" if place else error.strerror
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("openpns"):
        whose, extra = _EXTRAS.get(error.name or "", ("the server's packages", "server"))
        return (
            f"this command needs {whose} ({error.name} is missing); "
            f"install them with: pip install 'openpns[{extra}]'"
        )
    return None


def _bug_report(error: BaseException) -> str:
    """Return the type of an error and its place. Its text may contain a secret or a phone."""
    frames = traceback.extract_tb(error.__traceback__)
    if os.environ.get(DEBUG_VARIABLE):
        click.echo("".join(traceback.format_list(frames)), nl=False, err=True)
    own = [frame for frame in frames if _PACKAGE in Path(frame.filename).parents]
    return (
        f"a bug: {type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno}; please "
        f"report it with the version ({__version__}), the command, and what it prints with "
        f"{DEBUG_VARIABLE}=1"
    )


def _say(text: str) -> None:
    click.echo(plain(f"openpns: {text}"), err=True)
    sys.stderr.flush()
