"""The worst flood of each action is the one with the largest median."""

from bench.figures import Row
from bench.floods import FLOODED, worst_of
from bench.targets import ANY_FLOOD, FLOODS, SQLITE


def test_worst_flood_is_that_of_the_largest_median() -> None:
    def row(kind: str, **factors: list[float]) -> Row:
        return Row(FLOODS, kind, SQLITE, figures=factors)

    rows = [
        row("page", listGroup=[5.0, 6.0, 7.0], createGroup=[1.0], queryAXB=[2.0]),
        row("create", listGroup=[1.0, 2.0, 99.0], createGroup=[9.0], queryAXB=[2.5]),
    ]
    worst = {each.work: each.values("factor") for each in worst_of(rows, SQLITE)}
    assert worst == {
        ANY_FLOOD["listGroup"]: [5.0, 6.0, 7.0],
        ANY_FLOOD["createGroup"]: [9.0],
        ANY_FLOOD["queryAXB"]: [2.5],
    }


def test_virtual_numbers_of_attacker_and_victim_differ() -> None:
    places = [
        place
        for holding in FLOODED.holdings
        for place in range(holding.first_did, holding.first_did + holding.dids)
    ]
    assert len(set(places)) == len(places) > 0
