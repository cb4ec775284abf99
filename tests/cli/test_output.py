import json
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.client.fake_server import OK, PHONE
from tests.client.hostile_server import HostileServer, hostile, response

from openpns.cli import output
from openpns.cli.output import Table, cut, print_json, print_table, width
from openpns.kit.plain_text import plain, without_controls


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


EVIL = "\x1b]0;owned\x07\x9b2J\x7f\u202e\u2066\u200f\u2028\u2029\r\n\t"
GROUP_ID = f"b8c2{EVIL}"
GROUP = {
    "groupId": GROUP_ID,
    "groupName": f"name{EVIL}",
    "phones": f"{PHONE},{EVIL}",
    "remark": f"remark{EVIL}",
    "customerId": f"cus_1{EVIL}",
}
DATA = {
    "listGroup": {"groups": [GROUP], "total": 1, "next": None},
    "getGroup": GROUP | {"count": 2, "createdMs": 0, "updatedMs": 0},
    "listGroupPhones": {"phones": f"{PHONE},{EVIL}", "total": 2},
    "getLimits": {"limits": [{"name": f"groups{EVIL}", "max": 1, "used": 0}]},
    "updateGroup": {"added": 1, "removed": 0, "unchanged": 0, "count": 1},
}


def evil_answer(server: HostileServer, code: int) -> bytes:
    """The response to the last request, with control characters in every text."""
    action = server.requests[-1].partition(b"action: ")[2].partition(b"\r")[0].decode()
    envelope = OK | {"code": code, "msg": f"msg{EVIL}", "requestId": f"1{EVIL}"}
    if not code:
        envelope |= {"data": DATA.get(action), "groupId": GROUP_ID}
    return response(json.dumps(envelope).encode(), "X-Request-Id: 1\x9b2J")


COMMANDS = [
    ("groups", "list"),
    ("groups", "list", "-q"),
    ("groups", "list", "--csv"),
    ("groups", "list", "--json"),
    ("groups", "find", "--name", "n"),
    ("groups", "find", "--name", "n", "--csv"),
    ("groups", "get", "b8c2"),
    ("groups", "get", "b8c2", "--json"),
    ("groups", "show", "b8c2"),
    ("groups", "show", "b8c2", "--json"),
    ("groups", "phones", "b8c2"),
    ("groups", "phones", "b8c2", "--json"),
    ("groups", "create", PHONE),
    ("groups", "create", PHONE, "--json"),
    ("groups", "add", "b8c2", PHONE, "--detail"),
    ("groups", "rename", "b8c2", "--name", "n"),
    ("groups", "delete", "b8c2", "--yes"),
    ("groups", "export", "--format", "jsonl"),
    ("limits",),
    ("limits", "--json"),
    ("request", "listGroup"),
    ("doctor",),
    ("doctor", "--json"),
]


@pytest.mark.parametrize("code", [0, 1002])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_prints_control_characters_of_a_server(
    run_anywhere: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: tuple[str, ...],
    code: int,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("OPENPNS_ACCESS_KEY", "key")
    monkeypatch.setenv("OPENPNS_ACCESS_SECRET", "secret")
    with hostile(lambda: [evil_answer(server, code)]) as server:
        monkeypatch.setenv("OPENPNS_BASE_URL", server.url)
        done = run_anywhere(*command, code=None)
        assert server.requests
    assert (done.code == 0) is (code == 0)
    shown = done.out + done.err
    # CSV that is not for a terminal keeps marks of the direction, as an export does.
    clean = without_controls if "--csv" in command else plain
    assert [line for line in shown.split("\n") if clean(line) != line] == []


def test_print_json_keeps_the_value(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": EVIL})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"name": EVIL}
    assert shown.isascii()


def test_print_table_shows_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert _table(capsys, ("a\x1b[2J\u202e", "b"))[1:] == ["a\ufffd[2J\ufffd  b"]


class Stdout:
    """Stdout that is a terminal, or is not."""

    def __init__(self, *, is_terminal: bool) -> None:
        self.isatty = lambda: is_terminal


@pytest.mark.parametrize(("is_terminal", "cells"), [(True, 40), (False, None)])
def test_terminal_width_is_none_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, cells: int | None
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Stdout(is_terminal=is_terminal))
        found = output.terminal_width()
    assert found == cells


def test_table_that_does_not_fit_prints_a_line_per_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: 20)
    table = Table(("name", "long column"))
    table.print([("销售一部", "a text of 23 characters")])
    table.print([("b\x1b", "c")])
    assert capsys.readouterr().out.splitlines() == [
        "name         销售一部",
        "long column  a text of 23 characters",
        "",
        "name         b\ufffd",
        "long column  c",
        "",
    ]


def test_table_that_fits_keeps_its_columns_in_later_slices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: 20)
    table = Table(("a", "b"))
    table.print([("one", "two")])
    table.print([("1", "2"), ("longer", "3")])
    assert capsys.readouterr().out.splitlines() == [
        "a    b", "one  two", "1       2", "longer  3",
    ]  # fmt: skip
