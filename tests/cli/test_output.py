import pytest

from openpns.cli.output import cut, plain, print_table, width


def _table(capsys: pytest.CaptureFixture[str], *rows: tuple[str, ...]) -> list[str]:
    print_table(("name", "state"), rows, empty="none")
    return capsys.readouterr().out.splitlines()


def test_columns_stand_under_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert _table(capsys, ("a", "active"), ("longer name", "off")) == [
        "name         state",
        "a            active",
        "longer name  off",
    ]


def test_chinese_names_take_two_cells_a_character(capsys: pytest.CaptureFixture[str]) -> None:
    assert _table(capsys, ("中文客户", "active"), ("ＡＢ", "off"), ("é", "off")) == [
        "name      state",
        "中文客户  active",
        "ＡＢ      off",
        "é         off",
    ]


def test_without_rows_a_sentence_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [], empty="none yet")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "none yet\n")


@pytest.mark.parametrize(
    ("text", "cells_max", "shown"),
    [
        ("groupA", 6, "groupA"),
        ("groupAB", 6, "group…"),
        ("销售一部", 8, "销售一部"),
        ("销售一部", 7, "销售一…"),
        ("销售一部", 6, "销售…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
    ],
)
def test_a_text_is_cut_to_the_cells_it_may_take(text: str, cells_max: int, shown: str) -> None:
    assert cut(text, cells_max) == shown
    assert width(cut(text, cells_max)) <= cells_max


def test_what_a_server_sends_cannot_move_the_cursor_or_turn_the_line_around() -> None:
    assert plain("a\x1b[2Jb\x9bc\u202ed\u2066e") == "a�[2Jb�c�d�e"
    assert plain("销售\u200d一部 ok") == "销售\u200d一部 ok"
