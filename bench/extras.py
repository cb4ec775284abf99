"""What is measured besides the table: growth, memory, the time to start."""

import time
from contextlib import ExitStack
from dataclasses import replace

from bench import finds, proc, requests, servers, writes
from bench.figures import BenchError
from bench.fill import Holding
from bench.reads import ENGINES, SMALL, growing, grown, listing
from bench.requests import Connection
from bench.rounds import Bench, Cell
from openpns.server.run import free_port

LARGE_NUMBERS = 10_000
LARGE_OWNER = "large-page"
READS = 3
LATE_S = 3
REPEATED_PAGE = "first page, repeated"
FIRST_PAGE = "first page, nothing cached"
LAST_PAGE = "last page, nothing cached"


def growth(bench: Bench) -> None:
    """Measure what pages, searches and writes cost from a thousand groups to a million."""
    page = requests.page_of(10)
    for engine in ENGINES:
        url = bench.databases.get(engine, "one", growing(bench))
        with ExitStack() as stack:
            start = servers.openpns
            caching = stack.enter_context(start(f"openpns, {engine}", url, bench.folder))
            plain = stack.enter_context(
                start(f"openpns, {engine}, no cache", url, bench.folder, *servers.without_cache())
            )
            for groups in bench.plan.growth:
                cells = [
                    Cell(
                        server, listing(grown(groups), 10, offset), page, note=note,
                    )
                    for server, offset, note in (
                        (caching, 0, REPEATED_PAGE),
                        (plain, 0, FIRST_PAGE),
                        (plain, groups - 1000, LAST_PAGE),
                    )
                ]  # fmt: skip
                cells += _searches(plain, groups)
                written = _writes(plain, groups)
                for cell in (*cells, *written):
                    cell.on_postgres = engine == "PostgreSQL"
                plan = replace(bench.plan.short(), rounds=min(bench.plan.rounds, 2))
                bench.measure(f"growth, {groups} groups", cells, plan)
                # By themselves: groups that are created make the pages of the others longer.
                bench.measure(f"growth, {groups} groups", written, plan)
                cells += written
                for cell in cells:
                    cost = cell.figures.cpu_us.median + cell.figures.database_us.median
                    lines = bench.growth.setdefault(engine, {})
                    lines.setdefault(cell.note, []).append((groups, cost))


def _searches(server: servers.Server, groups: int) -> list[Cell]:
    customer = grown(groups)
    return [
        Cell(
            server, make(customer, groups), requests.page_of(found), same_bytes=False,
            note=f"find {note}",
        )
        for make, found, note in (
            (finds.by_phone, 1, finds.BY_PHONE),
            (finds.by_name, 10, finds.BY_NAME),
            (finds.behind, 10, finds.BEHIND),
        )
    ]  # fmt: skip


def _writes(server: servers.Server, groups: int) -> list[Cell]:
    customer = grown(groups)
    return [
        Cell(server, make, never_repeats=True, note=note)
        for make, note in (
            # Groups in the middle, which stand on no page that is measured elsewhere.
            (writes.added_numbers(customer, 300, groups // 2), "add a number"),
            (writes.creating(customer), "createGroup"),
        )
    ]


def memory(bench: Bench) -> None:
    """Measure a worker's resident memory: idle, and under a page of 1000 groups of 10 000 numbers.

    One reader takes the page at once, the other waits before it reads.
    """
    holdings = [Holding(LARGE_OWNER, bench.plan.large_groups, LARGE_NUMBERS, has_members=False)]
    small = listing(LARGE_OWNER, 1)
    large = listing(LARGE_OWNER, 1000)
    for engine in ENGINES:
        for reader, wait_s in (("at once", 0), (f"{LATE_S} s late", LATE_S)):
            with ExitStack() as stack:
                url = bench.databases.get(engine, "large", holdings)
                name = f"openpns, {engine}"
                server = stack.enter_context(servers.openpns(name, url, bench.folder))
                (worker,) = server.workers
                requests.ask(server.port, small(1)[0], requests.succeeded)
                idle = proc.resident_mib(worker)
                peak = proc.resident_mib(worker, peak=True)
                sizes = [_read(server.port, large(1)[0], wait_s) for _ in range(READS)]
                found = {
                    "engine": engine,
                    "reader": reader,
                    "page_mib": round(sizes[0] / 2**20, 1),
                    "idle_mib": round(idle, 1),
                    "growth_mib": round(proc.resident_mib(worker, peak=True) - peak, 1),
                }
            bench.memory.append(found)
            print(f"  {found}")


def start_time(bench: Bench) -> None:
    """Measure the time from `exec` of `openpns serve` to the first answer."""
    for engine in ENGINES:
        url = bench.databases.get(engine, "small", SMALL)
        times = [_start_once(bench, url) for _ in range(bench.plan.starts)]
        times.sort()
        found = {
            "engine": engine,
            "median_s": round(times[len(times) // 2], 2),
            "least_s": round(times[0], 2),
            "most_s": round(times[-1], 2),
        }
        bench.starts.append(found)
        print(f"  {found}")


def _start_once(bench: Bench, url: str) -> float:
    _, port = free_port("port", "127.0.0.1", 0)
    begin = time.perf_counter()
    with servers.started("start", url, bench.folder, port):
        for _ in range(10_000):
            try:
                requests.ask(port, listing("reader", 10)(1)[0], requests.page_of(10))
            except OSError:
                time.sleep(0.002)
            else:
                return time.perf_counter() - begin
    raise BenchError("openpns does not start")


def _read(port: int, request: bytes, wait_s: float) -> int:
    """Send a request, wait, then read its answer to the end; return the answer's bytes."""
    connection = Connection(port)
    size = connection.send_and_drain(request, wait_s)
    connection.close()
    return size
