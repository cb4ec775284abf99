"""What comes out: JSON, tables, charts, and the tables in bench/results/README.md."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import charts
from bench.figures import Measure, Outcome, Spread
from bench.rounds import Bench

BLOCK = re.compile(r"(<!-- begin measured: ([a-z]+) -->\n).*?(<!-- end measured -->)", re.DOTALL)


def result_of(bench: Bench, facts: Mapping[str, object]) -> dict[str, Any]:
    """Return all results as what JSON can hold.

    Args:
        bench: What was measured.
        facts: The machine.
    """
    return {
        "machine": dict(facts),
        "plan": asdict(bench.plan),
        "outcomes": [asdict(outcome) | {"is_met": outcome.is_met} for outcome in bench.outcomes],
        "measurements": [asdict(measurement) for measurement in bench.measurements],
        "latencies": [asdict(latency) for latency in bench.latencies],
        "memory": bench.memory,
        "starts": bench.starts,
        "growth": bench.growth,
    }


def tables_of(bench: Bench, facts: Mapping[str, object]) -> dict[str, str]:
    """Return the tables in Markdown, by name.

    Args:
        bench: What was measured.
        facts: The machine.
    """
    return {
        "machine": table(("", ""), facts.items()),
        "targets": table(
            ("work", "engine", "against", "bound", "by answers/s", "by CPU", "met"),
            (_outcome_row(outcome) for outcome in bench.outcomes),
        ),
        "figures": table(
            ("work", "server", "answers/s", "CPU µs", "PostgreSQL's CPU µs"),
            (
                (
                    each.work,
                    each.server,
                    _spread(each.figures.rate, 0),
                    _spread(each.figures.cpu_us, 1),
                    _spread(each.figures.database_us, 1) if each.figures.database_us.most else "",
                )
                for each in bench.measurements
                if not each.work.startswith("growth")
            ),
        ),
        "latency": table(
            ("work", "server", "answers/s", "of the most", "p50 ms", "p99 ms"),
            (
                (
                    each.work, each.server, f"{each.rate:.0f}", f"{each.of_most:.0%}",
                    f"{each.p50_ms:.2f}", f"{each.p99_ms:.2f}",
                )
                for each in bench.latencies
            ),
        ),
        "memory": table(
            ("engine", "reader", "answer MiB", "idle worker MiB", "growth of the peak MiB"),
            (found.values() for found in bench.memory),
        ),
        "start": table(
            ("engine", "median s", "least s", "most s"),
            (found.values() for found in bench.starts),
        ),
    }  # fmt: skip


def charts_of(bench: Bench) -> dict[str, str]:
    """Return the charts as SVG, by file name.

    Args:
        bench: What was measured.
    """
    found = {"targets.svg": charts.bars(bench.outcomes)} if bench.outcomes else {}
    for engine, series in bench.growth.items():
        title = f"CPU for a request, {engine}"
        name = f"growth-{engine.lower()}.svg"
        found[name] = charts.lines(title, "µs (with PostgreSQL's own)", series)
    return found


def table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table in Markdown.

    Args:
        head: The names of the columns.
        rows: The cells.
    """
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def write(result: Mapping[str, Any], drawn: Mapping[str, str], folder: Path) -> None:
    """Write the JSON and the charts.

    Args:
        result: What `result_of` returned.
        drawn: What `charts_of` returned.
        folder: Where they go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (folder / "latest.json").write_text(text + "\n", "utf-8")
    for name, svg in drawn.items():
        (folder / name).write_text(svg, "utf-8")


def with_tables(page: str, tables: Mapping[str, str]) -> str:
    """Return a page with its tables replaced, each between its markers.

    Args:
        page: The page's text.
        tables: The tables, by name.

    Raises:
        KeyError: A marker names no table.
    """
    return BLOCK.sub(lambda found: f"{found[1]}{tables[found[2]]}{found[3]}", page)


def _outcome_row(outcome: Outcome) -> tuple[str, ...]:
    target = outcome.target
    bound = f"{'≥' if target.at_least else '≤'} {target.value:g} ×"
    return (
        target.work, target.engine, target.against, bound,
        _ratio(outcome, "rate"), _ratio(outcome, "cpu"), "yes" if outcome.is_met else "**no**",
    )  # fmt: skip


def _ratio(outcome: Outcome, measure: Measure) -> str:
    ratio = outcome.ratio(measure)
    if ratio is None:
        return ""
    if measure not in outcome.target.decided_by:
        return f"({ratio:.2f})"
    return f"{ratio:.2f} {'✓' if outcome.keeps(measure) else '✗'}"


def _spread(values: Spread, digits: int) -> str:
    middle, least, most = (f"{v:.{digits}f}" for v in (values.median, values.least, values.most))
    return f"{middle} ({least}–{most})"
