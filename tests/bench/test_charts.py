"""Charts are well-formed SVG whose shapes show the values."""

import xml.etree.ElementTree as ET

from bench.charts import MET, MISSED, bars, lines
from bench.figures import Outcome, Target

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_have_lengths_relative_to_the_bound() -> None:
    outcomes = [
        Outcome(Target("a < b & c", "SQLite", "x", 2.0), 2.0, 4.0),
        Outcome(Target("slow", "SQLite", "x", 2.0), 1.0, 9.0),
        Outcome(Target("far", "SQLite", "x", 2.0), 900.0, 900.0),
    ]
    chart = ET.fromstring(bars(outcomes))
    found = [bar for bar in chart.iter(f"{SVG}rect") if bar.get("fill") in (MET, MISSED)]
    assert [bar.get("fill") for bar in found] == [MET, MISSED, MET]
    kept, missed, far = (float(str(bar.get("width"))) for bar in found)
    assert kept == 2 * missed == far / 2
    assert "a < b & c, SQLite" in [text.text for text in chart.iter(f"{SVG}text")]


def test_bars_draw_the_worse_of_two_measures() -> None:
    speed = Outcome(Target("speed", "SQLite", "x", 1.0), 1.5, 0.5)
    cost = Outcome(Target("cost", "SQLite", "x", 1.0, at_least=False), 0.5, 1.5)
    chart = ET.fromstring(bars([speed, cost]))
    texts = [str(text.text) for text in chart.iter(f"{SVG}text")]
    assert "0.50 × x (≥ 1.0)" in texts
    assert "1.50 × x (≤ 1.0)" in texts


def test_lines_have_a_logarithmic_axis_and_begin_at_zero() -> None:
    series = {"flat": [(1000, 10.0), (10_000, 10.0), (100_000, 10.0)], "one": [(1000, 20.0)]}
    chart = ET.fromstring(lines("Cost", "µs", series))
    flat, one = (str(line.get("points")).split() for line in chart.iter(f"{SVG}polyline"))
    across = [float(point.split(",")[0]) for point in flat]
    assert across[1] - across[0] == across[2] - across[1] > 0
    assert len({point.split(",")[1] for point in flat}) == 1
    assert float(one[0].split(",")[1]) < float(flat[0].split(",")[1])
