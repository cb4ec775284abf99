"""The standard streams of a command, and what happens if they cannot be written.

A failed write to stdout raises `OutputFailed`. A failed write to stderr is ignored: there is nobody
to report it to.
"""

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, ClassVar, Final, TextIO

import click

from openpns.cli.exit_codes import ExitCode
from openpns.errors import OpenPNSError
from openpns.kit.interrupts import is_interrupted

_ESCAPED: Final = "openpns-escaped"
_LOOK_EACH_S: Final = 0.1
"""How often a write that waits for its reader looks for an interrupt."""


class OutputFailed(OpenPNSError):
    """Stdout cannot be written.

    Attributes:
        is_left: The reader of the pipe has closed it, as `head` does.
        is_shown: The user knows it already.
    """

    exit_code: ClassVar[int] = ExitCode.OUTPUT
    is_shown = False

    def __init__(self, error: OSError) -> None:
        self.is_left = error.errno == errno.EPIPE
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        super().__init__(f"stdout: cannot write it ({why})")


class _Waiting(io.FileIO):
    """A descriptor that waits for its reader, also if whoever opened it made it non-blocking.

    After an interrupt it does not wait: what the reader does not take is dropped.
    """

    def write(self, data: Any) -> int:
        while True:
            # A signal that only cancels a task does not end a wait; it is seen between two.
            if select.select([], [self], [], 0 if is_interrupted() else _LOOK_EACH_S)[1]:
                # So few bytes fit into a pipe that can be written.
                written = super().write(data[: select.PIPE_BUF])
                if written is not None:
                    return written
            elif is_interrupted():
                return len(data)


class _Output(_Waiting):
    """Stdout: the first write that fails raises OutputFailed, later output is dropped."""

    is_closed = False
    failure: OutputFailed | None = None

    def write(self, data: Any) -> int:
        if self.failure is not None:
            return len(data)
        try:
            if self.is_closed:
                raise OSError(errno.EBADF, "")
            return super().write(data)
        except OSError as error:
            self.failure = OutputFailed(error)
            raise self.failure from None


class _Messages(_Waiting):
    """Stderr: a write that fails is dropped."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Prepare the streams of this process; streams that a test has replaced stay as they are.

    Closed ones are opened, or else a file or a socket would get their descriptor. Characters that
    the encoding of stdout does not have are written as in JSON.

    Raises:
        OutputFailed: At the end, if the command did not raise it.
    """
    output: _Output | None = None
    is_closed = _open_closed()
    if sys.stdin is sys.__stdin__ and isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _text(_Messages(2, "w", closefd=False), sys.stderr, "backslashreplace")
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        output = _Output(1, "w", closefd=False)
        output.is_closed = is_closed
        codecs.register_error(_ESCAPED, _escape)
        sys.stdout = _text(output, sys.stdout, _ESCAPED)
    try:
        yield
    except BaseException:
        with suppress(OutputFailed):  # the command has failed already
            sys.stdout.flush()
        raise
    sys.stdout.flush()
    if output is not None and output.failure is not None:
        raise output.failure


@contextmanager
def change_result() -> Iterator[None]:
    """Print the result of a change that is made: on stderr, if stdout cannot be written in time.

    If stdout cannot be written, the command goes on, and says the rest; `standard_streams` makes it
    fail at its end.
    """
    text = _Held(sys.stdout)
    with redirect_stdout(text):
        yield
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Output) and raw.failure is not None:  # an earlier result said why
        click.echo(text.getvalue(), nl=False, err=True)
        return
    try:
        click.echo(text.getvalue(), nl=False)
    except (OutputFailed, KeyboardInterrupt) as error:
        why = error if isinstance(error, OutputFailed) else "interrupted"
        click.echo(f"openpns: {why}; the change was made, with this result:", err=True)
        click.echo(text.getvalue(), nl=False, err=True)
        if not isinstance(error, OutputFailed):
            raise
        error.is_shown = True


class _Held(io.StringIO):
    """A text for a stream: it is formatted for a terminal, if the stream is one."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def isatty(self) -> bool:
        return self._stream.isatty()


def _open_closed() -> bool:
    """Open the closed ones of the three descriptors; return whether stdout was closed."""
    is_closed = False
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:  # it is open, but not for Python
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
            stream = os.fdopen(descriptor, mode, encoding="utf-8")
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
            is_closed |= name == "stdout"
    return is_closed


def _text(raw: io.FileIO, like: io.TextIOWrapper, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding,
        errors=errors,
        line_buffering=like.line_buffering,
        write_through=like.write_through,
    )


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""Replace characters that cannot be encoded by \uXXXX, in UTF-16: JSON keeps its value."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end
