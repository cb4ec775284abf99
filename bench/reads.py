"""The works that read: repeated pages, pages never read before, deep pages, mixed."""

import itertools
import json
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench import requests, servers
from bench.figures import BenchError, Outcome, Target
from bench.fill import Holding, group_id
from bench.requests import Body, Connection
from bench.rounds import Bench, Cell, MakeRequests, Plan
from openpns.storage.store import database_path

ENGINES = ("SQLite", "PostgreSQL")
FRAMEWORK = "FastAPI + SQLAlchemy (PostgreSQL)"
SMALL = [Holding(name, 1000) for name in ("reader", "writer", "mixed-1")]
DELETES = 30
WRITE_EVERY = 20
"""One request of so many is a write in the mixed work: 5 %."""

REPEATED = "page of 10 from 1000 groups, repeated"
LARGE = "page of 1000 groups, repeated"
UNCACHED = "every request another customer and page"
AFTER_DELETE = "the same page, right after a delete in the middle"
AFTER_DELETES = "the same page, nothing cached, after those deletes"
FIRST_PAGE = "the first page"
MIXED = "page of 10, with 5 % writes of the same customer"
WORKERS = "two workers against one"


def listing(customer: str, limit: int, offset: int = 0) -> MakeRequests:
    """Return a maker of requests for one page; each request is signed with its own time."""
    body = {"limit": limit, "offset": offset}
    return lambda count: requests.signed_now(itertools.repeat((customer, "listGroup", body), count))


def plain(raw: bytes) -> MakeRequests:
    """Return a maker of one request without a signature."""
    return lambda count: [raw] * count


def answer_of(cell: Cell) -> bytes:
    """Return the body that a server answers with."""
    found: list[bytes] = []
    requests.ask(cell.server.port, cell.make(1)[0], found.append)
    return found[0]


def limit_of(bench: Bench, stack: ExitStack, like: Cell) -> Cell:
    """Start the limit with the bytes that another server answers now."""
    body = answer_of(like)

    def check(answer: bytes) -> None:
        if answer != body:
            raise BenchError("the limit answers other bytes")

    server = servers.limit(f"limit ({len(body)} bytes)", body, bench.folder)
    return Cell(stack.enter_context(server), like.make, check)


def openpns_cells(
    bench: Bench,
    stack: ExitStack,
    name: str,
    holdings: list[Holding],
    *arguments: str,
) -> dict[str, servers.Server]:
    """Start openpns on both engines; return the servers by engine."""
    return {
        engine: stack.enter_context(
            servers.openpns(
                f"openpns, {engine}",
                bench.databases.get(engine, name, holdings),
                bench.folder,
                *arguments,
            )
        )
        for engine in ENGINES
    }


def repeated_page(bench: Bench) -> None:
    """Measure a page of 10 that is read repeatedly, and all peers with it."""
    with ExitStack() as stack:
        page, make = requests.page_of(10), listing("reader", 10)
        running = openpns_cells(bench, stack, "small", SMALL)
        ours = {
            engine: Cell(server, make, page, on_postgres=engine == "PostgreSQL")
            for engine, server in running.items()
        }
        limit = limit_of(bench, stack, ours["SQLite"])
        peer = framework_cell(bench, stack, "small", SMALL, make, page)
        file = Path(str(database_path(bench.databases.get("SQLite", "small", SMALL))))
        tables = stack.enter_context(
            servers.datasette("Datasette (SQLite, unsigned)", file, bench.folder, bench.python)
        )
        public = Cell(
            tables, plain(_datasette_request(file.stem)), _datasette_page, same_bytes=False
        )
        bench.measure(REPEATED, [limit, *ours.values(), peer, public])
        for engine, least in zip(ENGINES, (0.65, 0.50), strict=True):
            bench.judge(Target(REPEATED, engine, "the limit", least), ours[engine], limit)
            bench.judge(Target(REPEATED, engine, FRAMEWORK, 30), ours[engine], peer)
            bench.measure_latency(REPEATED, ours[engine])


