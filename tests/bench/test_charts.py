"""Charts are well-formed SVG whose shapes show the values."""

import xml.etree.ElementTree as ET

from bench.charts import BAD, GOOD, Bar, bars, lines

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_have_a_logarithmic_axis_and_end_with_the_chart() -> None:
    found = [
        Bar("a < b & c"),
        Bar("one", 1.0, "1 L", GOOD),
        Bar("ten", 10.0, "10 L", BAD),
        Bar("far", 900.0, "900 L", BAD),
    ]
    chart = ET.fromstring(bars("Bars", found, {1: "L", 100: "100 L"}))
    drawn = [bar for bar in chart.iter(f"{SVG}rect") if bar.get("fill") in (GOOD, BAD)]
    one, ten, far = (float(str(bar.get("width"))) for bar in drawn)
    assert one == 0
    assert far == 2 * ten > 0
    texts = [text.text for text in chart.iter(f"{SVG}text")]
    assert {"a < b & c", "one", "1 L", "10 L", "→ 900 L", "100 L"} <= set(texts)


def test_lines_have_a_logarithmic_axis_and_begin_at_zero() -> None:
    series = {"flat": [(1000, 10.0), (10_000, 10.0), (100_000, 10.0)], "one": [(1000, 20.0)]}
    chart = ET.fromstring(lines("Cost", "µs", "groups", series))
    flat, one = (str(line.get("points")).split() for line in chart.iter(f"{SVG}polyline"))
    across = [float(point.split(",")[0]) for point in flat]
    assert across[1] - across[0] == across[2] - across[1] > 0
    assert len({point.split(",")[1] for point in flat}) == 1
    assert float(one[0].split(",")[1]) < float(flat[0].split(",")[1])


def test_names_of_lines_do_not_cover_each_other() -> None:
    series = {name: [(1000, 10.0), (10_000, 10.0)] for name in ("a", "b", "c")}
    chart = ET.fromstring(lines("Cost", "µs", "groups", series))
    heights = [float(str(t.get("y"))) for t in chart.iter(f"{SVG}text") if t.text in series]
    assert all(abs(a - b) >= 12 for a in heights for b in heights if a is not b)
