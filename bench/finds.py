"""The works that find groups: by a number, by the beginning of a name, and behind a group."""

import itertools
from collections.abc import Callable
from contextlib import ExitStack

from bench import requests, servers
from bench.figures import Target
from bench.fill import group_id
from bench.reads import ENGINES, FIRST_PAGE, growing, grown, listing, openpns_cells
from bench.requests import Body
from bench.rounds import Bench, Cell, MakeRequests

FIND = "10 of one customer's {} groups that are found, nothing cached"
BY_PHONE = "by number"
BY_NAME = "by name"
BEHIND = "behind a group"
STEP = 7919
"""A prime: which groups are asked for, one after the other, jumps about in the order."""


def by_phone(customer: str, groups: int) -> MakeRequests:
    """Return a maker of requests that ask which groups hold a number; each number is in one."""
    return _asking(
        customer, lambda turn: {"offset": 0, "phone": f"8613{turn * STEP % (groups * 3):09}"}
    )


def by_name(customer: str, groups: int) -> MakeRequests:
    """Return a maker of requests for the ten groups whose names have one beginning."""
    return _asking(
        customer,
        lambda turn: {"offset": 0, "groupName": f"GROUP {turn * STEP % (groups // 10):06}"},
    )


def behind(customer: str, groups: int) -> MakeRequests:
    """Return a maker of requests for the ten groups behind a group."""
    return _asking(
        customer, lambda turn: {"after": group_id(customer, turn * STEP % (groups - 11))}
    )


def find(bench: Bench) -> None:
    """Measure searches among the most groups, and the first page of the same customer."""
    most = bench.plan.growth[-1]
    customer, work = grown(most), FIND.format(most)
    with ExitStack() as stack:
        running = openpns_cells(bench, stack, "one", growing(bench), *servers.without_cache())
        for engine in ENGINES:
            on_postgres = engine == "PostgreSQL"
            first, *others = (
                Cell(
                    running[engine], make, requests.page_of(groups),
                    on_postgres=on_postgres, note=note, same_bytes=False,
                )
                for make, groups, note in (
                    (listing(customer, 10), 10, "offset 0"),
                    (by_phone(customer, most), 1, BY_PHONE),
                    (by_name(customer, most), 10, BY_NAME),
                    (behind(customer, most), 10, BEHIND),
                )
            )  # fmt: skip
            bench.measure(work, [first, *others], bench.plan.short())
            for cell in others:
                target = Target(
                    f"{work}, {cell.note}", engine, FIRST_PAGE, 2, at_least=False,
                    with_database=True,
                )  # fmt: skip
                bench.judge(target, cell, first)


def _asking(customer: str, ask: Callable[[int], Body]) -> MakeRequests:
    lock = itertools.count()

    def make(count: int) -> list[bytes]:
        return requests.signed_now(
            (customer, "listGroup", {"limit": 10, **ask(next(lock))}) for _ in range(count)
        )

    return make
