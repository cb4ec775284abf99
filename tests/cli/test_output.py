import pytest

from openpns.cli.output import cut, plain, print_table, width


def _table(capsys: pytest.CaptureFixture[str], *rows: tuple[str, ...]) -> list[str]:
    print_table(("name", "state"), rows, empty="none")
    return capsys.readouterr().out.splitlines()


def test_print_table_aligns_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert _table(capsys, ("a", "active"), ("longer name", "off")) == [
        "name         state",
        "a            active",
        "longer name  off",
    ]


def test_print_table_counts_two_cells_per_chinese_character(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _table(capsys, ("中文客户", "active"), ("ＡＢ", "off"), ("é", "off")) == [
        "name      state",
        "中文客户  active",
        "ＡＢ      off",
        "é         off",
    ]


def test_print_table_without_rows_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
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
def test_cut_returns_at_most_cells_max(text: str, cells_max: int, shown: str) -> None:
    assert cut(text, cells_max) == shown
    assert width(cut(text, cells_max)) <= cells_max


def test_plain_removes_control_characters_and_direction_marks() -> None:
    assert plain("a\x1b[2Jb\x9bc\u202ed\u2066e") == "a�[2Jb�c�d�e"
    assert plain("销售\u200d一部 ok") == "销售\u200d一部 ok"
