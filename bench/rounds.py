"""Rounds of load in turn: A B A B, each with fresh signatures, each checked for errors."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import load, requests
from bench.databases import Databases
from bench.figures import BenchError, Figures, Outcome, Round, Target, compare
from bench.servers import Server

REPEATED_REQUESTS = 1000
ATTEMPTS = 3
WARM_UP_REQUESTS = 20_000
LATENCY_PAUSE_S = 0.02
LATENCY_CONNECTIONS_MAX = 256

MakeRequests = Callable[[int], list[bytes]]
"""Return as many signed requests; each time other ones if the work must not repeat itself."""


@dataclass
class Cell:
    """A server and what is asked of it.

    Attributes:
        server: The server.
        make: Makes the requests.
        check: Checks the body of an answer.
        never_repeats: Whether no request of a round may be sent twice.
        same_bytes: Whether all good answers have as many bytes.
        on_postgres: Whether the server works on PostgreSQL.
        count: Counts what requests leave behind, one for each; None if they leave nothing.
        note: What tells it from other cells of the same server, for the tables.
        rate_guess: Answers per second of the round that did not count.
        rounds: What was measured.
    """

    server: Server
    make: MakeRequests
    check: requests.Check = requests.succeeded
    never_repeats: bool = False
    same_bytes: bool = True
    on_postgres: bool = False
    count: Callable[[], int] | None = None
    note: str = ""
    rate_guess: float = 0.0
    rounds: list[Round] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name in the tables."""
        return f"{self.server.name}, {self.note}" if self.note else self.server.name

    @property
    def figures(self) -> Figures:
        """All rounds summed up."""
        return Figures.of(self.rounds)


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: Rounds of each cell.
        seconds: How long a round is; whole seconds.
        customers: Customers of the database of many, each with `groups_each`.
        groups_each: Groups of each of them.
        growth: Numbers of groups of the customers of the growth chart; the last one's pages are
            the deep ones.
        large_groups: Groups of 10 000 numbers of the large page.
        starts: How often the start is timed.
    """

    rounds: int = 5
    seconds: int = 2
    customers: int = 1000
    groups_each: int = 1000
    growth: tuple[int, ...] = (1000, 10_000, 100_000, 1_000_000)
    large_groups: int = 1000
    starts: int = 5

    def short(self) -> "Plan":
        """Return the plan of a work of many cells: fewer and shorter rounds."""
        return replace(self, rounds=min(self.rounds, 3), seconds=1)


QUICK = Plan(1, 1, 200, 100, (1000, 10_000, 100_000), 100, 2)


@dataclass(frozen=True)
class Measurement:
    """Figures of one server under one work."""

    work: str
    server: str
    figures: Figures


@dataclass(frozen=True)
class Latency:
    """Latency of one server at half of the load it can take.

    Attributes:
        work: The work.
        server: The server.
        rate: Answers per second that were reached.
        of_most: The same in parts of the most that the server answered.
        p50_ms: Half of the answers took no longer.
        p99_ms: 99 % of the answers took no longer.
    """

    work: str
    server: str
    rate: float
    of_most: float
    p50_ms: float
    p99_ms: float


@dataclass
class Bench:
    """What the works share: where they run, how much they do, what was found.

    Attributes:
        databases: The databases.
        folder: Where files of requests and logs go.
        python: The Python that has the peers' packages.
        plan: How much is measured.
    """

    databases: Databases
    folder: Path
    python: Path
    plan: Plan
    measurements: list[Measurement] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    growth: dict[str, dict[str, list[tuple[int, float]]]] = field(default_factory=dict)
    memory: list[dict[str, object]] = field(default_factory=list)
    starts: list[dict[str, object]] = field(default_factory=list)

    def measure(self, work: str, cells: Sequence[Cell], plan: Plan | None = None) -> None:
        """Run all rounds of some cells in turn, after one that does not count.

        Args:
            work: The work, as the tables name it.
            cells: What is measured.
            plan: How many rounds of what length; None for the plan of the run.
        """
        plan = plan or self.plan
        for cell in cells:
            self._run_round(cell, 1, WARM_UP_REQUESTS)
            cell.rate_guess = cell.rounds.pop().rate
        for _ in range(plan.rounds):
            for cell in cells:
                self._measure_once(cell, plan.seconds)
        for cell in cells:
            figures = cell.figures
            self.measurements.append(Measurement(work, cell.name, figures))
            print(
                f"  {cell.name:<48} {figures.rate.median:>9.0f}/s "
                f"{figures.cpu_us.median:>8.1f} µs {figures.database_us.median:>8.1f} µs"
            )

    def judge(self, target: Target, ours: Cell, theirs: Cell) -> None:
        """Compare two cells and keep the outcome.

        Args:
            target: What must be reached.
            ours: What is judged.
            theirs: What it is judged by.
        """
        self.outcomes.append(compare(target, ours.figures, theirs.figures))

    def measure_latency(self, work: str, cell: Cell) -> None:
        """Load a server with half of the most it answered, and keep the latency.

        Args:
            work: The work, as the tables name it.
            cell: What is measured; its rounds are done.
        """
        most = cell.figures.rate.median
        connections = max(32, min(int(most / 2 * LATENCY_PAUSE_S), LATENCY_CONNECTIONS_MAX))
        seconds = self.plan.seconds + 1
        file = self.folder / "requests"
        requests.write_requests(file, cell.make(int(most * seconds) + REPEATED_REQUESTS))
        pause_ms = connections / (most / 2) * 1000
        found = load.run(
            cell.server.port, file, seconds, connections=connections, pause_ms=pause_ms
        )
        self.latencies.append(
            Latency(
                work, cell.name, found.rate, found.rate / most,
                found.p50_us / 1000, found.p99_us / 1000,
            )
        )  # fmt: skip

    def _measure_once(self, cell: Cell, seconds: int) -> None:
        """Run one round; repeat it with more requests if it sent some twice."""
        for _ in range(ATTEMPTS):
            wanted = int(cell.rate_guess * seconds * 2) + REPEATED_REQUESTS
            count = wanted if cell.never_repeats else REPEATED_REQUESTS
            answers = self._run_round(cell, seconds, count)
            if not cell.never_repeats or answers + load.CONNECTIONS <= count:
                return
            cell.rate_guess = cell.rounds.pop().rate
        raise BenchError(
            f"{cell.name}: {answers} answers to {count} requests: some were sent twice"
        )

    def _run_round(self, cell: Cell, seconds: int, count: int) -> int:
        """Run one round and keep what it found; return how many answers came."""
        server, file = cell.server, self.folder / "requests"
        made = cell.make(count + 2)
        requests.write_requests(file, made[:count])
        size = requests.ask(server.port, made[-2], cell.check)
        there, codes = cell.count() if cell.count else 0, server.answered()
        cpu, database = server.cpu_us(), self.databases.postgres_cpu_us()
        found = load.run(server.port, file, seconds)
        time.sleep(0.02)  # what the end cut off is still being answered
        cpu, database = server.cpu_us() - cpu, self.databases.postgres_cpu_us() - database
        _check_codes(server, codes, found.answers)
        requests.ask(server.port, made[-1], cell.check)
        if cell.same_bytes:
            load.check_bytes(found, size)
        if cell.count:
            _check_count(server, cell.count() - there - 1, found.answers)
        cell.rounds.append(
            Round(
                found.rate,
                cpu / found.answers,
                database / found.answers if cell.on_postgres else 0.0,
            )
        )
        return found.answers


def _check_codes(server: Server, before: dict[str, int], answers: int) -> None:
    """Check that openpns counted as many successes as wrk got answers."""
    after = server.answered()
    counts = {code: count - before.get(code, 0) for code, count in after.items()}
    if any(count for code, count in counts.items() if code != "0"):
        raise BenchError(f"{server.name}: answered with codes {counts}")
    if counts and not answers <= counts.get("0", 0) <= answers + load.CONNECTIONS:
        raise BenchError(f"{server.name}: wrk got {answers} answers, the metrics say {counts}")


def _check_count(server: Server, left: int, answers: int) -> None:
    if not answers <= left <= answers + load.CONNECTIONS:
        raise BenchError(f"{server.name}: {answers} writes were acknowledged, {left} are there")
