"""Charts as SVG: bars and lines, both over a logarithmic axis."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

GOOD, BAD, INK, GRID = "#059669", "#dc2626", "#334155", "#cbd5e1"
COLOURS = (
    "#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d",
)  # fmt: skip
WIDTH = 960
_LEFT, _BAR_MAX, _ROW, _TOP, _LABEL = 400, 300, 24, 52, 16


@dataclass(frozen=True)
class Bar:
    """A bar: what it is about, its length, what is written at its end, its colour.

    A bar without text is a heading.
    """

    label: str
    value: float = 0.0
    text: str = ""
    colour: str = INK


def bars(title: str, found: Sequence[Bar], marks: Mapping[float, str]) -> str:
    """Return horizontal bars over a logarithmic axis; longer ones are broken off with an arrow.

    Args:
        title: What the chart shows.
        found: The bars.
        marks: Values with vertical lines, and their names, from one end of the axis to the other.
    """
    least, most = min(marks), max(marks)

    def x(value: float) -> float:
        part = math.log(max(value, least) / least) / math.log(most / least)
        return _LEFT + min(part, 1.0) * _BAR_MAX

    bottom = _TOP + len(found) * _ROW
    boxes, texts = [], []
    for place, bar in enumerate(found):
        y = _TOP + place * _ROW
        texts.append(_text(_LEFT - 8, y + 13, bar.label, "end", is_bold=not bar.text))
        if bar.text:
            width = x(bar.value) - _LEFT
            size = f'width="{width:.1f}" height="17"'
            boxes.append(f'<rect x="{_LEFT}" y="{y}" {size} fill="{bar.colour}"/>')
            end = f"→ {bar.text}" if bar.value > most else bar.text
            texts.append(_text(_LEFT + width + 6, y + 13, end, "start"))
    for value, name in marks.items():
        boxes.append(f'<path d="M{x(value):.1f} 44V{bottom}" stroke="{GRID}"/>')
        texts.append(_text(x(value), 38, name, "middle"))
    return _svg(bottom + 12, title, [*boxes, *texts])


def lines(title: str, unit: str, of: str, series: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Return lines over a logarithmic axis of sizes; values begin at 0.

    Args:
        title: What the chart shows.
        unit: The unit of the values.
        of: What the sizes count.
        series: The points of each line: size, value.
    """
    points = [point for each in series.values() for point in each]
    decades = [math.log10(groups) for groups, _ in points]
    step = _round_step(max(value for _, value in points) / 4)
    most = math.ceil(max(value for _, value in points) / step) * step
    left, top, width, height = 60, 60, 520, 260

    def x(groups: int) -> float:
        span = max(decades) - min(decades) or 1.0
        return left + (math.log10(groups) - min(decades)) / span * width

    def y(value: float) -> float:
        return top + height - value / most * height

    parts = [_text(left, top - 14, unit, "start")]
    for place in range(round(most / step) + 1):
        at = y(place * step)
        parts.append(f'<path d="M{left} {at:.1f}H{left + width}" stroke="{GRID}"/>')
        parts.append(_text(left - 8, at + 4, f"{place * step:g}", "end"))
    parts += [
        _text(x(groups), top + height + 18, f"{groups:,}".replace(",", " "), "middle")
        for groups in sorted({groups for groups, _ in points})
    ]
    parts.append(_text(left + width / 2, top + height + 38, f"{of} of the customer", "middle"))
    names = _apart({name: y(each[-1][1]) for name, each in series.items()}, top + height - 8)
    for place, (name, each) in enumerate(series.items()):
        colour = COLOURS[place % len(COLOURS)]
        path = " ".join(f"{x(groups):.1f},{y(value):.1f}" for groups, value in each)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x(groups):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>'
            for groups, value in each
        ]
        parts.append(_text(left + width + 12, names[name] + 4, name, "start", colour))
    return _svg(top + height + 52, title, parts)


def _apart(places: Mapping[str, float], most: float) -> dict[str, float]:
    """Move labels up or down so that none covers another and none is below the chart."""
    found: dict[str, float] = {}
    for name, place in sorted(places.items(), key=lambda each: -each[1]):
        found[name] = most = min(place, most)
        most -= _LABEL
    return found


def _round_step(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)


def _text(
    x: float, y: float, text: str, anchor: str, colour: str = INK, *, is_bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if is_bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}'
    return f"<text {place}>{escape(text)}</text>"


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" font-size="12">'
    )
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    name = f'<text x="16" y="20" font-size="15" fill="{INK}">{escape(title)}</text>'
    return "\n".join([head, ground, name, *parts, "</svg>\n"])
