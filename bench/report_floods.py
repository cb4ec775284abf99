"""The table and the charts of floods: how much longer others wait."""

from collections.abc import Iterator, Sequence

from bench.charts import BAD, GOOD, Bar
from bench.figures import Row, short, spread
from bench.targets import ALONE, FLOOD_BOUNDS, FLOODS, SIDES

Head = tuple[str, ...]
BOUND_MARKS: dict[float, str] = {0.01: "0.01", 0.1: "0.1", 1: "the bound", 10: "10 ×"}


def head_and_lines(rows: Sequence[Row]) -> tuple[Head, list[tuple[str, ...]]]:
    """Return a table: factors of the p99 of each action, by kind of flood; misses are bold."""
    found: dict[str, dict[str, Row]] = {}
    for row in _of_floods(rows):
        found.setdefault(row.work, {})[row.side] = row
    columns = [
        (engine, side, action, bound)
        for engine, side in SIDES.items()
        for action, bound in FLOOD_BOUNDS.items()
    ]
    head = (f"{action}, {engine} (≤ {bound})" for engine, _, action, bound in columns)
    lines = [
        (work, *(_cell(of_side.get(side), action, bound) for _, side, action, bound in columns))
        for work, of_side in found.items()
    ]
    return ("", *head), lines


def bars_of(rows: Sequence[Row], side: str) -> Iterator[Bar]:
    """Return a bar for each kind of flood: the worst factor in parts of its bound."""
    for row in _of_floods(rows):
        factors = {action: spread(row.values(action)) for action in FLOOD_BOUNDS}
        parts = {
            action: factor.median / FLOOD_BOUNDS[action]
            for action, factor in factors.items()
            if factor is not None
        }
        if row.side == side and parts:
            worst = max(parts, key=lambda action: parts[action])
            text = f"{short(parts[worst] * FLOOD_BOUNDS[worst])} × ({worst})"
            yield Bar(row.work, parts[worst], text, GOOD if parts[worst] <= 1 else BAD)


def _of_floods(rows: Sequence[Row]) -> Iterator[Row]:
    """Return the rows of the kinds, and of the rounds without a flood."""
    timed = {f"{action}_ms" for action in FLOOD_BOUNDS}
    return (row for row in rows if row.run == FLOODS and row.figures.keys() & timed)


def _cell(row: Row | None, action: str, bound: float) -> str:
    if row is None:
        return ""
    if row.work == ALONE:
        alone = spread(row.values(f"{action}_ms"))
        return f"{short(alone.median)} ms" if alone else ""
    factor = spread(row.values(action))
    if factor is None:
        return ""
    return short(factor.median) if factor.median <= bound else f"**{short(factor.median)}**"
