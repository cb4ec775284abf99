"""Rows of figures with a value for each round, and what is computed from them. No I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

LIMIT = "the limit"


class BenchError(Exception):
    """The benchmark cannot go on: its figures would be wrong."""


@dataclass(frozen=True)
class Row:
    """What was measured of one server under one work.

    Attributes:
        run: Rows with the same run were measured in turn, so their rounds can be compared.
        work: What was asked for.
        side: The server.
        groups: The groups of the customer, if the work is measured at several sizes.
        bindings: The bindings of the customer, if the work depends on them.
        figures: The values of all rounds by name: `cpu_us` (user and system time of the server's
            processes for each answer), `database_us` (the same of PostgreSQL), `rate` (answers per
            second), `p50_ms`, `p99_ms`; other names for what is not measured by load.
    """

    run: str
    work: str
    side: str
    groups: int | None = None
    figures: dict[str, list[float]] = field(default_factory=dict)
    bindings: int | None = None

    @property
    def size(self) -> int | None:
        """The size of the customer, in groups or in bindings; None if it does not matter."""
        return self.groups if self.groups is not None else self.bindings

    @property
    def size_text(self) -> str:
        """The size with its unit; empty if it does not matter."""
        if self.size is None:
            return ""
        return f"{grouped(self.size)} {'groups' if self.groups is not None else 'bindings'}"

    def values(self, figure: str) -> list[float]:
        """Return a figure of all rounds; `total_us` is the CPU of server and PostgreSQL."""
        if figure == "total_us":
            pairs = zip(self.values("cpu_us"), self.values("database_us"), strict=True)
            return [server + database for server, database in pairs]
        return self.figures.get(figure, [])


@dataclass(frozen=True)
class Spread:
    """The median of some values, the lowest and the highest."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread | None:
    """Return the spread of values; None if there are none."""
    return Spread(median(values), min(values), max(values)) if values else None


def ratios(ours: Row, theirs: Row, figure: str) -> list[float]:
    """Return the ratio of a figure of two rows of one run, by round; none without the figure."""
    pairs = zip(ours.values(figure), theirs.values(figure), strict=False)
    return [one / other for one, other in pairs if other]


def grouped(number: int) -> str:
    """Return a number with its digits in threes."""
    return f"{number:,}".replace(",", " ")


def short(value: float) -> str:
    """Return a number with three digits, or all that stand before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004


def limit_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """Return the row of the limit that was measured in the same rounds."""
    return next((each for each in rows if each.run == row.run and each.side == LIMIT), None)


def mann_whitney(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return how often the one is larger than the other, and the two-sided p of that.

    p is of the normal approximation, for many values and few ties.
    """
    ranked = sorted([(value, True) for value in one] + [(value, False) for value in other])
    rank_sum = sum(rank for rank, (_, is_one) in enumerate(ranked, 1) if is_one)
    n, m = len(one), len(other)
    larger = rank_sum - n * (n + 1) / 2
    z = (larger - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return larger / (n * m), math.erfc(abs(z) / math.sqrt(2))
