"""Targets are judged by the median of the rounds' ratios."""

import pytest
from bench.figures import LIMIT, Row, Spread
from bench.targets import SQLITE, TARGETS, Target, judge

PAGE = Row("run", "page", SQLITE, figures={"cpu_us": [20.0, 30.0, 45.0], "rate": [9.0, 9.0, 9.0]})
CONSTANT = Row("run", "page", LIMIT, figures={"cpu_us": [10.0, 10.0, 10.0]})
OF_LIMIT = Target("page", SQLITE, 3.0, "L", of_side=LIMIT)


def test_ratio_to_the_limit_is_judged_by_its_median() -> None:
    outcome = judge(OF_LIMIT, [CONSTANT, PAGE])
    assert outcome.value == Spread(3.0, 2.0, 4.5)
    assert outcome.is_met
    assert not judge(Target("page", SQLITE, 2.9, "L", of_side=LIMIT), [CONSTANT, PAGE]).is_met


def test_limit_of_another_run_is_not_compared() -> None:
    other = Row("another run", "page", LIMIT, figures={"cpu_us": [1.0, 1.0, 1.0]})
    assert judge(OF_LIMIT, [other, PAGE]).value is None
    assert not judge(OF_LIMIT, [other, PAGE]).is_met


@pytest.mark.parametrize(("bound", "is_met"), [(3.0, True), (3.1, False)])
def test_least_bound_of_cpu_counts_how_many_times_less_is_needed(
    bound: float, is_met: bool
) -> None:
    peer = Row("run", "page", "peer", figures={"cpu_us": [90.0, 90.0, 90.0]})
    target = Target("page", SQLITE, bound, "× less", of_side="peer", is_least=True)
    assert judge(target, [peer, PAGE]).is_met is is_met


def test_least_bound_of_a_rate_is_the_ratio_itself() -> None:
    peer = Row("run", "page", "peer", figures={"rate": [3.0, 3.0, 3.0]})
    target = Target("page", SQLITE, 2, "×", "rate", of_side="peer", is_least=True)
    outcome = judge(target, [peer, PAGE])
    assert outcome.value == Spread(3.0, 3.0, 3.0)
    assert outcome.part == pytest.approx(2 / 3)


def test_figure_itself_is_judged_if_nothing_is_compared() -> None:
    start = Row("start", "start", SQLITE, figures={"start_s": [0.7, 0.5, 0.6]})
    assert judge(Target("start", SQLITE, 0.6, "s", "start_s"), [start]).is_met
    assert judge(Target("start", SQLITE, 0.5, "s", "start_s"), [start]).value is not None


def test_largest_customer_is_compared_with_another_work_of_its_run() -> None:
    costs = (
        (1000, "first", 10.0),
        (1000, "deep", 90.0),
        (9000, "first", 10.0),
        (9000, "deep", 12.0),
    )
    rows = [
        Row(f"run {groups}", work, SQLITE, groups, {"cpu_us": [cost], "database_us": [0.0]})
        for groups, work, cost in costs
    ]
    target = Target("deep", SQLITE, 1.5, "×", "total_us", of_work="first")
    value = judge(target, rows).value
    assert value is not None
    assert value.median == pytest.approx(1.2)


def test_largest_customer_is_compared_with_the_smallest_one() -> None:
    rows = [
        Row("run", "bind", SQLITE, bindings=size, figures={"cpu_us": [cost], "database_us": [0.0]})
        for size, cost in ((10, 10.0), (100, 90.0), (1000, 14.0))
    ]
    target = Target("bind", SQLITE, 1.5, "×", "total_us", of_smallest=True)
    outcome = judge(target, rows)
    assert outcome.value is not None
    assert outcome.value.median == pytest.approx(1.4)
    assert outcome.is_met
    assert judge(target, rows[:1]).value is None


@pytest.mark.parametrize(("stale", "is_met"), [([0.0, 0.0], True), ([0.0, 0.0, 1.0], False)])
def test_bound_of_zero_allows_not_one(stale: list[float], is_met: bool) -> None:
    row = Row("fresh", "questions", SQLITE, figures={"stale": stale})
    assert judge(Target("questions", SQLITE, 0, "stale", "stale"), [row]).is_met is is_met


def test_work_of_another_server_is_compared_if_both_are_named() -> None:
    rows = [
        Row("run", work, side, figures={"cpu_us": [cost]})
        for work, side, cost in (("bind", "peer", 60.0), ("ask", "peer", 9.0), ("ask", SQLITE, 3.0))
    ]
    target = Target("ask", SQLITE, 2, "×", of_side="peer", of_work="ask", is_least=True)
    assert judge(target, rows).value == Spread(3.0, 3.0, 3.0)


def test_every_target_has_one_row_in_the_table() -> None:
    keys = [
        (each.work, each.side, each.figure, each.of_side, each.of_work, each.of_smallest)
        for each in TARGETS
    ]
    assert len(set(keys)) == len(keys)
