"""The works that write: createGroup, and adding a number to a small group and to a large one."""

import itertools
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from bench import requests, servers
from bench.figures import Target
from bench.fill import Holding, group_id
from bench.reads import FRAMEWORK, SMALL, framework_cell, openpns_cells
from bench.rounds import Bench, Cell, MakeRequests

CREATE = "createGroup of 3 numbers, acknowledged = on disk"
ADD = "add 1 number to a group of 10 000"
ONE_COMMIT = "one commit per request"
WRITER = "writer"
ADDER = "adder"
LARGE_OWNER = "adder-large"
SMALL_GROUPS = 10_000
LARGE_GROUPS = 32
LARGE_NUMBERS = 10_000

_numbers = itertools.count(100_000_000)


def create_group(bench: Bench) -> None:
    """Measure createGroup: against one commit for each on SQLite, the framework on PostgreSQL."""
    with ExitStack() as stack:
        running = openpns_cells(bench, stack, "small", SMALL)
        url = bench.databases.get("SQLite", "small", SMALL)
        alone = servers.one_commit(f"openpns, SQLite, {ONE_COMMIT}", url, bench.folder)
        plain = _creating(stack.enter_context(alone))
        ours = {
            engine: _creating(server, on_postgres=engine == "PostgreSQL")
            for engine, server in running.items()
        }
        peer = framework_cell(bench, stack, "small", SMALL, _new_groups, requests.succeeded)
        peer.count = _counter(peer.server.port)
        peer.never_repeats = True
        bench.measure(CREATE, [*ours.values(), plain, peer])
        for engine, theirs, name, least in (
            ("SQLite", plain, f"{ONE_COMMIT}, same fsync", 5),
            ("PostgreSQL", peer, FRAMEWORK, 4),
        ):
            target = Target(CREATE, engine, name, least, decided_by=("rate",))
            bench.judge(target, ours[engine], theirs)
            bench.measure_latency(CREATE, ours[engine])


def add_number(bench: Bench) -> None:
    """Measure what a number costs that is added to a group of 10, and to one of 10 000."""
    holdings = [
        Holding(ADDER, SMALL_GROUPS, 10),
        Holding(LARGE_OWNER, LARGE_GROUPS, LARGE_NUMBERS),
    ]
    with ExitStack() as stack:
        # The groups grow by some numbers in each round.
        bound = ("--phones-in-group-max", "1000000")
        for engine, server in openpns_cells(bench, stack, "adding", holdings, *bound).items():
            cells = [
                Cell(
                    server, added_numbers(owner, groups), never_repeats=True,
                    on_postgres=engine == "PostgreSQL", note=f"groups of {numbers}",
                )
                for owner, groups, numbers in (
                    (ADDER, SMALL_GROUPS, 10), (LARGE_OWNER, LARGE_GROUPS, LARGE_NUMBERS),
                )
            ]  # fmt: skip
            bench.measure(ADD, cells)
            target = Target(ADD, engine, "to a group of 10", 3, at_least=False, with_database=True)
            bench.judge(target, cells[1], cells[0])


def _creating(server: servers.Server, *, on_postgres: bool = False) -> Cell:
    return Cell(
        server, _new_groups, never_repeats=True, on_postgres=on_postgres,
        count=_counter(server.port),
    )  # fmt: skip


def creating(customer: str) -> MakeRequests:
    """Return a maker of requests that create a group."""
    return lambda count: requests.signed_now(
        (customer, "createGroup", _new_group()) for _ in range(count)
    )


def _new_groups(count: int) -> list[bytes]:
    return creating(WRITER)(count)


def _new_group() -> dict[str, object]:
    first = next(_numbers)
    return {
        "phones": ",".join(f"861{place}{first:09}" for place in (3, 4, 5)),
        "groupName": f"Group {first}",
        "remark": "Number Group",
    }


def _counter(port: int) -> Callable[[], int]:
    """Return a function that asks how many groups the writing customer has."""

    def count() -> int:
        found: list[bytes] = []
        request = requests.signed_now([(WRITER, "listGroup", {"limit": 1, "offset": 0})])[0]
        requests.ask(port, request, found.append)
        return int(json.loads(found[0])["data"]["total"])

    return count


def added_numbers(owner: str, groups: int, first: int = 0) -> MakeRequests:
    """Return a maker of requests that add a number to a group, another group each time."""
    ids: Sequence[str] = [group_id(owner, place) for place in range(first, first + groups)]
    turn = itertools.cycle(ids)

    def make(count: int) -> list[bytes]:
        return requests.signed_now((owner, "updateGroup", _added(next(turn))) for _ in range(count))

    return make


def _added(group: str) -> dict[str, object]:
    return {"groupId": group, "operateType": 0, "phones": f"8615{next(_numbers):09}"}
