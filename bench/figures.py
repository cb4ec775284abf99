"""Medians, spreads and ratios: what becomes of the rounds. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Measure = Literal["rate", "cpu"]


class BenchError(Exception):
    """The benchmark cannot go on: what it measured would be no measurement."""


@dataclass(frozen=True)
class Round:
    """What one round of load found.

    Attributes:
        rate: Answers per second.
        cpu_us: CPU of the server's processes for each answer, user and system, in µs.
        database_us: The same of PostgreSQL's processes; 0 where it is not used.
    """

    rate: float
    cpu_us: float
    database_us: float = 0.0


@dataclass(frozen=True)
class Spread:
    """The median of some values, and how far apart they are."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the ends of some values.

    Args:
        values: At least one.
    """
    return Spread(median(values), min(values), max(values))


@dataclass(frozen=True)
class Figures:
    """All rounds of one server under one work."""

    rate: Spread
    cpu_us: Spread
    database_us: Spread

    @classmethod
    def of(cls, rounds: Sequence[Round]) -> "Figures":
        """Sum up rounds.

        Args:
            rounds: At least one.
        """
        return cls(
            spread([each.rate for each in rounds]),
            spread([each.cpu_us for each in rounds]),
            spread([each.database_us for each in rounds]),
        )


@dataclass(frozen=True)
class Target:
    """What a comparison must reach.

    Attributes:
        work: The work, as the table names it.
        engine: `SQLite` or `PostgreSQL`.
        against: What openpns is compared with.
        value: The bound of the ratio.
        at_least: Whether the ratio must reach the bound, or stay below it. A ratio that must
            reach it is openpns's speed in parts of the other's; one that must stay below it is
            its cost in parts of the other's.
        decided_by: The measures that must keep the bound; the other is shown for information.
        with_database: Whether PostgreSQL's CPU counts.
    """

    work: str
    engine: str
    against: str
    value: float
    at_least: bool = True
    decided_by: tuple[Measure, ...] = ("rate", "cpu")
    with_database: bool = False


@dataclass(frozen=True)
class Outcome:
    """A target and what was measured; None for a measure that says nothing here."""

    target: Target
    rate_ratio: float | None
    cpu_ratio: float | None

    def ratio(self, measure: Measure) -> float | None:
        """Return the ratio by one measure.

        Args:
            measure: Which.
        """
        return self.rate_ratio if measure == "rate" else self.cpu_ratio

    def keeps(self, measure: Measure) -> bool:
        """Tell whether the ratio by one measure keeps the bound.

        Args:
            measure: Which.
        """
        ratio, target = self.ratio(measure), self.target
        if ratio is None:
            return False
        return ratio >= target.value if target.at_least else ratio <= target.value

    @property
    def is_met(self) -> bool:
        """Whether every measure that decides keeps the bound."""
        return all(self.keeps(measure) for measure in self.target.decided_by)


def compare(target: Target, ours: Figures, theirs: Figures) -> Outcome:
    """Return the ratio of two servers' medians, by answers per second and by CPU.

    Args:
        target: What it must reach.
        ours: What is judged.
        theirs: What it is judged by.
    """

    def cpu(figures: Figures) -> float:
        database = figures.database_us.median if target.with_database else 0.0
        return figures.cpu_us.median + database

    faster = ours.rate.median / theirs.rate.median
    cheaper = cpu(theirs) / cpu(ours)
    if target.at_least:
        return Outcome(target, faster, cheaper)
    return Outcome(target, 1 / faster, 1 / cheaper)
