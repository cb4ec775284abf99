"""Ratios by round, and the test that compares times."""

import pytest
from bench.figures import LIMIT, Row, Spread, limit_of, mann_whitney, ratios, short, spread


def test_spread_has_the_median_and_both_ends() -> None:
    assert spread([5.0, 1.0, 9.0]) == Spread(5.0, 1.0, 9.0)
    assert spread([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)
    assert spread([]) is None


def test_total_is_the_cpu_of_server_and_database_in_each_round() -> None:
    row = Row("run", "page", "x", figures={"cpu_us": [1.0, 2.0], "database_us": [10.0, 0.0]})
    assert row.values("total_us") == [11.0, 2.0]
    assert row.values("rate") == []


def test_ratios_compare_each_round_with_the_same_round() -> None:
    ours = Row("run", "page", "ours", figures={"cpu_us": [10.0, 30.0]})
    theirs = Row("run", "page", "theirs", figures={"cpu_us": [5.0, 10.0], "rate": [1.0, 1.0]})
    assert ratios(ours, theirs, "cpu_us") == [2.0, 3.0]
    assert ratios(ours, theirs, "rate") == []


def test_limit_is_that_of_the_same_run() -> None:
    mine, other = Row("run", "page", LIMIT), Row("another run", "page", LIMIT)
    row = Row("run", "page", "ours")
    assert limit_of(row, [other, row, mine]) is mine
    assert limit_of(row, [other, row]) is None


def test_mann_whitney_is_a_coin_for_equal_values_and_sure_of_different_ones() -> None:
    values = [float(number) for number in range(0, 200, 2)]
    slower, p = mann_whitney([value + 1 for value in values], values)
    assert slower == pytest.approx(0.5, abs=0.01)
    assert p > 0.5
    slower, p = mann_whitney([value + 1000 for value in values], values)
    assert slower == 1.0
    assert p < 1e-9


def test_size_is_in_groups_or_in_bindings() -> None:
    assert Row("run", "page", "x").size_text == ""
    assert Row("run", "page", "x", 1000).size_text == "1 000 groups"
    row = Row("run", "bind", "x", bindings=1_000_000)
    assert (row.size, row.size_text) == (1_000_000, "1 000 000 bindings")


def test_short_has_three_digits_or_all_before_the_point() -> None:
    assert [short(value) for value in (0.12345, 1.2345, 12.345, 12345.6)] == [
        "0.123",
        "1.23",
        "12.3",
        "12346",
    ]
