"""Results are written, read again, and merged by group."""

from pathlib import Path

from bench.__main__ import GROUPS
from bench.figures import Row
from bench.results import Group, read, write


def group(date: str, work: str) -> Group:
    return Group({"date": date}, 1.5, [Row("run", work, "x", figures={"cpu_us": [1.23456789]})])


def test_run_of_a_group_replaces_the_rows_of_this_group_only(tmp_path: Path) -> None:
    assert read(tmp_path) == {}
    write(tmp_path, {"reads": group("Monday", "page"), "writes": group("Monday", "create")})
    write(tmp_path, {"writes": group("Friday", "update")})
    found = read(tmp_path)
    assert {name: each.facts["date"] for name, each in found.items()} == {
        "reads": "Monday",
        "writes": "Friday",
    }
    assert [row.work for row in found["writes"].rows] == ["update"]
    assert found["reads"].rows[0].values("cpu_us") == [1.2346]
    assert found["reads"].minutes == 1.5


def test_results_of_every_group_can_be_written(tmp_path: Path) -> None:
    write(tmp_path, {name: group("Monday", name) for name in GROUPS})
    assert [*read(tmp_path)] == [*GROUPS]


def test_each_row_is_one_line(tmp_path: Path) -> None:
    write(tmp_path, {"reads": group("Monday", "page")})
    lines = (tmp_path / "latest.json").read_text("utf-8").splitlines()
    assert sum('"work": "page"' in line for line in lines) == 1