def large_page(bench: Bench) -> None:
    """Measure the page of 1000 groups."""
    with ExitStack() as stack:
        page, make = requests.page_of(1000), listing("reader", 1000)
        running = openpns_cells(bench, stack, "small", SMALL)
        ours = {
            engine: Cell(server, make, page, on_postgres=engine == "PostgreSQL")
            for engine, server in running.items()
        }
        limit = limit_of(bench, stack, ours["SQLite"])
        peer = framework_cell(bench, stack, "small", SMALL, make, page)
        bench.measure(LARGE, [limit, *ours.values(), peer])
        for engine, least in zip(ENGINES, (0.70, 0.60), strict=True):
            target = Target(LARGE, engine, "the limit at that size", least)
            bench.judge(target, ours[engine], limit)


def uncached(bench: Bench) -> None:
    """Measure requests that each are for another customer and another page."""
    plan = bench.plan
    holdings = [Holding(f"cus-{place:04}", plan.groups_each) for place in range(plan.customers)]
    with ExitStack() as stack:
        page = requests.page_of(10)
        running = openpns_cells(bench, stack, "many", holdings)
        ours = {
            engine: Cell(
                server,
                never_again(holdings),
                page,
                never_repeats=True,
                on_postgres=engine == "PostgreSQL",
            )
            for engine, server in running.items()
        }
        limit = limit_of(bench, stack, ours["SQLite"])
        peer = framework_cell(bench, stack, "many", holdings, never_again(holdings), page)
        bench.measure(UNCACHED, [limit, *ours.values(), peer])
        for engine, least in zip(ENGINES, (0.25, 0.12), strict=True):
            bench.judge(Target(UNCACHED, engine, "the limit", least), ours[engine], limit)
            bench.measure_latency(UNCACHED, ours[engine])


def deep_page(bench: Bench) -> None:
    """Measure the first page and the last of one customer, then both right after deletes."""
    most = bench.plan.growth[-1]
    of_all = f"page at offset {most - 1000} of one customer's {most} groups, nothing cached"
    _first_against_last(bench, of_all)
    with ExitStack() as stack:
        for engine, server in openpns_cells(bench, stack, "one", growing(bench)).items():
            ratio = _ratio_after_deletes(server.port, most, most - 1000)
            target = Target(AFTER_DELETE, engine, FIRST_PAGE, 1.5, False, ("rate",))
            bench.outcomes.append(Outcome(target, ratio, None))
    _first_against_last(bench, AFTER_DELETES, bench.plan.short())


def _first_against_last(bench: Bench, work: str, plan: Plan | None = None) -> None:
    most = bench.plan.growth[-1]
    with ExitStack() as stack:
        running = openpns_cells(bench, stack, "one", growing(bench), *servers.without_cache())
        pairs = {
            engine: [
                Cell(
                    server, listing(grown(most), 10, offset), requests.page_of(10),
                    on_postgres=engine == "PostgreSQL", note=f"offset {offset}",
                )
                for offset in (0, most - 1000)
            ]
            for engine, server in running.items()
        }  # fmt: skip
        bench.measure(work, [cell for pair in pairs.values() for cell in pair], plan)
        for engine, (first, last) in pairs.items():
            target = Target(work, engine, FIRST_PAGE, 1.5, at_least=False, with_database=True)
            bench.judge(target, last, first)


def mixed(bench: Bench) -> None:
    """Measure reads of which every 20th is a write of the same customer."""
    with ExitStack() as stack:
        running = openpns_cells(bench, stack, "small", SMALL)
        ours = {
            engine: Cell(
                server,
                _mixed_requests,
                same_bytes=False,
                never_repeats=True,  # a write that is sent again is not carried out again
                on_postgres=engine == "PostgreSQL",
            )
            for engine, server in running.items()
        }
        like = Cell(running["SQLite"], listing("mixed-1", 10), requests.page_of(10))
        limit = limit_of(bench, stack, like)
        bench.measure(MIXED, [limit, *ours.values()])
        for engine, least in zip(ENGINES, (0.35, 0.25), strict=True):
            bench.judge(Target(MIXED, engine, "the limit", least), ours[engine], limit)


