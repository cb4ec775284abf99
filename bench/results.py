"""The results of all groups of works, kept in one JSON file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.figures import Row

FOLDER = Path(__file__).parent / "results"
ORDER = (
    "reads", "writes", "sizes", "bindings", "life", "refusals", "floods", "deliveries", "records",
)  # fmt: skip
"""The groups in the order of the tables."""

_DIGITS = 5


@dataclass(frozen=True)
class Group:
    """What one run of a group found.

    Attributes:
        facts: What the figures depend on: date, commit, machine, versions.
        minutes: How long it took.
        rows: The figures.
    """

    facts: dict[str, str]
    minutes: float
    rows: list[Row]


Results = dict[str, Group]


def read(folder: Path) -> Results:
    """Return the results in a folder by group; none if there is no file."""
    file = folder / "latest.json"
    if not file.exists():
        return {}
    return {
        name: Group(group["facts"], group["minutes"], [Row(**row) for row in group["rows"]])
        for name, group in json.loads(file.read_text("utf-8")).items()
    }


def write(folder: Path, results: Mapping[str, Group]) -> None:
    """Write results, a row on each line; groups that are not among them stay."""
    folder.mkdir(parents=True, exist_ok=True)
    every = read(folder) | dict(results)
    groups = [
        f' {json.dumps(name)}: {{"facts": {json.dumps(group.facts, ensure_ascii=False)},\n'
        f'  "minutes": {group.minutes}, "rows": [\n'
        + ",\n".join(f"   {_line(row)}" for row in group.rows)
        + "\n  ]}"
        for name, group in sorted(every.items(), key=lambda each: ORDER.index(each[0]))
    ]
    text = "{\n" + ",\n".join(groups) + "\n}\n"
    (folder / "latest.json").write_text(text, "utf-8")


def _line(row: Row) -> str:
    fields = asdict(row)
    for name, values in row.figures.items():
        fields["figures"][name] = [float(f"{value:.{_DIGITS}g}") for value in values]
    return json.dumps(fields, ensure_ascii=False)
