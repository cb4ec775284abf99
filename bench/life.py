"""What a server is apart from one work: workers, time to start, memory."""

import time

from bench import proc, requests, servers
from bench.figures import BenchError, Row
from bench.fill import Contents, Holding
from bench.reads import SMALL
from bench.requests import listing, page_of
from bench.rounds import Bench, Cell
from bench.targets import MEMORY, SIDES, START, TWO_WORKERS, WORKERS

_LARGE_PHONES = 10_000
_READS = 3
_LATE_S = 3


def workers(bench: Bench) -> None:
    """Measure what a page costs with one worker and with two."""
    cells = [
        Cell(WORKERS, server, listing("reader", 10), page_of(10))
        for engine in SIDES
        for server in (
            bench.openpns(engine, SMALL),
            bench.openpns(engine, SMALL, "--workers", "2", note=TWO_WORKERS),
        )
    ]
    bench.measure("workers", [bench.limit(cells[0]), *cells])


def start(bench: Bench) -> None:
    """Measure the time from `exec` of `openpns serve` to the first answer."""
    for engine, side in SIDES.items():
        url = bench.databases.get(engine, SMALL)
        times = [_start_s(bench, url) for _ in range(bench.plan.starts)]
        bench.add(Row("start", START, side, figures={"start_s": times}))


def memory(bench: Bench) -> None:
    """Measure a server's memory when idle, and while it sends pages of 1000 groups.

    Each of the groups has 10 000 phones. One reader takes the page at once, the other one waits.
    """
    for engine, side in SIDES.items():
        url = bench.databases.get(engine, SMALL)
        with servers.openpns(side, url, bench.folder) as server:
            requests.ask(server.port, listing("reader", 10)(1)[0])
            figures = {
                "worker_mib": [proc.memory_mib(_largest(server.pid))],
                "all_mib": [sum(proc.memory_mib(pid, "Pss") for pid in proc.tree(server.pid))],
            }
        bench.add(Row("memory", MEMORY, side, figures=figures))
    groups = bench.plan.large_groups
    large = Contents("large", (Holding("large", groups, _LARGE_PHONES, has_members=False),))
    for engine, side in SIDES.items() if groups else ():
        for reader, wait_s in (("read at once", 0), (f"read {_LATE_S} s late", _LATE_S)):
            url = bench.databases.get(engine, large)
            with servers.openpns(side, url, bench.folder) as server:
                requests.ask(server.port, listing("large", 1)(1)[0])
                worker = _largest(server.pid)
                before = proc.memory_mib(worker, "VmHWM")
                sizes = [_drain(server.port, wait_s) / 2**20 for _ in range(_READS)]
                growth = proc.memory_mib(worker, "VmHWM") - before
            figures = {"answer_mib": [sizes[0]], "growth_mib": [growth]}
            bench.add(Row("large answer", f"large page, {reader}", side, figures=figures))


def _start_s(bench: Bench, url: str) -> float:
    port, begun = servers.free_port(), time.perf_counter()
    with servers.serving(url, bench.folder, port):
        while time.perf_counter() - begun < 30:  # noqa: PLR2004
            try:
                requests.ask(port, listing("reader", 10)(1)[0])
            except (OSError, BenchError):
                time.sleep(0.002)
            else:
                return time.perf_counter() - begun
    raise BenchError("openpns does not start")


def _largest(pid: int) -> int:
    """Return the largest process of a server with one worker: the worker."""
    return max(proc.tree(pid), key=proc.memory_mib)


def _drain(port: int, wait_s: float) -> int:
    connection = requests.Connection(port)
    size = connection.send_and_drain(listing("large", 1000)(1)[0], wait_s)
    connection.close()
    return size


WORKS = (workers, start, memory)
