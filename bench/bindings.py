"""The works on bindings: questions of a switch and binds, among up to a million bindings."""

import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench import load, requests
from bench.figures import BenchError, Row
from bench.fill import Contents, Holding
from bench.fill_bindings import did_of, phones_of
from bench.requests import Body, Connection, MakeRequests, asking
from bench.rounds import Bench, Cell
from bench.servers import Server
from bench.targets import BIND, BIND_CREATE, FRESH, QUERY, QUERY_MIXED, SIDES, TWO_WORKERS
from bench.writes import creating
from openpns.routing.traces import STORE_S

_ON_NUMBER = 100
"""Bindings on each virtual number."""

_TRACED_S = STORE_S + 0.2
"""After so long the traces of all calls that were answered are stored."""

_STEP = 7919
"""A prime: the bindings that are asked for, one after the other, jump about in the order."""

_BIND_EVERY = 20
_LIVE_S = 86_400
_NOT_BOUND = 10013
_PROBERS = 4

_numbers = itertools.count()


def bound(sizes: Sequence[int]) -> Contents:
    """Return a database with a customer for each number of bindings."""
    holdings: list[Holding] = []
    for bindings in sizes:
        dids, first = bindings // _ON_NUMBER, sum(each.dids for each in holdings)
        holdings.append(
            Holding(_name(bindings), 1000, dids=dids, first_did=first, bindings=bindings)
        )
    return Contents("bound", tuple(holdings))


def bindings(bench: Bench) -> None:
    """Measure questions and binds at several sizes, beside createGroup and the framework peer."""
    contents = bound(bench.plan.bindings)
    running = [bench.openpns(engine, contents) for engine in SIDES]
    peer = bench.framework(contents)
    most = contents.holdings[-1]
    asked = [_questions(server, each) for server in running for each in contents.holdings]
    made = [_binds(server, each) for server in running for each in contents.holdings]
    created = [
        Cell(
            BIND_CREATE, server, creating(most.customer), never_repeats=True, bindings=most.bindings
        )
        for server in running
    ]
    cells = [*asked, _questions(peer, most), *made, _binds(peer, most), *created]
    bench.measure("bindings", [bench.limit(asked[0]), *cells], bench.plan.bindings_rounds)


def mixed(bench: Bench) -> None:
    """Measure questions of which every 20th request is a bind of the same customer."""
    contents = bound(bench.plan.bindings)
    most = contents.holdings[-1]
    cells = [
        Cell(
            QUERY_MIXED, bench.openpns(engine, contents), mixed_requests(most), same_bytes=False,
            never_repeats=True, bindings=most.bindings, settle_s=_TRACED_S,
        )
        for engine in SIDES
    ]  # fmt: skip
    like = Cell(QUERY_MIXED, cells[0].server, asking_calls(most))
    bench.measure(QUERY_MIXED, [bench.limit(like), *cells], bench.plan.bindings_rounds)
    for engine in SIDES:
        _check_traces(bench, engine, bench.openpns(engine, contents))


def fresh(bench: Bench) -> None:
    """Count stale answers to questions that follow a bind or an unbind, under load.

    Two workers serve; questions and changes come on different connections.
    """
    contents = bound(bench.plan.bindings)
    most, file = contents.holdings[-1], bench.folder / "requests"
    for engine in SIDES:
        server = bench.openpns(engine, contents, "--workers", "2", note=TWO_WORKERS)
        row = Row("fresh", FRESH, server.side, bindings=most.bindings)
        for _ in range(bench.plan.bindings_rounds):
            requests.write_requests(file, mixed_requests(most)(20_000))
            with _probing(server, most.customer) as found:
                load.run_wrk(server.port, file, bench.plan.seconds).check(load.CONNECTIONS, None)
            row.figures.setdefault("asked", []).append(found.asked)
            row.figures.setdefault("stale", []).append(found.stale)
        bench.add(row)


# -- requests ---------------------------------------------------------------------------------


def _questions(server: Server, holding: Holding) -> Cell:
    return Cell(
        QUERY, server, asking_calls(holding), never_repeats=True, bindings=holding.bindings,
        settle_s=_TRACED_S,
    )  # fmt: skip


