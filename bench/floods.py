"""How much longer others wait during a flood, for every kind of attack that `attacks` knows.

Another customer lists groups, creates one and asks who is called, at a low rate. Each round during
a flood follows a round without one, so that other load of the machine affects both alike.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from bench import load, proc, requests
from bench.attacker import Orders, attacking
from bench.attacks import HELD, PHONES, REQUESTS
from bench.bindings import asking_calls
from bench.figures import BenchError, Row
from bench.fill import Contents, Holding
from bench.fill_bindings import did_of
from bench.load import Load
from bench.requests import MakeRequests, listing, secret_of
from bench.rounds import Bench
from bench.servers import Server
from bench.targets import ALONE, ANY_FLOOD, FLOOD_BOUNDS, FLOODS, OVER_RATE, SIDES
from bench.writes import creating
from openpns.accounts import access_keys
from openpns.storage import connect

_FLOODER, _LIMITED = "flooder", "limited"
_VICTIM = Holding("victim", 1000, dids=10, first_did=100, bindings=1000)
FLOODED = Contents(
    "flooded",
    (Holding(_FLOODER, 20_000, dids=100, bindings=1000), _VICTIM, Holding(_LIMITED, 1000)),
)
_RATE = 100
_PAUSE_MS = 5.0
_REQUESTS = 1000
_SOURCES = tuple(f"127.0.1.{number}" for number in range(1, 9))
"""Not the address of the others: a server bounds the connections of one address."""

_NUMBERS_EACH = 20_000
_BEGIN_S = 5.0
_SETTLE_S = 300
"""32 large writes may be in flight when a flood ends, and are carried out."""

_IDLE_S, _IDLE_PART = 0.1, 0.2
"""A server that used less than this part of a core for so long is idle."""

_MADE: dict[str, MakeRequests] = {
    "listGroup": listing(_VICTIM.customer, 10),
    "createGroup": creating(_VICTIM.customer),
    "queryAXB": asking_calls(_VICTIM),
}


def floods(bench: Bench) -> None:
    """Measure others' p99 during floods of every kind; a failure of a request of theirs raises."""
    kinds = [*REQUESTS, *HELD, OVER_RATE][:: bench.plan.floods_every]
    for engine, side in SIDES.items():
        asyncio.run(_limit_rate(bench.databases.get(engine, FLOODED)))
        server = bench.openpns(engine, FLOODED)
        group = requests.create_group(server.port, _FLOODER, PHONES)
        rows = {kind: Row(FLOODS, kind, side) for kind in kinds}
        alone = Row(FLOODS, ALONE, side)
        _measure(server, 0.3)  # does not count
        for place in range(bench.plan.flood_rounds):
            for kind, row in rows.items():
                orders = _orders(server, kind, group, place * _NUMBERS_EACH)
                _measure_kind(bench, server, orders, row, alone)
        for row in (alone, *rows.values(), *worst_of(list(rows.values()), side)):
            bench.add(row)


def _measure_kind(bench: Bench, server: Server, orders: Orders, row: Row, alone: Row) -> None:
    """Measure a round without and one during a flood, and add the figures to both rows."""
    seconds = bench.plan.flood_seconds
    before = _measure(server, seconds)
    started = time.monotonic()
    with attacking(orders) as attacked:
        during = _measure(server, seconds)
    took_s = time.monotonic() - started
    _settle(server)
    figures = {"flood_rate": (sum(attacked.codes.values()) + attacked.opened) / took_s}
    for action, found in during.items():
        figures[action] = found.p99_us / before[action].p99_us
        figures[f"{action}_ms"] = found.p99_us / 1000
        alone.figures.setdefault(f"{action}_ms", []).append(before[action].p99_us / 1000)
    for name, value in figures.items():
        row.figures.setdefault(name, []).append(value)


def _measure(server: Server, seconds: float) -> dict[str, Load]:
    """Let the victim send requests of all kinds for a while; return what was counted of each."""
    with ThreadPoolExecutor(len(_MADE)) as pool:
        running = {
            action: pool.submit(
                load.run_one_by_one,
                server.port,
                make(_REQUESTS),
                seconds,
                _PAUSE_MS,
                requests.succeeded,
            )
            for action, make in _MADE.items()
        }
        return {action: future.result() for action, future in running.items()}


def worst_of(rows: list[Row], side: str) -> list[Row]:
    """Return for each action of the victim the row with the figures of its worst flood."""
    worst = {action: max(rows, key=lambda row: median(row.values(action))) for action in _MADE}
    return [
        Row(FLOODS, ANY_FLOOD[action], side, figures={"factor": row.values(action)})
        for action, row in worst.items()
        if action in FLOOD_BOUNDS
    ]


def _orders(server: Server, kind: str, group: str, first: int) -> Orders:
    customer, sent = (_LIMITED, "small page") if kind == OVER_RATE else (_FLOODER, kind)
    return Orders(
        server.port,
        (sent,),
        customer,
        secret_of(customer),
        group,
        did_of(0),
        first,
        _SOURCES,
        admin_port=server.admin_port or 0,
        begin_s=_BEGIN_S,
    )


def _settle(server: Server) -> None:
    """Wait until the server has done what a flood has left: no request, and hardly any CPU."""
    end = time.monotonic() + _SETTLE_S
    while time.monotonic() < end:
        before_us = proc.cpu_us(server.pid)
        time.sleep(_IDLE_S)
        is_idle = proc.cpu_us(server.pid) - before_us < _IDLE_PART * _IDLE_S * 1e6
        if is_idle and not server.gauge("openpns_requests_in_flight"):
            return
    raise BenchError(f"{server.side} still works on a flood after {_SETTLE_S} s")


async def _limit_rate(url: str) -> None:
    store = await connect.open_store(url)
    try:
        await access_keys.set_rate(store, _LIMITED, _RATE, None)
    finally:
        await store.close()


WORKS = (floods,)
