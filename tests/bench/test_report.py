"""Tables and charts of results, and writing tables into a page."""

import pytest
from bench.figures import LIMIT, Row
from bench.report import PAGES, charts_of, table, tables_of, with_tables
from bench.results import Group, Results
from bench.targets import POSTGRES, REPEATED, SQLITE, START

PAGE = """Before.
<!-- begin measured: targets -->
old
<!-- end measured -->
Between.
<!-- begin measured: runs -->
<!-- end measured -->
"""


def load(run: str, work: str, side: str, cpu_us: float, groups: int | None = None) -> Row:
    figures = {"cpu_us": [cpu_us] * 3, "database_us": [0.0] * 3, "rate": [1000.0, 900.0, 1234.0]}
    return Row(run, work, side, groups, figures)


@pytest.fixture
def results() -> Results:
    """A run that found a little."""
    reads = [
        load(REPEATED, REPEATED, LIMIT, 7.0),
        load(REPEATED, REPEATED, SQLITE, 14.35),
        load("1000 groups", "find", SQLITE, 100.0, 1000),
        load("10000 groups", "find", SQLITE, 110.0, 10_000),
    ]
    life = [Row("start", START, POSTGRES, figures={"start_s": [0.5, 0.55, 0.7]})]
    return {"reads": Group({"CPU": "some"}, 2.5, reads), "life": Group({"CPU": "other"}, 1.0, life)}


def test_table_is_markdown() -> None:
    assert table(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |\n"


def test_tables_show_figures_in_parts_of_the_limit(results: Results) -> None:
    tables = tables_of(results)
    assert f"| {REPEATED} | {SQLITE} | 14.3 = 2.05 L |  | 1000 = 1 L |" in tables["figures"]
    assert "find, 10 000 groups" in tables["figures"]
    assert "find, 1 000 groups" not in tables["figures"]
    assert f"| find | {SQLITE} | 100 | 110 |" in tables["sizes"]
    assert f"| {START} | {POSTGRES} | 0.55 (0.5–0.7) |" in tables["start"]
    assert "| CPU | some | other |" in tables["runs"]
    assert "| minutes | 2.5 | 1.0 |" in tables["runs"]


def test_summary_has_main_works_and_counts_targets(results: Results) -> None:
    summary = tables_of(results)["summary"]
    assert "1 of 3 targets are met." in summary
    assert f"| {REPEATED} | 14.3 µs = 2.05 L, 1 000/s |  |" in summary


def test_targets_say_what_was_measured_and_whether_it_is_met(results: Results) -> None:
    targets = tables_of(results)["targets"]
    assert f"| {REPEATED} | {SQLITE} | ≤ 2 L | 2.05 | **no** |" in targets
    assert f"| {START} | {POSTGRES} | ≤ 0.6 s | 0.55 (0.5–0.7) | yes |" in targets
    assert "not measured | **no** |" in targets  # the peer is missing
    assert POSTGRES not in targets.replace(f"{START} | {POSTGRES}", "")


def test_charts_are_drawn_of_what_was_measured(results: Results) -> None:
    assert set(charts_of(results)) == {"targets.svg", "cost.svg", "sizes-sqlite.svg"}
    assert charts_of({}) == {}


def test_with_tables_replaces_each_table_and_keeps_the_rest() -> None:
    tables = {"targets": "| t |\n", "runs": "| m |\n"}
    once = with_tables(PAGE, tables)
    assert "old" not in once
    assert "targets -->\n| t |\n<!-- end" in once
    assert "runs -->\n| m |\n<!-- end" in once
    assert once.startswith("Before.\n")
    assert "\nBetween.\n" in once
    assert with_tables(once, tables) == once
    with pytest.raises(KeyError):
        with_tables("<!-- begin measured: unknown -->\n<!-- end measured -->", tables)


def test_pages_have_every_table_and_chart(results: Results) -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    for name in tables_of(results):
        assert text.count(f"<!-- begin measured: {name} -->\n") == 1
    for name in charts_of(results):
        assert f"]({name})" in text
