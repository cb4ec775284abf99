"""Tables and charts of results, and the pages with these tables."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from bench import charts, report_floods
from bench.charts import BAD, COLOURS, GOOD, Bar
from bench.figures import Row, Spread, grouped, limit_of, ratios, short, spread
from bench.results import FOLDER, Results
from bench.targets import (
    ADD,
    BIND,
    CREATE,
    FRAMEWORK,
    GRANIAN,
    LARGE,
    MIXED,
    OTHERS,
    QUERY,
    REPEATED,
    SIDES,
    TARGETS,
    UNCACHED,
    WORKERS,
    Outcome,
    Target,
    judge,
)

PAGES = (FOLDER / "README.md", FOLDER.parents[1] / "docs" / "benchmarks.md")
"""The pages with tables."""

_BLOCK = re.compile(r"(<!-- begin measured: ([a-z]+) -->\n).*?(<!-- end measured -->)", re.DOTALL)
_LOAD = {"cpu_us": "CPU µs", "rate": "answers/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}
_PLAIN = {
    "counts": {"fsyncs": "fsyncs per answer", "trips": "round trips to PostgreSQL"},
    "fresh": {"asked": "questions in a round", "stale": "stale answers"},
    "start": {"start_s": "seconds"},
    "deliveries": {
        "per_s": "deliveries/s",
        "delivery_us": "CPU µs",
        "worker_mib": "peak of the worker, MiB",
    },
    "memory": {
        "worker_mib": "worker, MiB",
        "all_mib": "all processes, MiB",
        "answer_mib": "answer, MiB",
        "growth_mib": "growth of the worker's peak, MiB",
    },
    "records": {
        "of_fewest": "CPU, × that of the fewest",
        "prune_us": "µs per record deleted",
        "record_bytes": "bytes",
        "computed_gib": "100 million, GiB",
    },
    "refusals": {
        "median_us": "median µs",
        "difference_us": "minus median of unknown, µs",
        "slower": "slower than unknown",
        "p": "p",
    },
}
_IMAGES = {
    "bindingcharts": {"bindings.svg": "Questions and binds by size"},
    "floodcharts": {
        "floods-sqlite.svg": "Floods on SQLite",
        "floods-postgresql.svg": "Floods on PostgreSQL",
    },
}
"""Charts that a page shows once they were measured."""

_SUMMARY = (REPEATED, LARGE, UNCACHED, MIXED, CREATE, ADD, QUERY, BIND)
_UNITS = ("groups", "bindings")
_BOUND_MARKS: dict[float, str] = {0.1: "0.1", 1: "the bound", 10: "10 ×"}
_COST_MARKS: dict[float, str] = {1: "L", 3: "3", 10: "10", 30: "30", 100: "100", 300: "300 L"}


def tables_of(results: Results) -> dict[str, str]:
    """Return the tables in Markdown, by name."""
    rows = rows_of(results)
    facts = {name: {**each.facts, "minutes": str(each.minutes)} for name, each in results.items()}
    names = dict.fromkeys(name for group in facts.values() for name in group)
    charts_made = charts_of(results)
    return {
        "summary": _summary(results, rows),
        "runs": table(
            ("", *facts),
            ((name, *(each.get(name, "") for each in facts.values())) for name in names),
        ),
        "targets": table(
            ("work", "server", "target", "measured", "met"), map(_outcome_row, outcomes_of(rows))
        ),
        "figures": table(
            ("work", "server", "CPU µs", "PostgreSQL's CPU µs", *list(_LOAD.values())[1:]),
            (_load_row(row, rows) for row in _largest(rows) if "rate" in row.figures),
        ),
        "sizes": _sizes_table(rows, "groups"),
        "bindings": _sizes_table(rows, "bindings"),
        "floods": table(*report_floods.head_and_lines(rows)),
        **{name: _images(images, charts_made) for name, images in _IMAGES.items()},
        **{name: _plain_table(rows, columns) for name, columns in _PLAIN.items()},
    }


def charts_of(results: Results) -> dict[str, str]:
    """Return the charts as SVG, by file name; only of what was measured."""
    rows = rows_of(results)
    found = {}
    if parts := [_target_bar(each) for each in outcomes_of(rows) if each.value]:
        title = "What was measured in parts of the bound (logarithmic; at most 1 is met)"
        found["targets.svg"] = charts.bars(title, parts, _BOUND_MARKS)
    if costs := list(_cost_bars(rows)):
        title = "CPU per answer, in parts of the limit L (logarithmic)"
        found["cost.svg"] = charts.bars(title, costs, _COST_MARKS)
    for engine, side in SIDES.items():
        series = {
            work: sorted(costs.items())
            for (work, each), costs in _by_size(rows, "groups").items()
            if each == side
        }
        if series:
            title = f"CPU per answer, nothing cached, {engine}"
            unit = "µs" if engine == "SQLite" else "µs, with PostgreSQL's"
            found[f"sizes-{engine.lower()}.svg"] = charts.lines(title, unit, "groups", series)
        if floods := list(report_floods.bars_of(rows, side)):
            title = f"The worst p99 of others in parts of its bound (logarithmic), {engine}"
            name = f"floods-{engine.lower()}.svg"
            found[name] = charts.bars(title, floods, report_floods.BOUND_MARKS)
    bound = {
        f"{work}, {side.removeprefix('openpns, ')}": sorted(costs.items())
        for (work, side), costs in _by_size(rows, "bindings").items()
    }
    if bound:
        title = "CPU per question and bind, by the bindings of the customer"
        unit = "µs, with PostgreSQL's"
        found["bindings.svg"] = charts.lines(title, unit, "bindings", bound)
    return found


def rows_of(results: Results) -> list[Row]:
    """Return the rows of all groups."""
    return [row for group in results.values() for row in group.rows]


def outcomes_of(rows: Sequence[Row]) -> list[Outcome]:
    """Return the outcomes of the targets whose work was measured."""
    works = {(row.work, row.side) for row in rows}
    return [judge(target, rows) for target in TARGETS if (target.work, target.side) in works]


def table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def with_tables(page: str, tables: Mapping[str, str]) -> str:
    """Return a page with its tables replaced, each between its markers.

    Raises:
        KeyError: A marker names no table.
    """
    return _BLOCK.sub(lambda found: f"{found[1]}{tables[found[2]]}{found[3]}", page)


def _images(images: Mapping[str, str], made: Container[str]) -> str:
    return "".join(f"![{text}]({name})\n" for name, text in images.items() if name in made)


def _summary(results: Results, rows: Sequence[Row]) -> str:
    """Return the main figures, and how many targets are met."""
    outcomes = outcomes_of(rows)
    met = sum(outcome.is_met for outcome in outcomes)
    dates = sorted({each.facts.get("date", "")[:10] for each in results.values()})
    head = f"Measured on {' and '.join(dates)}: {met} of {len(outcomes)} targets are met.\n\n"
    lines = []
    for work in _SUMMARY:
        of_work = (row for row in _largest(rows) if row.work == work and "rate" in row.figures)
        found = {row.side: row for row in of_work}
        if found:
            cells = (_inshort(found.get(side), rows) for side in SIDES.values())
            # The limit has no size.
            lines.append((max(map(_label, found.values()), key=len), *cells))
    return head + table(("CPU per answer, answers/s", *SIDES), lines)


def _inshort(row: Row | None, rows: Sequence[Row]) -> str:
    rate = spread(row.values("rate")) if row else None
    if row is None or rate is None:
        return ""
    cost = _of_limit(row, limit_of(row, rows), "cpu_us").replace(" =", " µs =")
    return f"{cost}, {grouped(round(rate.median))}/s"


def _label(row: Row) -> str:
    """Return what a row is about, with the size of the customer."""
    return f"{row.work}, {row.size_text}" if row.size_text else row.work


def _largest(rows: Sequence[Row]) -> list[Row]:
    """Leave out the customers that are not of the largest size, and runs with no other ones."""
    most = {unit: max((getattr(row, unit) or 0 for row in rows), default=0) for unit in _UNITS}

    def is_small(row: Row) -> bool:
        return any(getattr(row, unit) not in (None, most[unit]) for unit in _UNITS)

    large_runs = {row.run for row in rows if row.size is not None and not is_small(row)}
    small_runs = {row.run for row in rows if is_small(row)} - large_runs
    return [row for row in rows if not is_small(row) and row.run not in small_runs]


def _outcome_row(outcome: Outcome) -> tuple[str, ...]:
    target, value = outcome.target, outcome.value
    measured = "not measured" if value is None else _spread(value)
    return target.work, target.side, _bound(target), measured, "yes" if outcome.is_met else "**no**"


def _load_row(row: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    limit = limit_of(row, rows)
    cells = {figure: _of_limit(row, limit, figure) for figure in _LOAD}
    database = spread(row.values("database_us"))
    apart = short(database.median) if database and database.most else ""
    return _label(row), row.side, cells.pop("cpu_us"), apart, *cells.values()


def _of_limit(row: Row, limit: Row | None, figure: str) -> str:
    value = spread(row.values(figure))
    if value is None:
        return ""
    ratio = spread(ratios(row, limit, figure)) if limit else None
    return short(value.median) + (f" = {short(ratio.median)} L" if ratio else "")


def _sizes_table(rows: Sequence[Row], unit: str) -> str:
    """Return what works cost at several sizes, in groups or in bindings."""
    by_size = _by_size(rows, unit)
    sizes = sorted({size for costs in by_size.values() for size in costs})
    lines = []
    for (work, side), costs in by_size.items():
        cells = (short(costs[size]) if size in costs else "" for size in sizes)
        lines.append((work, side, *cells))
    return table(("CPU µs, with PostgreSQL's", "server", *map(grouped, sizes)), lines)


def _by_size(rows: Sequence[Row], unit: str) -> dict[tuple[str, str], dict[int, float]]:
    """Return the median CPU of each work and server by size, if there are several sizes."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        size = getattr(row, unit)
        if size and (cost := spread(row.values("total_us"))):
            found.setdefault((row.work, row.side), {})[size] = cost.median
    return {key: costs for key, costs in found.items() if len(costs) > 1}


