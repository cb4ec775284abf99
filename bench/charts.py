"""Charts as SVG: bars of a ratio and its bound, and lines over a logarithmic axis."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from bench.figures import Measure, Outcome

Points = Sequence[tuple[int, float]]

WIDTH = 860
ROW = 26
LEFT = 430
BAR_MAX = 330
COLOURS = (
    "#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#4d7c0f", "#be185d",
)  # fmt: skip
MET, MISSED, INK, GRID = "#059669", "#dc2626", "#334155", "#cbd5e1"
_BAR_TARGETS = 2.0
"""A bar ends at twice its bound: beyond that its number tells more than its length."""


def bars(outcomes: Sequence[Outcome]) -> str:
    """Return bars of ratios, each as a part of the bound that it must keep.

    Args:
        outcomes: What was measured.
    """
    rows: list[str] = []
    for place, (outcome, measure) in enumerate(_deciding(outcomes)):
        ratio, target = outcome.ratio(measure) or 0.0, outcome.target
        y = 56 + place * ROW
        label = f"{target.work}, {target.engine}"
        shown = f"{ratio:.2f} × {target.against} ({'≥' if target.at_least else '≤'} {target.value})"
        width = min(ratio / target.value, _BAR_TARGETS) / _BAR_TARGETS * BAR_MAX
        colour = MET if outcome.keeps(measure) else MISSED
        rows += [
            _text(LEFT - 8, y + 13, label, "end"),
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="18" fill="{colour}"/>',
            _text(LEFT + 6, y + 13, shown, "start", "#0f172a"),
        ]
    bound, height = LEFT + BAR_MAX / _BAR_TARGETS, 70 + len(rows) // 3 * ROW
    line = f'<line x1="{bound}" y1="44" x2="{bound}" y2="{height - 14}" stroke="{INK}"/>'
    legend = _text(bound, 38, "the bound", "middle")
    return _svg(height, "openpns against its targets", [*rows, line, legend])


def _deciding(outcomes: Sequence[Outcome]) -> list[tuple[Outcome, Measure]]:
    """Return each outcome with the measure that decides it, the worse of two."""

    def margin(outcome: Outcome, measure: Measure) -> float:
        ratio = (outcome.ratio(measure) or 0.0) / outcome.target.value
        return ratio if outcome.target.at_least else -ratio

    return [
        (outcome, min(outcome.target.decided_by, key=lambda measure: margin(outcome, measure)))
        for outcome in outcomes
    ]


def lines(title: str, unit: str, series: Mapping[str, Points]) -> str:
    """Return lines over a logarithmic axis of groups; values begin at 0.

    Args:
        title: What the chart shows.
        unit: The unit of the values.
        series: The points of each line: number of groups, value.
    """
    points = [point for each in series.values() for point in each]
    decades = [math.log10(groups) for groups, _ in points]
    most = max(value for _, value in points) * 1.1
    left, top, width, height = 70, 56, 480, 260

    def x(groups: int) -> float:
        span = max(decades) - min(decades) or 1.0
        return left + (math.log10(groups) - min(decades)) / span * width

    def y(value: float) -> float:
        return top + height - value / most * height

    parts = []
    for groups in sorted({groups for groups, _ in points}):
        across = f'x1="{x(groups):.1f}" y1="{top}" x2="{x(groups):.1f}" y2="{top + height}"'
        label = f"{groups:,}".replace(",", " ")
        parts.append(f'<line {across} stroke="{GRID}"/>')
        parts.append(_text(x(groups), top + height + 18, label, "middle"))
    for step in range(5):
        value = most * step / 4
        parts.append(_text(left - 8, y(value) + 4, f"{value:.0f}", "end"))
    for place, (name, each) in enumerate(series.items()):
        colour = COLOURS[place % len(COLOURS)]
        path = " ".join(f"{x(groups):.1f},{y(value):.1f}" for groups, value in each)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x(groups):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>'
            for groups, value in each
        ]
        parts.append(_text(left + width + 16, top + 14 + place * 22, f"● {name}", "start", colour))
    parts.append(_text(left, top - 10, unit, "start"))
    parts.append(_text(left + width / 2, top + height + 38, "groups of the customer", "middle"))
    return _svg(top + height + 54, title, parts)


def _text(x: float, y: float, text: str, anchor: str, colour: str = INK) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" font-size="12">'
    )
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    name = f'<text x="16" y="24" font-size="15" fill="{INK}">{escape(title)}</text>'
    return "\n".join([head, ground, name, *parts, "</svg>\n"])
