"""Rounds of load in turn: A B C A B C, each with new signatures, each checked for errors."""

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import load, proc, requests, servers
from bench.databases import Databases
from bench.figures import LIMIT, BenchError, Row, limit_of, ratios, spread
from bench.fill import Contents
from bench.load import CONNECTIONS, Load
from bench.requests import Check, Connection, MakeRequests
from bench.servers import Server
from bench.targets import FRAMEWORK, SIDES

_ATTEMPTS = 3
_REPEATED_REQUESTS = 1000
_WARM_UP_RATE = 20_000
_WARM_UP_S = 0.3
_SETTLE_S = 0.02
"""What the end of a round cut off is still being answered."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: Rounds of each cell.
        seconds: The length of a round.
        customers: Customers of the database with many customers; each has `groups_each` groups.
        sizes: Numbers of groups of the customers whose pages are compared.
        bindings: Numbers of bindings of the customers whose questions and binds are compared.
        bindings_rounds: Rounds of questions and binds.
        large_groups: Groups of 10 000 phones of the page whose memory is measured; 0 for none.
        starts: How often the start is timed.
        refusals: Requests with each kind of access key.
        flood_rounds: Rounds during a flood of each kind.
        flood_seconds: The length of such a round, and of that without a flood before it.
        floods_every: Every how manyth kind of flood is measured.
        deliveries: Events of a round that are delivered.
        backlog: Events that wait.
    """

    rounds: int = 9
    seconds: float = 1.0
    customers: int = 1000
    groups_each: int = 1000
    sizes: tuple[int, ...] = (1000, 10_000, 100_000, 1_000_000)
    bindings: tuple[int, ...] = (1000, 10_000, 100_000, 1_000_000)
    bindings_rounds: int = 9
    large_groups: int = 1000
    starts: int = 7
    refusals: int = 5000
    flood_rounds: int = 3
    flood_seconds: float = 1.5
    floods_every: int = 1
    deliveries: int = 10_000
    backlog: int = 1_000_000


QUICK = Plan(
    rounds=2,
    seconds=0.4,
    customers=100,
    groups_each=200,
    sizes=(100_000,),
    bindings=(1000, 100_000),
    bindings_rounds=1,
    large_groups=0,
    starts=2,
    refusals=200,
    flood_rounds=1,
    flood_seconds=0.4,
    floods_every=20,
    deliveries=2000,
    backlog=100_000,
)


@dataclass
class Cell:
    """A work of a server.

    Attributes:
        work: The work's name.
        server: The server.
        make: Makes the requests.
        check: Checks the body of an answer.
        never_repeats: Whether no request of a round may be sent twice.
        same_bytes: Whether all good answers have as many bytes.
        connections: How many connections send at once; 1 is without wrk, for slow requests.
        pause_ms: The mean time that a connection waits before a request.
        meanwhile: Makes the requests that another connection sends at the same time.
        seconds: The length of its rounds, the one that does not count among them; None for the
            plan's.
        groups: The groups of the customer, if the work is measured at several sizes.
        bindings: The bindings of the customer, if the work depends on them.
        settle_s: How long the server works on after the last answer; that CPU counts as well.
        rate_guess: The answers per second to make requests for.
    """

    work: str
    server: Server
    make: MakeRequests
    check: Check = requests.succeeded
    never_repeats: bool = False
    same_bytes: bool = True
    connections: int = CONNECTIONS
    pause_ms: float = 0
    meanwhile: MakeRequests | None = None
    seconds: float | None = None
    groups: int | None = None
    bindings: int | None = None
    settle_s: float = _SETTLE_S
    rate_guess: float = _WARM_UP_RATE