def two_workers(bench: Bench) -> None:
    """Measure what a request costs with one worker and with two."""
    with ExitStack() as stack:
        for engine in ENGINES:
            cells = [
                Cell(
                    stack.enter_context(
                        servers.openpns(
                            f"openpns, {engine}, {count} worker(s)",
                            bench.databases.get(engine, "small", SMALL),
                            bench.folder,
                            "--workers",
                            str(count),
                        )
                    ),
                    listing("reader", 10),
                    requests.page_of(10),
                    on_postgres=engine == "PostgreSQL",
                )
                for count in (1, 2)
            ]
            bench.measure(WORKERS, cells)
            target = Target(WORKERS, engine, "one worker", 1.15, False, ("cpu",))
            bench.judge(target, cells[1], cells[0])


def framework_cell(
    bench: Bench,
    stack: ExitStack,
    name: str,
    holdings: list[Holding],
    make: MakeRequests,
    check: requests.Check,
) -> Cell:
    """Start the framework peer on the same groups."""
    url = bench.databases.get_framework(name, holdings)
    server = servers.framework(FRAMEWORK, url, bench.folder, bench.python)
    return Cell(
        stack.enter_context(server), make, check,
        never_repeats=name == "many", on_postgres=True,
    )  # fmt: skip


def growing(bench: Bench) -> list[Holding]:
    """Return the customers of the growth chart."""
    return [Holding(grown(groups), groups) for groups in bench.plan.growth]


def grown(groups: int) -> str:
    """Return the customer that has so many groups."""
    return f"with-{groups}"


def never_again(holdings: list[Holding]) -> MakeRequests:
    """Return a maker of requests for pages in an order in which none comes twice.

    Neighbours in the order are another customer's, and far apart.
    """
    offsets = holdings[0].groups - 9
    pages = len(holdings) * offsets
    step = next(n for n in range(int(pages * 0.618), pages) if math.gcd(n, pages) == 1)

    def order() -> Iterator[tuple[str, str, Body]]:
        for place in itertools.count():
            customer, offset = divmod(place * step % pages, offsets)
            body = {"limit": 10, "offset": offset}
            yield holdings[customer].customer, "listGroup", body

    upcoming = order()
    return lambda count: requests.signed_now(itertools.islice(upcoming, count))


def _mixed_requests(count: int) -> list[bytes]:
    first = time.monotonic_ns() % 10**8

    def each() -> Iterator[tuple[str, str, Body]]:
        for place in range(count):
            if place % WRITE_EVERY:
                yield "mixed-1", "listGroup", {"limit": 10, "offset": 0}
                continue
            numbers = ",".join(f"8614{(first + place + k) % 10**9:09}" for k in range(3))
            body = {"groupId": group_id("mixed-1", place // WRITE_EVERY % 1000)}
            yield "mixed-1", "updateGroup", body | {"operateType": 2, "phones": numbers}

    return requests.signed_now(each())


def _ratio_after_deletes(port: int, groups: int, offset: int) -> float:
    """Return the last page's time over the first one's, each asked for right after a delete."""
    customer, middle = grown(groups), groups // 2
    connection = Connection(port)

    def timed(action: str, body: Body) -> float:
        (request,) = requests.signed_now([(customer, action, body)])
        started = time.perf_counter()
        answer, _ = connection.send(request)
        taken = time.perf_counter() - started
        requests.succeeded(answer)
        return taken

    def page_after_delete(place: int, offset: int) -> float:
        timed("deleteGroup", {"groupId": group_id(customer, place)})
        return timed("listGroup", {"limit": 10, "offset": offset})

    firsts, lasts = [], []
    for place in range(middle, middle + 2 * DELETES, 2):
        firsts.append(page_after_delete(place, 0))
        lasts.append(page_after_delete(place + 1, offset))
    connection.close()
    return median(lasts) / median(firsts)


def _datasette_request(database: str) -> bytes:
    path = (
        f"/{database}/number_group.json?customer_id=reader&_sort=group_seq&_size=10"
        "&_col=customer_id&_col=group_name&_col=group_id&_col=phones&_col=remark"
        "&_shape=objects&_nofacet=1&_nosuggest=1"
    )
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def _datasette_page(body: bytes) -> None:
    page = json.loads(body)
    if len(page["rows"]) != 10 or page["filtered_table_rows_count"] != 1000:  # noqa: PLR2004
        raise BenchError("Datasette answers another page")