def _plain_table(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    """Return a table of figures that are not measured by load."""
    found = [row for row in rows if row.figures.keys() & columns.keys()]
    used = {name: text for name, text in columns.items() if any(row.values(name) for row in found)}
    lines = (
        (row.work, row.side, *(_spread(spread(row.values(name))) for name in used)) for row in found
    )
    return table(("", "server", *used.values()), lines)


def _target_bar(outcome: Outcome) -> Bar:
    target = outcome.target
    label = f"{target.work}; {target.side.removeprefix('openpns, ')}"
    value = short(outcome.value.median) if outcome.value else ""
    return Bar(label, outcome.part, f"{value} ({_bound(target)})", GOOD if outcome.is_met else BAD)


def _cost_bars(rows: Sequence[Row]) -> Iterator[Bar]:
    colours = dict(zip((*SIDES.values(), GRANIAN, FRAMEWORK), COLOURS, strict=False))
    last = ""
    for row in _largest(rows):
        limit = limit_of(row, rows)
        if limit is None or row.groups or row.side not in colours or row.work in {OTHERS, WORKERS}:
            continue
        if cost := spread(ratios(row, limit, "cpu_us")):
            if row.work != last:
                yield Bar(_label(row))
            last = row.work
            yield Bar(row.side, cost.median, f"{short(cost.median)} L", colours[row.side])


def _bound(target: Target) -> str:
    return f"{'≥' if target.is_least else '≤'} {short(target.bound)} {target.unit}"


def _spread(value: Spread | None) -> str:
    if value is None:
        return ""
    ends = f" ({short(value.least)}–{short(value.most)})" if value.most > value.least else ""
    return short(value.median) + ends
