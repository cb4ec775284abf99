"""The works that write; a write is on disk before it is answered."""

import itertools
import shutil

from bench import load, requests, servers
from bench.figures import Row
from bench.fill import Contents, Holding, group_id
from bench.postgres_trips import counted_trips
from bench.requests import MakeRequests, asking
from bench.rounds import Bench, Cell
from bench.targets import ADD, ADD_LARGE, CREATE, POSTGRES, SIDES, SQLITE

WRITTEN = Contents(
    "written",
    (
        Holding("writer", 1000),
        Holding("adder", 10_000, 10),
        Holding("adder-large", 32, 10_000),
    ),
)
_BOUND = ("--phones-in-group-max", "1000000")  # the groups grow in each round
_TRIPS = 50

_phones = itertools.count(100_000_000)


def writes(bench: Bench) -> None:
    """Measure createGroup and updateGroup of one customer each, beside the framework peer."""
    running = [bench.openpns(engine, WRITTEN, *_BOUND) for engine in SIDES]
    peer = bench.framework(WRITTEN)
    created = [
        Cell(CREATE, server, creating("writer"), never_repeats=True) for server in (*running, peer)
    ]
    added = [
        Cell(work, server, adding(customer, groups), never_repeats=True)
        for work, customer, groups in ((ADD, "adder", 10_000), (ADD_LARGE, "adder-large", 32))
        for server in running
    ]
    bench.measure("writes", [bench.limit(created[0]), *created, *added])


def flushes(bench: Bench) -> None:
    """Count the calls of fsync on SQLite for each answer, at 32 connections."""
    if shutil.which("strace") is None:
        print("  not measured: strace is not installed")
        return
    calls, file = bench.folder / "fsyncs", bench.folder / "requests"
    trace = ("strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=fsync,fdatasync", "-o")
    url = bench.databases.get("SQLite", WRITTEN)
    with servers.openpns(SQLITE, url, bench.folder, *_BOUND, prefix=(*trace, str(calls))) as server:
        for work, make in ((CREATE, creating("writer")), (ADD, adding("adder", 10_000))):
            counts = []
            for _ in range(bench.plan.rounds):
                requests.write_requests(file, make(20_000))
                before = calls.read_bytes().count(b"sync(")
                found = load.run_wrk(server.port, file, bench.plan.seconds)
                found.check(load.CONNECTIONS, None)
                counts.append((calls.read_bytes().count(b"sync(") - before) / found.answers)
            bench.add(Row("fsyncs", work, SQLITE, figures={"fsyncs": counts}))


def trips(bench: Bench) -> None:
    """Count the round trips to PostgreSQL of single writes, without those that find the key."""
    url = bench.databases.get("PostgreSQL", WRITTEN)
    with (
        counted_trips(url) as (proxied_url, count),
        servers.openpns(POSTGRES, proxied_url, bench.folder, *_BOUND) as server,
    ):
        connection = requests.Connection(server.port)

        def trips_of(make: MakeRequests) -> float:
            connection.send(make(1)[0])  # it prepares the statements
            before = count()
            for request in make(_TRIPS):
                requests.succeeded(connection.send(request)[1])
            return (count() - before) / _TRIPS

        of_key = trips_of(requests.listing("writer", 10))
        for work, make in ((CREATE, creating("writer")), (ADD, adding("adder", 10_000))):
            bench.add(Row("trips", work, POSTGRES, figures={"trips": [trips_of(make) - of_key]}))
        connection.close()


def creating(customer: str) -> MakeRequests:
    """Return a maker of requests that create a group of 3 phones."""
    return asking(customer, "createGroup", lambda _: _new_group(next(_phones)))


def adding(customer: str, groups: int, first: int = 0) -> MakeRequests:
    """Return a maker of requests that add a phone to one of some groups in turn."""
    return asking(
        customer,
        "updateGroup",
        lambda turn: {
            "groupId": group_id(customer, first + turn % groups),
            "operateType": 0,
            "phones": f"8615{next(_phones):09}",
        },
    )


def _new_group(number: int) -> requests.Body:
    return {
        "phones": ",".join(f"861{place}{number:09}" for place in (3, 4, 5)),
        "groupName": f"Group {number}",
        "remark": "Number Group",
    }


WORKS = (writes, flushes, trips)
