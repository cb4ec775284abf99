import csv
import io

import pytest
from tests.cli.conftest import Run, SharedServer
from tests.helpers import on_sqlite_only

from openpns import limits
from openpns.cli.groups.printing import cut_phones
from openpns.cli.output import width

NAMES = ["groupA", "销售一部", "a name that is much longer than the column", "é"]
PHONES = [f"8521111{number:04}" for number in range(12)]


@pytest.fixture
def ids(server: SharedServer) -> list[str]:
    """Groups with 3, 6, 9 and 12 phones; oldest first."""
    return [
        server.call(
            "createGroup",
            {"phones": ",".join(PHONES[: 3 * place]), "groupName": name, "remark": name[::-1]},
        )["groupId"]
        for place, name in enumerate(NAMES, start=1)
    ]


@on_sqlite_only
@pytest.mark.parametrize("columns", [100, 160, 80])
def test_list_fits_the_terminal_with_chinese_names(
    run_anywhere: Run, ids: list[str], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpns.cli.groups.printing.terminal_width", lambda: columns)
    head, *rows = run_anywhere("groups", "list").out.splitlines()
    assert head.split() == ["groupId", "name", "count", "phones", "remark"]
    assert max(width(row) for row in rows) <= columns
    assert [row.split()[0] for row in rows] == ids
    phones_at = width(head[: head.index("phones")])
    for place, row in enumerate(rows, start=1):
        begin = row.index("85211110000")
        assert width(row[:begin]) == phones_at
        assert row[:begin].split()[-1] == str(3 * place)
        shown, _, more = row[begin:].partition(" +")
        assert shown.split()[0].count(",") + 1 + int((more.split() or [0])[0]) == 3 * place
    assert "销售" in rows[1]
    assert "…" in rows[2]


@on_sqlite_only
def test_list_cuts_nothing_on_a_wide_terminal(
    run_anywhere: Run, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpns.cli.groups.printing.terminal_width", lambda: 300)
    rows = run_anywhere("groups", "list", "--limit", "2").out.splitlines()
    assert rows[2] == f"{ids[1]}  销售一部      6  {','.join(PHONES[:6])}  部一售销"


@on_sqlite_only
def test_list_cuts_nothing_without_a_terminal(
    run_anywhere: Run, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = run_anywhere("groups", "list").out.splitlines()
    for row, name, count in zip(rows[1:], NAMES, (3, 6, 9, 12), strict=True):
        assert f"  {name} " in row
        assert f"  {','.join(PHONES[:count])}  " in row
        assert row.endswith(name[::-1])
    assert max(map(len, rows[1:3])) < len(rows[4])  # not filled up to the longest one


@on_sqlite_only
def test_empty_list_writes_to_stderr(run_anywhere: Run, server: SharedServer) -> None:
    done = run_anywhere("groups", "list")
    assert (done.out, done.err) == ("", "no groups; create one with: openpns groups create\n")
    assert run_anywhere("groups", "list", "--json").out == "[]\n"
    assert run_anywhere("groups", "list", "--csv").out == "groupId,groupName,phones,remark\n"
    assert run_anywhere("groups", "list", "-q").out == ""


@on_sqlite_only
def test_json_csv_and_ids_show_the_same_groups(run_anywhere: Run, ids: list[str]) -> None:
    listed = run_anywhere("groups", "list", "--json").json
    assert [group["groupId"] for group in listed] == ids
    assert listed[1] == {
        "groupId": ids[1],
        "groupName": "销售一部",
        "phones": PHONES[:6],
        "remark": "部一售销",
        "customerId": "cus_1",
    }
    rows = [*csv.DictReader(io.StringIO(run_anywhere("groups", "list", "--csv").out))]
    assert [row["phones"].split(",") for row in rows] == [group["phones"] for group in listed]
    assert run_anywhere("groups", "list", "-q").out.split() == ids


@on_sqlite_only
@pytest.mark.parametrize(
    ("options", "places"),
    [
        (["--limit", "2"], [0, 1]),
        (["--offset", "3"], [3]),
        (["--limit", "2", "--offset", "1"], [1, 2]),
        (["--limit", "0"], []),
        (["--offset", "9"], []),
    ],
)
def test_list_limit_and_offset(
    run_anywhere: Run, ids: list[str], options: list[str], places: list[int]
) -> None:
    expected = [ids[place] for place in places]
    assert run_anywhere("groups", "list", "-q", *options).out.split() == expected


@on_sqlite_only
def test_list_prints_all_pages(
    run_anywhere: Run, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GROUPS_IN_PAGE_MAX", 3)
    for form in ("--json", "--csv", "-q"):
        text = run_anywhere("groups", "list", form).out
        assert [text.count(group_id) for group_id in ids] == [1] * len(ids)
    assert run_anywhere("groups", "list", "--limit", "4", "-q").out.split() == ids
    rows = run_anywhere("groups", "list").out.splitlines()
    assert [row.split()[0] for row in rows] == ["groupId", *ids]


@pytest.mark.parametrize(
    ("count", "cells", "shown"),
    [
        (0, 20, "-"),
        (1, 11, "85211110000"),
        (2, 23, "85211110000,85211110001"),
        (2, 22, "85211110000 +1"),
        (12, 30, "85211110000,85211110001 +10"),
        (3, 10, "+3"),
    ],
)
def test_cut_phones_shows_as_many_as_fit(count: int, cells: int, shown: str) -> None:
    assert cut_phones(PHONES[:count], cells) == shown


@on_sqlite_only
@pytest.mark.parametrize("columns", [66, 72])
def test_list_fits_a_narrow_terminal(
    run_anywhere: Run, ids: list[str], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpns.cli.groups.printing.terminal_width", lambda: columns)
    rows = run_anywhere("groups", "list").out.splitlines()
    assert max(map(width, rows)) <= columns
    assert [row.split()[0] for row in rows[1:]] == ids