def _binds(server: Server, holding: Holding) -> Cell:
    make = asking(holding.customer, "bindAXB", lambda _: _new_binding())
    return Cell(BIND, server, make, never_repeats=True, bindings=holding.bindings)


def asking_calls(holding: Holding) -> MakeRequests:
    """Return a maker of questions about the bindings of a customer, one after the other."""
    return asking(holding.customer, "queryAXB", lambda turn: _question(holding, turn))


def _question(holding: Holding, turn: int) -> Body:
    """Return a question by one of both phones of a binding."""
    place, side = turn * _STEP % holding.bindings, turn % 2
    did = did_of(holding.first_did + place % holding.dids)
    return {"caller": phones_of(place)[side], "did": did}


def _new_binding() -> Body:
    number = next(_numbers)
    return {
        "phoneA": f"8619{2 * number:09}",
        "phoneB": f"8619{2 * number + 1:09}",
        "customerBindId": f"bench {number}",
        "expireSecond": _LIVE_S,
    }


def mixed_requests(holding: Holding) -> MakeRequests:
    """Return a maker of questions of which every 20th is a bind instead."""
    turn = itertools.count()

    def each(count: int) -> Iterator[tuple[str, str, Body]]:
        for place in range(count):
            if place % _BIND_EVERY:
                yield holding.customer, "queryAXB", _question(holding, next(turn))
            else:
                yield holding.customer, "bindAXB", _new_binding()

    return lambda count: requests.signed_now(each(count))


def _name(bindings: int) -> str:
    return f"bound-{bindings}"


# -- checks -----------------------------------------------------------------------------------


def _check_traces(bench: Bench, engine: str, server: Server) -> None:
    """Check that the trace of every question was written."""
    time.sleep(_TRACED_S)
    answered = server.codes("queryAXB").get("0", 0)
    url = bench.databases.get(engine, bound(bench.plan.bindings))
    stored = bench.databases.read(url, "SELECT count(*) FROM call_trace")
    if not 0 < answered <= stored:
        raise BenchError(f"{server.side}: {answered} questions, but {stored} traces are stored")


@dataclass
class _Found:
    """What was asked right after a change.

    Attributes:
        asked: Questions.
        stale: Answers that do not show the change.
        failure: What ended the probing too soon.
    """

    asked: int = 0
    stale: int = 0
    failure: Exception | None = field(default=None, repr=False)


@contextmanager
def _probing(server: Server, customer: str) -> Iterator[_Found]:
    """Bind, ask, unbind and ask during the block, in a thread."""
    is_over, found = threading.Event(), _Found()

    def probe() -> None:
        connections = [Connection(server.port) for _ in range(_PROBERS)]
        try:
            while not is_over.is_set():
                _probe_once(connections, customer, found)
                connections.append(connections.pop(0))
        except (BenchError, OSError) as error:
            found.failure = error
        finally:
            for connection in connections:
                connection.close()

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield found
    finally:
        is_over.set()
        thread.join()
    if found.failure is not None or not found.asked:
        raise BenchError(f"{FRESH}: {found.failure or 'no question was asked'}")


def _probe_once(connections: Sequence[Connection], customer: str, found: _Found) -> None:
    first, *others = connections
    binding = _new_binding()
    bound = _send(first, customer, "bindAXB", binding)["data"]
    a, b, did = binding["phoneA"], binding["phoneB"], bound["did"]

    def ask(callees: dict[str, str | None]) -> None:
        for connection, (caller, callee) in itertools.product(others, callees.items()):
            answer = _send(connection, customer, "queryAXB", {"caller": caller, "did": did})
            reached = answer.get("data", {}).get("callee")
            found.asked += 1
            found.stale += reached != callee

    ask({a: b, b: a})
    _send(first, customer, "unbindAXB", {"bindId": bound["bindId"]})
    ask({a: None, b: None})


def _send(connection: Connection, customer: str, action: str, body: Body) -> Body:
    """Send a request that must succeed, or be a question whom nobody is to be called for."""
    (request,) = requests.signed_now([(customer, action, body)])
    answer: Body = json.loads(connection.send(request)[1])
    if answer["code"] not in ((0, _NOT_BOUND) if action == "queryAXB" else (0,)):
        raise BenchError(f"{action} was answered {answer['code']} {answer['msg']}")
    return answer


WORKS = (bindings, mixed, fresh)
