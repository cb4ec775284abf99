import io
import threading
from types import SimpleNamespace

import pytest

from openpns.cli import progress
from openpns.cli.progress import Progress


class Terminal(io.StringIO):
    """Stderr that is a terminal; it says when something is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.is_drawn = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        written = super().write(text)
        self.is_drawn.set()
        return written


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=terminal))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "_SHOWN_AFTER_S", 0)
    return terminal


def test_text_has_a_bar_or_a_count() -> None:
    shown = Progress("importing")
    assert shown.text() == "importing  0 s"
    shown.done = 30
    assert shown.text() == "importing  30  0 s"
    shown.total = 60
    assert shown.text() == "importing  [##########----------] 50%  0 s"
    shown.done = 70
    assert shown.text() == "importing  [####################] 100%  0 s"


def test_progress_is_drawn_on_a_terminal_and_erased(terminal: Terminal) -> None:
    with progress.progress("importing"):
        assert terminal.is_drawn.wait(60)
    assert "importing  " in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_progress_is_erased_after_an_error(terminal: Terminal) -> None:
    def work() -> None:
        with progress.progress("importing"):
            assert terminal.is_drawn.wait(60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_short_work_shows_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SHOWN_AFTER_S", 600)
    with progress.progress("importing") as shown:
        shown.done = 1
    assert terminal.getvalue() == ""


def test_progress_needs_a_terminal_that_can_erase(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = threading.active_count()
    monkeypatch.setenv("TERM", "dumb")
    with progress.progress("importing"):
        assert threading.active_count() == threads
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    with progress.progress("importing"):
        assert threading.active_count() == threads
    assert terminal.getvalue() == ""
