import pytest

from openpns.cli.database import print_table, when


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


def test_a_time_is_shown_in_utc_and_never_as_a_dash() -> None:
    assert when(1_670_479_632_933) == "2022-12-08 06:07:12Z"
    assert when(None) == "-"
