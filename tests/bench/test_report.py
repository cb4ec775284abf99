"""Tables, and writing them into a page."""

import json
from pathlib import Path

import pytest
from bench.figures import Figures, Outcome, Round, Target
from bench.report import charts_of, result_of, table, tables_of, with_tables, write
from bench.rounds import Bench, Measurement, Plan

FACTS = {"cores": 2, "cpu": "some"}
PAGE = """Before.
<!-- begin measured: targets -->
old
<!-- end measured -->
Between.
<!-- begin measured: machine -->
<!-- end measured -->
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A run that found a little."""
    found = Bench(None, tmp_path, tmp_path, Plan())  # type: ignore[arg-type]
    figures = Figures.of([Round(1000.4, 25.25), Round(900, 24)])
    found.measurements.append(Measurement("page", "openpns, SQLite", figures))
    found.outcomes = [
        Outcome(Target("page", "SQLite", "the limit", 0.65), 0.7, 0.5),
        Outcome(Target("workers", "SQLite", "one", 1.15, False, ("cpu",)), 0.6, 1.149),
    ]
    found.growth = {"SQLite": {"first page": [(1000, 20.0), (10_000, 21.0)]}}
    return found


def test_table_is_markdown() -> None:
    assert table(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |\n"


def test_tables_show_bound_ratio_and_whether_it_is_met(bench: Bench) -> None:
    tables = tables_of(bench, FACTS)
    assert (
        "| page | SQLite | the limit | ≥ 0.65 × | 0.70 ✓ | 0.50 ✗ | **no** |" in tables["targets"]
    )
    assert "| workers | SQLite | one | ≤ 1.15 × | (0.60) | 1.15 ✓ | yes |" in tables["targets"]
    assert "| page | openpns, SQLite | 950 (900–1000) | 24.6 (24.0–25.2) |  |" in tables["figures"]
    assert "| cores | 2 |" in tables["machine"]


def test_with_tables_replaces_each_table_and_keeps_the_rest() -> None:
    tables = {"targets": "| t |\n", "machine": "| m |\n"}
    once = with_tables(PAGE, tables)
    assert "old" not in once
    assert "targets -->\n| t |\n<!-- end" in once
    assert "machine -->\n| m |\n<!-- end" in once
    assert once.startswith("Before.\n")
    assert "\nBetween.\n" in once
    assert with_tables(once, tables) == once
    with pytest.raises(KeyError):
        with_tables("<!-- begin measured: unknown -->\n<!-- end measured -->", tables)


def test_results_page_has_every_table(bench: Bench) -> None:
    page = Path(__file__).parents[2] / "bench" / "results" / "README.md"
    text = page.read_text("utf-8")
    for name in tables_of(bench, FACTS):
        assert text.count(f"<!-- begin measured: {name} -->\n") == 1


def test_write_writes_json_and_charts(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    write(result_of(bench, FACTS), charts_of(bench), folder)
    result = json.loads((folder / "latest.json").read_text("utf-8"))
    assert [outcome["is_met"] for outcome in result["outcomes"]] == [False, True]
    assert result["measurements"][0]["figures"]["rate"]["least"] == 900
    assert {file.name for file in folder.iterdir()} == {
        "latest.json",
        "targets.svg",
        "growth-sqlite.svg",
    }