@dataclass
class Bench:
    """What the works share: where they run, how much they do, what was found.

    Attributes:
        databases: The databases.
        folder: Where files of requests and logs go.
        python: The Python that has the peers' packages.
        plan: How much is measured.
        rows: What was found.
        stack: Holds the servers that run until the end of the group.
    """

    databases: Databases
    folder: Path
    python: Path
    plan: Plan
    rows: list[Row] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)
    _running: dict[tuple[str, ...], Server] = field(default_factory=dict)

    def openpns(self, engine: str, contents: Contents, *arguments: str, note: str = "") -> Server:
        """Run openpns until the end of the group, unless it runs already."""
        key = (engine, contents.name, *arguments)
        if key not in self._running:
            url = self.databases.get(engine, contents)
            server = servers.openpns(SIDES[engine] + note, url, self.folder, *arguments)
            self._running[key] = self.stack.enter_context(server)
        return self._running[key]

    def limit(self, like: Cell, side: str = LIMIT, script: str = "limit.py") -> Cell:
        """Run a limit until the end of the group, with the bytes that a server answers now."""
        head, body = requests.ask(like.server.port, like.make(1)[0])
        file = self.folder / "answer"
        file.write_bytes(head + body)

        def check(answer: bytes) -> None:
            if answer != body:
                raise BenchError("the limit answers other bytes")

        server = servers.peer(side, script, self.python, self.folder, str(file))
        return Cell(like.work, self.stack.enter_context(server), like.make, check)

    def framework(self, contents: Contents) -> Server:
        """Run the framework peer until the end of the group."""
        url = self.databases.get("framework", contents)
        return self.stack.enter_context(
            servers.peer(FRAMEWORK, "framework.py", self.python, self.folder, url, on_postgres=True)
        )

    def measure(self, run: str, cells: Sequence[Cell], rounds: int | None = None) -> None:
        """Measure cells in turn, after a round that does not count.

        Args:
            run: What the rows have in common.
            cells: What is measured.
            rounds: How often, at most; None for the plan's rounds.
        """
        for cell in cells:
            seconds = cell.seconds or _WARM_UP_S
            unsettled = replace(cell, settle_s=_SETTLE_S)
            _, warm_up = self._run_round(unsettled, seconds, _requests_for(cell, seconds))
            cell.rate_guess = warm_up["rate"]
        rows = [
            Row(run, cell.work, cell.server.side, cell.groups, bindings=cell.bindings)
            for cell in cells
        ]
        for _ in range(min(rounds or self.plan.rounds, self.plan.rounds)):
            for cell, row in zip(cells, rows, strict=True):
                for name, value in self._measure_once(cell).items():
                    row.figures.setdefault(name, []).append(value)
        for row in rows:
            self.add(row, limit_of(row, rows))

    def add(self, row: Row, limit: Row | None = None) -> None:
        """Keep a row, and print it."""
        self.rows.append(row)
        parts = [
            f"{name} {found.median:.4g}"
            for name, values in row.figures.items()
            if (found := spread(values)) is not None
        ]
        if limit is not None and (of_limit := spread(ratios(row, limit, "cpu_us"))):
            parts.insert(0, f"{of_limit.median:.2f} L")
        size = row.size_text and f", {row.size_text}"
        print(f"  {row.work}{size}; {row.side}: {', '.join(parts)}", flush=True)

    def _measure_once(self, cell: Cell) -> dict[str, float]:
        """Run one round; repeat it with more requests if it sent some twice."""
        seconds = cell.seconds or self.plan.seconds
        for _ in range(_ATTEMPTS):
            count = _requests_for(cell, seconds)
            answers, figures = self._run_round(cell, seconds, count)
            if not cell.never_repeats or answers + CONNECTIONS <= count:
                return figures
            cell.rate_guess = figures["rate"]
        raise BenchError(f"{cell.work}: {count} requests were too few: some were sent twice")

    def _run_round(self, cell: Cell, seconds: float, count: int) -> tuple[int, dict[str, float]]:
        """Run one round; return the number of answers and the figures."""
        server = cell.server
        made = cell.make(count + 2)
        head, body = requests.ask(server.port, made[-2])
        cell.check(body)
        codes = server.codes()
        cpu, database = proc.cpu_us(server.pid), self.databases.postgres_cpu_us()
        with _meanwhile(cell):
            found = self._load(cell, made[:count], seconds)
        time.sleep(cell.settle_s)
        cpu = proc.cpu_us(server.pid) - cpu
        database = self.databases.postgres_cpu_us() - database
        found.check(cell.connections, len(head) + len(body) if cell.same_bytes else None)
        _check_codes(server, codes, found.answers)
        cell.check(requests.ask(server.port, made[-1])[1])
        figures = {
            "rate": found.rate,
            "p50_ms": found.p50_us / 1000,
            "p99_ms": found.p99_us / 1000,
        }
        if cell.meanwhile is None:  # or the CPU of those requests would be counted
            figures["cpu_us"] = cpu / found.answers
            figures["database_us"] = database / found.answers if server.on_postgres else 0.0
        return found.answers, figures

    def _load(self, cell: Cell, made: Sequence[bytes], seconds: float) -> Load:
        if cell.connections == 1:
            return load.run_one_by_one(cell.server.port, made, seconds)
        file = self.folder / "requests"
        requests.write_requests(file, made)
        return load.run_wrk(cell.server.port, file, seconds, cell.connections, cell.pause_ms)


def _requests_for(cell: Cell, seconds: float) -> int:
    """Return how many requests a round needs."""
    more = cell.rate_guess * seconds * 1.5 if cell.never_repeats else 0
    return _REPEATED_REQUESTS + int(more)


@contextmanager
def _meanwhile(cell: Cell) -> Iterator[None]:
    """Send a cell's other requests, one at a time, until the end of the block."""
    if cell.meanwhile is None:
        yield
        return
    is_over = threading.Event()
    upcoming = itertools.cycle(cell.meanwhile(_REPEATED_REQUESTS))
    failures: list[Exception] = []

    def send() -> None:
        connection = Connection(cell.server.port)
        try:
            while not is_over.is_set():
                connection.send(next(upcoming))
        except (BenchError, OSError) as error:
            failures.append(error)
        finally:
            connection.close()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        is_over.set()
        sender.join()
    if failures:
        raise BenchError(f"{cell.work}: {failures[0]}")


def _check_codes(server: Server, before: dict[str, int], answers: int) -> None:
    """Check that openpns counted no failure, and at least as many successes as answers came."""
    counts = {code: count - before.get(code, 0) for code, count in server.codes().items()}
    failed = any(count for code, count in counts.items() if code != "0")
    if failed or (counts and counts.get("0", 0) < answers):
        raise BenchError(f"{server.side}: {answers} answers came, the metrics say {counts}")
