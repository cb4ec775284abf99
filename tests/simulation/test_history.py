"""The checker itself: right histories pass, each kind of wrong one is found and named."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.simulation import history
from tests.simulation.history import Operation, TooManyOrders, check
from tests.simulation.model import (
    Access,
    Create,
    Delete,
    NotFound,
    Page,
    SetAccess,
    Signed,
    Update,
    find_violation,
)

from openpns.groups.wire import ADD, DELETE, REPLACE

ONE, TWO = ("a", "1"), ("b", "2")
DISABLE, ENABLE = SetAccess("is_disabled", 1), SetAccess("is_disabled", 0)


def listed(*rows: tuple[str, str], total: int | None = None) -> Page:
    """All groups on one page."""
    return Page(0, 0, len(rows) if total is None else total, rows)


def operations(*acts: tuple[int, int, Any]) -> list[Operation]:
    return [Operation(*act) for act in acts]


RIGHT = {
    "one after the other": [
        (0, 1, listed()),
        (2, 3, Create(*ONE)),
        (4, 5, listed(ONE)),
        (6, 7, Update("a", ADD, "2,1,3")),
        (8, 9, listed(("a", "1,2,3"))),
        (10, 11, Update("a", DELETE, "1,9")),
        (12, 13, listed(("a", "2,3"))),
        (14, 15, Update("a", REPLACE, "4")),
        (16, 17, Update("a", DELETE, "4")),
        (18, 19, Update("a", ADD, "5")),
        (20, 21, listed(("a", "5"))),
        (22, 23, Delete("a")),
        (24, 25, NotFound("a")),
        (26, 27, listed()),
    ],
    "a read while a write runs may show it": [(0, 9, Create(*ONE)), (1, 2, listed(ONE))],
    "a read while a write runs may miss it": [
        (0, 5, Create(*ONE)),
        (1, 6, listed()),
        (7, 8, listed(ONE)),
    ],
    "what touches in time may be either way": [(0, 5, Create(*ONE)), (5, 6, listed())],
    "groups created together come in any order": [
        (0, 5, Create(*ONE)),
        (0, 6, Create(*TWO)),
        (7, 8, listed(TWO, ONE)),
    ],
    "a page from the middle, with the total of all": [
        (0, 1, Create(*ONE)),
        (2, 3, Create(*TWO)),
        (4, 5, Page(1, 1, 2, (TWO,))),
        (4, 5, Page(10, 9, 2, ())),
        (6, 7, Delete("a")),
        (8, 9, Page(1, 0, 1, (TWO,))),
    ],
    "an added number that was there, and was deleted meanwhile": [
        (0, 1, Create(*ONE)),
        (2, 20, Update("a", ADD, "1")),
        (3, 19, Update("a", DELETE, "1")),
        (4, 5, listed(ONE)),
        (6, 7, listed(("a", ""))),
        (8, 9, listed(ONE)),
    ],
}

WRONG = {
    "a stale read: it misses a write that was acknowledged": [
        (0, 1, Create(*ONE)),
        (2, 3, Update("a", REPLACE, "2")),
        (4, 5, listed(ONE)),
    ],
    "a stale read": [
        (0, 1, Create(*ONE)),
        (2, 3, Create(*TWO)),
        (4, 5, listed(ONE)),
    ],
    "two reads disagree: this one misses a write that an earlier one showed": [
        (0, 1, Create(*ONE)),
        (2, 9, Update("a", REPLACE, "2")),
        (3, 4, listed(("a", "2"))),
        (5, 6, listed(ONE)),
    ],
    "a lost write": [
        (0, 1, Create(*ONE)),
        (2, 3, Update("a", ADD, "2")),
        (4, 9, Update("a", ADD, "3")),
        (6, 7, listed(("a", "1,3"))),
    ],
    "a deleted group is shown again: a": [
        (0, 1, Create(*ONE)),
        (2, 3, Delete("a")),
        (4, 5, listed()),
        (6, 7, listed(ONE)),
    ],
    "a group that nobody had created": [(0, 1, listed(ONE)), (2, 3, Create(*ONE))],
    "a total that does not fit the rows": [
        (0, 1, Create(*ONE)),
        (2, 3, listed(ONE, total=2)),
    ],
    "the response fits no state": [(0, 1, Create(*ONE)), (2, 3, NotFound("a"))],
    "a lost write, or two moments on one page": [  # b's old numbers and a's newer ones
        (0, 1, Create(*ONE)),
        (2, 3, Create(*TWO)),
        (4, 5, Update("b", REPLACE, "20")),
        (6, 7, Update("a", REPLACE, "10")),
        (4, 9, listed(("a", "10"), TWO)),
    ],
}

WRONG_ACCESS = {
    "accepted with a key that was disabled": [(0, 1, DISABLE), (2, 3, Signed(0, 0))],
    "accepted with a key": [(0, 9, DISABLE), (1, 2, Signed(0, 1005)), (3, 4, Signed(0, 0))],
    "accepted with a secret that was replaced": [
        (0, 1, SetAccess("secret", 1)),
        (2, 3, Signed(1, 0)),
        (4, 5, Signed(0, 0)),
    ],
    "refused with 1005, possible were only [0]": [
        (0, 1, DISABLE),
        (2, 3, ENABLE),
        (4, 5, Signed(0, 1005)),
    ],
    "refused with 1003, possible were only [0]": [(0, 1, Signed(0, 1003))],
    "accepted with a key that was": [
        (0, 1, SetAccess("is_customer_disabled", 1)),
        (2, 3, Signed(0, 0)),
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_find_violation_accepts_right_histories(name: str) -> None:
    assert find_violation(operations(*RIGHT[name]), ()) is None


@pytest.mark.parametrize("name", WRONG)
def test_find_violation_names_wrong_histories(name: str) -> None:
    found = find_violation(operations(*WRONG[name]), ())
    assert found is not None
    assert found.startswith(name)


def test_find_violation_accepts_a_key_only_while_it_is_being_disabled() -> None:
    right = operations(
        (0, 1, Signed(0, 0)),
        (2, 9, DISABLE),
        (3, 4, Signed(0, 0)),
        (5, 6, Signed(0, 1005)),
        (10, 11, Signed(7, 1005)),
        (12, 20, ENABLE),
        (13, 14, Signed(7, 1003)),
        (15, 16, Signed(0, 0)),
    )
    assert find_violation(right, Access()) is None


@pytest.mark.parametrize("name", WRONG_ACCESS)
def test_find_violation_names_wrong_histories_of_a_key(name: str) -> None:
    found = find_violation(operations(*WRONG_ACCESS[name]), Access())
    assert found is not None
    assert found.startswith(name)


def test_find_violation_shows_times_and_possible_states() -> None:
    numbers = ",".join(f"8520000{number:04}" for number in range(200))
    found = find_violation(
        operations(
            (5_000_000, 6_000_000, Create("a", numbers)),
            (7_500_000, 8_000_000, Create(*TWO)),
            (9_000_000, 9_250_000, listed(("a", numbers))),
        ),
        (),
    )
    cut = "('a', '85200000000,85200000001,…,85200000198,85200000199')"
    assert found == (
        "a stale read: it misses a write that was acknowledged before it began\n"
        "  2.500 to 3.000 ms: Create(group_id='b', phones='2')\n"
        f"  4.000 to 4.250 ms: Page(limit=0, offset=0, total=1, rows=({cut},))\n"
        f"possible were:\n  ({cut}, ('b', '2'))"
    )


def test_check_raises_too_many_orders_for_many_concurrent_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "CONFIGURATIONS_MAX", 100)
    writes = [(0, 9, Create(name, "1")) for name in "abcdefgh"]
    with pytest.raises(TooManyOrders, match="8 operations at the same time"):
        check(operations(*writes), ())


# Histories of a real sequence: each act has its moment, and runs from before it to after it.

_SPREAD = st.integers(0, 25)
_CHANGES = st.tuples(
    st.sampled_from("CUUUUDP"), st.integers(0, 3), st.sampled_from([ADD, DELETE, REPLACE])
)


def _act(groups: Any, number: int, change: tuple[str, int, int]) -> Any:
    """Make an act and its right answer out of a choice."""
    kind, which, operate_type = change
    group_id = f"g{which}"
    if kind == "P" or (kind == "C" and len(groups) > 3):
        page = Page(which, which // 2, len(groups), ())
        return Page(which, which // 2, len(groups), page.window(groups))
    if kind == "C":
        return Create(f"g{number}" if group_id in dict(groups) else group_id, f"{number}")
    act = Delete(group_id) if kind == "D" else Update(group_id, operate_type, f"{number},{which}")
    return NotFound(group_id) if act.step(groups) is None else act


@given(st.lists(st.tuples(_CHANGES, _SPREAD, _SPREAD), max_size=40))
@settings(max_examples=100, deadline=None)
def test_find_violation_accepts_histories_of_real_sequences(steps: list[Any]) -> None:
    groups: Any = ()
    made = []
    for number, (change, before, after) in enumerate(steps):
        act = _act(groups, number, change)
        groups = act.step(groups)
        made.append(Operation(10 * number - before, 10 * number + after, act))
    assert find_violation(made, ()) is None


@given(st.lists(st.tuples(st.booleans(), _SPREAD, _SPREAD), min_size=3, max_size=40), st.data())
@settings(max_examples=100, deadline=None)
def test_find_violation_finds_every_older_value_outside_its_window(
    steps: list[Any], data: st.DataObject
) -> None:
    made = [Operation(-100, -99, Create("g", "start"))]
    value = "start"
    for number, (writes, before, after) in enumerate(steps):
        value = str(number) if writes else value
        act = Update("g", REPLACE, value) if writes else listed(("g", value))
        made.append(Operation(10 * number - before, 10 * number + after, act))
    assert check(made, ()) is None
    stale = [
        (index, old.act.phones)
        for index, read in enumerate(made)
        for old in made
        for new in made
        if isinstance(read.act, Page) and isinstance(new.act, Update) and old.act.writes
        if old.end < new.start and new.end < read.start
    ]
    assume(stale)
    index, phones = data.draw(st.sampled_from(stale))
    made[index] = Operation(made[index].start, made[index].end, listed(("g", phones)))
    found = find_violation(made, ())
    assert found is not None
    assert found.startswith(("a stale read", "two reads disagree"))


_ACTS = st.one_of(
    st.sampled_from([Update("g", REPLACE, value) for value in "12"] + [Delete("g"), NotFound("g")]),
    st.sampled_from([listed(("g", value)) for value in "012"] + [listed(), Create("g", "2")]),
)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), _ACTS), max_size=5))
@settings(max_examples=300, deadline=None)
def test_check_agrees_with_trying_every_order(acts: list[tuple[int, int, Any]]) -> None:
    tried = [Operation(min(a, b), max(a, b), act) for a, b, act in acts]
    initial = (("g", "0"),)
    assert (check(tried, initial) is None) == any(
        _is_right(order, initial) for order in permutations(tried)
    )


def _is_right(order: tuple[Operation, ...], state: Any) -> bool:
    """Whether an order keeps that of time, and every answer is right in it."""
    for position, operation in enumerate(order):
        if any(later.end < operation.start for later in order[position:]):
            return False
        state = operation.act.step(state)
        if state is None:
            return False
    return True
