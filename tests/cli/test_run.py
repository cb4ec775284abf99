import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.cli.conftest import Run

from openpns import __version__, errors
from openpns.cli.lazy import LazyGroup
from openpns.cli.root import cli

SECRET = "hunter22"


def test_missing_server_packages_are_one_line_with_the_command() -> None:
    code = "import sys; sys.modules['apsw'] = None\nfrom openpns.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "customers", "list", "--database", f"sqlite:///{__file__}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "openpns: this command needs the server's packages (apsw is missing); install them with: "
        "pip install 'openpns[server]'\n"
    )


def test_missing_module_of_openpns_is_a_bug(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = LazyGroup("broken", package="openpns", lazy={"one": ("no_such_module:one", "Fail.")})
    monkeypatch.setitem(cli.commands, "broken", broken)
    done = run_anywhere("broken", "one", code=70)
    assert done.err.startswith("openpns: a bug: ModuleNotFoundError at lazy.py:")


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigError("a setting"),
        errors.ParameterError("a field"),
        errors.GroupNotFound(),
        errors.TimestampExpired(),
        errors.GroupFull(),
        errors.ConnectFailed("listGroup", "refused"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_is_one_line_and_its_exit_code(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch, error: errors.OpenPNSError
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setitem(cli.commands, "fail", click.Command("fail", callback=fail))
    done = run_anywhere("fail", code=error.exit_code)
    assert done.err == f"openpns: {error}\n"
    assert done.out == ""


@pytest.mark.parametrize(("value", "colours"), [("1", "never"), ("", "auto"), (None, "auto")])
def test_no_color_switches_colours_off(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch, value: str | None, colours: str
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv("NO_COLOR", value)

    def ask() -> None:
        click.echo({False: "never", None: "auto"}[click.get_current_context().color])

    monkeypatch.setitem(cli.commands, "ask", click.Command("ask", callback=ask))
    assert run_anywhere("ask").out == f"{colours}\n"


def test_dumb_terminal_gets_no_colours(run_anywhere: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown: list[bool | None] = []
    ask = click.Command("ask", callback=lambda: shown.append(click.get_current_context().color))
    monkeypatch.setitem(cli.commands, "ask", ask)
    run_anywhere("ask")
    assert shown == [False]


def _fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setitem(cli.commands, "fail", click.Command("fail", callback=fail))


@pytest.mark.parametrize("is_debug", [False, True])
def test_bug_is_one_line_that_says_how_to_report_it(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch, is_debug: bool
) -> None:
    _fail_with(monkeypatch, KeyError(SECRET))
    monkeypatch.setenv("OPENPNS_DEBUG", "1" if is_debug else "")
    done = run_anywhere("fail", code=70)
    *trace, line = done.err.splitlines()
    assert line.startswith("openpns: a bug: KeyError at ")
    assert line.endswith(
        f"; please report it with the version ({__version__}), the command, and what it prints "
        "with OPENPNS_DEBUG=1"
    )
    assert bool(trace) == is_debug
    assert SECRET not in done.err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file", "/no/file\x1b"), "/no/file\ufffd: No such file"),
        (FileNotFoundError(2, "No such file", b"/no/caf\xe9"), "/no/caf\ufffd: No such file"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_failure_of_the_system_is_one_line(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    _fail_with(monkeypatch, error)
    assert run_anywhere("fail", code=1).err == f"openpns: {line}\n"


def test_usage_error_is_shown_as_plain_text(run_anywhere: Run) -> None:
    done = run_anywhere("completion", "bash", "a\u202eb", code=2)
    assert "a\ufffdb" in done.err


def test_refused_confirmation_is_one_line(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = click.Command("ask", callback=lambda: click.confirm("Sure?", abort=True, err=True))
    monkeypatch.setitem(cli.commands, "ask", ask)
    done = run_anywhere("ask", stdin=b"n\n", code=1)
    assert done.err.endswith("openpns: not confirmed: nothing was done\n")


def test_interrupt_is_one_line_and_exit_code_130(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail_with(monkeypatch, KeyboardInterrupt())
    done = run_anywhere("fail", code=128 + signal.SIGINT)
    assert (done.out, done.err) == ("", "openpns: interrupted\n")


def test_module_runs_as_a_program(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "openpns", "--version"]
    assert subprocess.check_output(run, text=True, cwd=tmp_path, env=os.environ) == (
        f"openpns, version {__version__}\n"
    )
