"""The question before something is deleted."""

import sys

import click
import pytest

from openpns.cli.confirmation import confirm


def test_without_a_terminal_the_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(click.UsageError, match="--yes is needed"):
        confirm("Delete it?")


@pytest.mark.parametrize("is_sure", [True, False])
def test_terminal_is_asked(monkeypatch: pytest.MonkeyPatch, is_sure: bool) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "y" if is_sure else ""

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", answer)
    if is_sure:
        confirm("Delete it?")
    else:
        with pytest.raises(click.Abort):
            confirm("Delete it?")
    assert len(asked) == 1
