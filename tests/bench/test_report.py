"""Tables and charts of results, and writing tables into a page."""

import pytest
from bench.figures import LIMIT, Row
from bench.report import PAGES, charts_of, table, tables_of, with_tables
from bench.results import Group, Results
from bench.targets import (
    ALONE,
    ANY_FLOOD,
    BIND,
    FLOOD_BOUNDS,
    FLOODS,
    POSTGRES,
    QUERY,
    REPEATED,
    SQLITE,
    START,
)

PAGE = """Before.
<!-- begin measured: targets -->
old
<!-- end measured -->
Between.
<!-- begin measured: runs -->
<!-- end measured -->
"""


def load(
    run: str,
    work: str,
    side: str,
    cpu_us: float,
    groups: int | None = None,
    bindings: int | None = None,
) -> Row:
    figures = {"cpu_us": [cpu_us] * 3, "database_us": [0.0] * 3, "rate": [1000.0, 900.0, 1234.0]}
    return Row(run, work, side, groups, figures, bindings)


def flood(kind: str, side: str, **figures: float) -> Row:
    return Row(FLOODS, kind, side, figures={name: [value] for name, value in figures.items()})


@pytest.fixture
def results() -> Results:
    """A run that found a little."""
    reads = [
        load(REPEATED, REPEATED, LIMIT, 7.0),
        load(REPEATED, REPEATED, SQLITE, 14.35),
        load("1000 groups", "find", SQLITE, 100.0, 1000),
        load("10000 groups", "find", SQLITE, 110.0, 10_000),
    ]
    bound = [
        load("bindings", QUERY, LIMIT, 7.0),
        load("bindings", QUERY, SQLITE, 30.0, bindings=1000),
        load("bindings", QUERY, SQLITE, 35.0, bindings=9000),
        load("bindings", BIND, SQLITE, 300.0, bindings=1000),
        load("bindings", BIND, SQLITE, 330.0, bindings=9000),
    ]
    floods = [
        flood(ALONE, SQLITE, **{f"{action}_ms": 1.5 for action in FLOOD_BOUNDS}),
        flood("page", SQLITE, listGroup=19.5, createGroup=2.0, queryAXB=3.0, listGroup_ms=30.0),
        flood("create", SQLITE, listGroup=2.5, createGroup=99.0, queryAXB=3.0, listGroup_ms=4.0),
        flood(ANY_FLOOD["createGroup"], SQLITE, factor=99.0),
    ]
    life = [Row("start", START, POSTGRES, figures={"start_s": [0.5, 0.55, 0.7]})]
    return {
        "reads": Group({"CPU": "some"}, 2.5, reads),
        "bindings": Group({}, 1.0, bound),
        "life": Group({"CPU": "other"}, 1.0, life),
        "floods": Group({}, 1.0, floods),
    }


def test_table_is_markdown() -> None:
    assert table(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |\n"


def test_tables_show_figures_in_parts_of_the_limit(results: Results) -> None:
    tables = tables_of(results)
    assert f"| {REPEATED} | {SQLITE} | 14.3 = 2.05 L |  | 1000 = 1 L |" in tables["figures"]
    assert "find, 10 000 groups" in tables["figures"]
    assert "find, 1 000 groups" not in tables["figures"]
    assert f"| find | {SQLITE} | 100 | 110 |" in tables["sizes"]
    assert f"| {START} | {POSTGRES} | 0.55 (0.5–0.7) |" in tables["start"]
    assert "| CPU | some |  | other |  |" in tables["runs"]
    assert "| minutes | 2.5 | 1.0 | 1.0 | 1.0 |" in tables["runs"]


def test_tables_show_questions_and_binds_of_the_largest_customer(results: Results) -> None:
    tables = tables_of(results)
    assert f"| {QUERY}, 9 000 bindings | {SQLITE} | 35 = 5 L |" in tables["figures"]
    assert "1 000 bindings" not in tables["figures"]
    assert f"| {QUERY}, 9 000 bindings | 35 µs = 5 L, 1 000/s |  |" in tables["summary"]
    assert f"| {BIND} | {SQLITE} | 300 | 330 |" in tables["bindings"]
    assert BIND not in tables["sizes"]
    assert tables["bindingcharts"].startswith("![")


def test_floods_show_the_factors_of_each_kind_and_mark_misses(results: Results) -> None:
    tables = tables_of(results)
    assert "| without a flood | 1.5 ms | 1.5 ms | 1.5 ms |  |  |  |" in tables["floods"]
    assert "| page | 19.5 | 2 | 3 |" in tables["floods"]
    assert "| create | 2.5 | **99** | 3 |" in tables["floods"]
    assert ANY_FLOOD["createGroup"] not in tables["floods"]
    assert f"| {ANY_FLOOD['createGroup']} | {SQLITE} | ≤ 40 × " in tables["targets"]
    chart = charts_of(results)["floods-sqlite.svg"]
    assert "99 × (createGroup)" in chart
    assert "19.5 × (listGroup)" in chart


def test_summary_has_main_works_and_counts_targets(results: Results) -> None:
    summary = tables_of(results)["summary"]
    assert "4 of 8 targets are met." in summary
    assert f"| {REPEATED} | 14.3 µs = 2.05 L, 1 000/s |  |" in summary


def test_targets_say_what_was_measured_and_whether_it_is_met(results: Results) -> None:
    targets = tables_of(results)["targets"]
    assert f"| {REPEATED} | {SQLITE} | ≤ 2 L | 2.05 | **no** |" in targets
    assert f"| {START} | {POSTGRES} | ≤ 0.6 s | 0.55 (0.5–0.7) | yes |" in targets
    assert "not measured | **no** |" in targets  # the peer is missing
    assert POSTGRES not in targets.replace(f"{START} | {POSTGRES}", "")


def test_charts_are_drawn_of_what_was_measured(results: Results) -> None:
    assert set(charts_of(results)) == {
        "targets.svg",
        "cost.svg",
        "sizes-sqlite.svg",
        "bindings.svg",
        "floods-sqlite.svg",
    }
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
    tables = tables_of(results)
    for name in tables:
        assert text.count(f"<!-- begin measured: {name} -->\n") == 1
    for name in charts_of(results):
        assert f"]({name})" in text + "".join(tables.values())
