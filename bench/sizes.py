"""What requests cost for customers with a thousand to a million groups; nothing is cached."""

from collections.abc import Callable
from dataclasses import replace

from bench import requests
from bench.fill import Contents, Holding, group_id
from bench.requests import MakeRequests, asking, listing, page_of
from bench.rounds import Bench, Cell
from bench.servers import Server
from bench.targets import (
    AFTER,
    BROAD,
    BY_NAME,
    BY_PHONE,
    DEEP,
    FIRST,
    FIRST_ALONE,
    GET_LIMITS,
    OTHERS,
    OTHERS_MEANWHILE,
    SIDES,
    SIZE_ADD,
    SIZE_CREATE,
)
from bench.writes import adding, creating

_OTHER = "other"
_STEP = 7919
"""A prime: the groups that are asked for, one after the other, jump about in the order."""


def sizes(bench: Bench) -> None:
    """Measure pages, searches and writes of customers of several sizes."""
    most = bench.plan.sizes[-1]
    for engine in SIDES:
        server, limit = _start(bench, engine)
        # A page at a large offset has to get over the places of deleted groups.
        for request in asking(_name(most), "deleteGroup", lambda turn: _middle(most, turn))(30):
            requests.ask(server.port, request)
        for groups in bench.plan.sizes:
            run = f"{engine}, {groups} groups"
            bench.measure(run, [limit, *_reads(server, groups)], rounds=5)
            if len(bench.plan.sizes) == 1:
                continue  # the group `writes` measures them
            # By themselves: groups that are created change the pages of the reads.
            bench.measure(f"{run}, writes", [limit, *_writes(server, groups)], rounds=3)


def slow(bench: Bench) -> None:
    """Measure requests that read much of the largest customer, and who waits for them."""
    most = bench.plan.sizes[-1]
    find_all = _beginning(_name(most), lambda _: "group ")
    for engine in SIDES:
        server, limit = _start(bench, engine)
        alone = [
            Cell(work, server, make, same_bytes=False, connections=1, groups=most)
            for work, make in (
                (FIRST_ALONE, listing(_name(most), 10)),
                (GET_LIMITS, asking(_name(most), "getLimits", lambda _: {})),
                (BROAD, find_all),
            )
        ]
        bench.measure(
            f"{engine}, slow", [replace(limit, work=FIRST_ALONE, connections=1), *alone], rounds=5
        )
        # Long enough for several of the finds, which may take a second each.
        light = Cell(
            OTHERS, server, listing(_OTHER, 10), page_of(10),
            connections=16, pause_ms=10, seconds=max(0.5, most / 250_000),
        )  # fmt: skip
        meanwhile = replace(light, work=OTHERS_MEANWHILE, meanwhile=find_all)
        idle = replace(limit, work=OTHERS, connections=16, pause_ms=10)
        bench.measure(f"{engine}, others", [idle, light, meanwhile], rounds=3)


def _start(bench: Bench, engine: str) -> tuple[Server, Cell]:
    """Run openpns and the limit with the bytes of a page of 10."""
    holdings = [Holding(_name(groups), groups) for groups in bench.plan.sizes]
    sized = Contents("sized", (*holdings, Holding(_OTHER, 1000)))
    server = bench.openpns(engine, sized, "--no-cache")
    return server, bench.limit(Cell(FIRST, server, listing(_OTHER, 10)))


def _reads(server: Server, groups: int) -> list[Cell]:
    name = _name(groups)

    def phone(turn: int) -> requests.Body:
        return {"limit": 10, "offset": 0, "phone": f"8613{turn * _STEP % (groups * 3):09}"}

    def after(turn: int) -> requests.Body:
        # Not those in the middle, which are deleted.
        return {"limit": 10, "after": group_id(name, turn * _STEP % (groups // 2 - 11))}

    ten_of = _beginning(name, lambda turn: f"GROUP {turn * _STEP % (groups // 10):06}")
    return [
        Cell(work, server, make, check, same_bytes=False, groups=groups)
        for work, make, check in (
            (FIRST, listing(name, 10), page_of(10)),
            (DEEP, listing(name, 10, groups - 500), page_of(10)),
            (AFTER, asking(name, "listGroup", after), page_of(10)),
            (BY_PHONE, asking(name, "listGroup", phone), requests.succeeded),
            (BY_NAME, ten_of, requests.succeeded),
        )
    ]


def _writes(server: Server, groups: int) -> list[Cell]:
    # Groups in the middle, which are on no page that is measured elsewhere.
    added = adding(_name(groups), 300, groups // 2 + 100)
    return [
        Cell(work, server, make, never_repeats=True, groups=groups)
        for work, make in ((SIZE_ADD, added), (SIZE_CREATE, creating(_name(groups))))
    ]


def _beginning(customer: str, text: Callable[[int], str]) -> MakeRequests:
    """Return a maker of requests for groups whose names begin with a text."""
    return asking(
        customer, "listGroup", lambda turn: {"limit": 10, "offset": 0, "groupName": text(turn)}
    )


def _middle(groups: int, turn: int) -> requests.Body:
    return {"groupId": group_id(_name(groups), groups // 2 + 2 * turn)}


def _name(groups: int) -> str:
    return f"with-{groups}"


WORKS = (sizes, slow)
