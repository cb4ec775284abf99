"""The works that read: pages that repeat, pages that do not, pages of a customer that writes."""

import itertools
import math
import time
from collections.abc import Iterator

from bench import requests
from bench.fill import Contents, Holding, group_id
from bench.requests import Body, MakeRequests, listing, page_of
from bench.rounds import Bench, Cell
from bench.targets import GRANIAN, LARGE, MIXED, REPEATED, SIDES, UNCACHED

SMALL = Contents("small", (Holding("reader", 1000), Holding("mixed", 1000)))
_WRITE_EVERY = 20


def repeated(bench: Bench) -> None:
    """Measure a page of 10 beside both limits and the framework peer."""
    make, page = listing("reader", 10), page_of(10)
    ours = [Cell(REPEATED, bench.openpns(engine, SMALL), make, page) for engine in SIDES]
    peer = Cell(REPEATED, bench.framework(SMALL), make, page)
    bench.measure(REPEATED, [*_limits(bench, ours[0]), *ours, peer])


def large(bench: Bench) -> None:
    """Measure a page of 1000 groups, about 170 KB, beside the limits at that size."""
    make, page = listing("reader", 1000), page_of(1000)
    ours = [Cell(LARGE, bench.openpns(engine, SMALL), make, page) for engine in SIDES]
    bench.measure(LARGE, [*_limits(bench, ours[0]), *ours])


def uncached(bench: Bench) -> None:
    """Measure requests that each are for another customer and another page."""
    plan = bench.plan
    names = (f"cus-{place:04}" for place in range(plan.customers))
    many = Contents("many", tuple(Holding(name, plan.groups_each) for name in names))
    ours = [
        Cell(
            UNCACHED, bench.openpns(engine, many), never_again(many.holdings), page_of(10),
            never_repeats=True,
        )
        for engine in SIDES
    ]  # fmt: skip
    bench.measure(UNCACHED, [bench.limit(ours[0]), *ours])


def mixed(bench: Bench) -> None:
    """Measure pages of which every 20th request is a write of the same customer."""
    ours = [
        Cell(
            MIXED, bench.openpns(engine, SMALL), _mixed_requests,
            same_bytes=False, never_repeats=True,
        )
        for engine in SIDES
    ]  # fmt: skip
    like = Cell(MIXED, ours[0].server, listing("mixed", 10))
    bench.measure(MIXED, [bench.limit(like), *ours])


def never_again(holdings: tuple[Holding, ...]) -> MakeRequests:
    """Return a maker of requests for pages in an order in which none comes twice.

    Neighbours in the order are of different customers, and far apart.
    """
    offsets = holdings[0].groups - 9
    pages = len(holdings) * offsets
    step = next(n for n in range(int(pages * 0.618), pages) if math.gcd(n, pages) == 1)

    def order() -> Iterator[tuple[str, str, Body]]:
        for place in itertools.count():
            customer, offset = divmod(place * step % pages, offsets)
            yield holdings[customer].customer, "listGroup", {"limit": 10, "offset": offset}

    upcoming = order()
    return lambda count: requests.signed_now(itertools.islice(upcoming, count))


def _limits(bench: Bench, like: Cell) -> list[Cell]:
    return [bench.limit(like), bench.limit(like, GRANIAN, "granian_constant.py")]


def _mixed_requests(count: int) -> list[bytes]:
    first = time.monotonic_ns() % 10**8

    def each() -> Iterator[tuple[str, str, Body]]:
        for place in range(count):
            if place % _WRITE_EVERY:
                yield "mixed", "listGroup", {"limit": 10, "offset": 0}
                continue
            # The groups keep their size.
            phones = ",".join(f"8614{(first + place + k) % 10**9:09}" for k in range(3))
            body = {"groupId": group_id("mixed", place // _WRITE_EVERY % 1000)}
            yield "mixed", "updateGroup", body | {"operateType": 2, "phones": phones}

    return requests.signed_now(each())


WORKS = (repeated, large, uncached, mixed)
