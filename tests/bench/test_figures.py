"""Figures of rounds: medians, spreads, ratios, and whether a target is met."""

import pytest
from bench.figures import Figures, Outcome, Round, Spread, Target, compare, spread


def figures(rate: float, cpu_us: float, database_us: float = 0.0) -> Figures:
    return Figures.of([Round(rate, cpu_us, database_us)])


def test_spread_has_the_median_and_both_ends() -> None:
    assert spread([5.0, 1.0, 9.0]) == Spread(5.0, 1.0, 9.0)
    assert spread([4.0, 1.0]).median == 2.5


def test_figures_sum_up_rounds_measure_by_measure() -> None:
    found = Figures.of([Round(100, 9, 3), Round(300, 7, 1), Round(200, 8, 2)])
    assert found.rate == Spread(200, 100, 300)
    assert found.cpu_us == Spread(8, 7, 9)
    assert found.database_us == Spread(2, 1, 3)


def test_compare_relates_speeds_by_answers_and_by_cpu() -> None:
    target = Target("page", "SQLite", "the limit", 0.65)
    outcome = compare(target, figures(3000, 40), figures(4000, 20))
    assert (outcome.rate_ratio, outcome.cpu_ratio) == (0.75, 0.5)
    assert outcome.keeps("rate")
    assert not outcome.keeps("cpu")
    assert not outcome.is_met


def test_compare_relates_costs_inversely_with_the_database() -> None:
    target = Target("page", "PostgreSQL", "the first page", 1.5, False, with_database=True)
    outcome = compare(target, figures(500, 60, 60), figures(1000, 50, 50))
    assert (outcome.rate_ratio, outcome.cpu_ratio) == (2.0, 1.2)
    assert not outcome.keeps("rate")
    assert outcome.keeps("cpu")
    assert not outcome.is_met


def test_is_met_considers_only_the_deciding_measures() -> None:
    target = Target("createGroup", "SQLite", "one commit", 5, decided_by=("rate",))
    assert Outcome(target, 5.0, 1.0).is_met
    assert not Outcome(target, 4.99, 9.0).is_met


@pytest.mark.parametrize("measure", ["rate", "cpu"])
def test_keeps_is_false_for_what_was_not_measured(measure: str) -> None:
    target = Target("page", "SQLite", "the limit", 0.0)
    assert not Outcome(target, None, None).keeps("rate" if measure == "rate" else "cpu")
