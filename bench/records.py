"""What call records cost: reports and reads of customers with many, deleting old ones, bytes."""

import asyncio
import itertools
import time
from statistics import median

from bench.figures import Row, ratios
from bench.fill import Contents, Holding
from bench.fill_records import FIRST_S, Sizes, call_id, did, fill_records, phone
from bench.requests import Body, asking
from bench.rounds import QUICK, Bench, Cell
from bench.servers import Server
from bench.targets import SIDES
from openpns.bindings import service as bindings
from openpns.call_records import retention
from openpns.clock import now_ms
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.ids import Snowflake
from openpns.numbers import service as numbers
from openpns.storage import connect

RECORDS = (1_000_000, 3_000_000, 10_000_000)
RECORDS_QUICK = (100_000, 300_000)
COMPUTED = 100_000_000
"""So many records are not measured: their bytes follow from the slope."""

_DID, _A, _B = "8614999999999", "8613999999998", "8613999999999"
_STEP = 7919
"""A prime: the calls that are asked for, one after the other, jump about."""

_PRUNED_S = 8640
_calls = itertools.count(1)


def records(bench: Bench) -> None:
    """Measure reports and reads of customers of several sizes, then deleting, then bytes."""
    counts = RECORDS_QUICK if bench.plan == QUICK else RECORDS
    for engine, side in SIDES.items():
        contents = Contents("records", tuple(Holding(_name(count), 0) for count in counts))
        url = bench.databases.get(engine, contents)
        sizes = [asyncio.run(fill_records(url, _name(count), count)) for count in counts]
        bound = [asyncio.run(_bind(url, _name(count), place)) for place, count in enumerate(counts)]
        server = bench.openpns(engine, contents)
        measured = []
        for count, report in zip(counts, bound, strict=True):
            begun = len(bench.rows)
            bench.measure(f"{engine}, {count} records", _cells(server, count, report), rounds=5)
            measured.append(bench.rows[begun:])
        _add_ratios(bench, engine, measured)
        for count in counts:
            taken = [asyncio.run(_prune(url, _name(count), part)) for part in range(3)]
            figures = {"prune_us": taken}
            bench.add(Row("records", f"delete old ones of {count:,}", side, figures=figures))
        _add_bytes(bench, side, counts, sizes)


def _cells(server: Server, count: int, report: Body) -> list[Cell]:
    name = _name(count)

    def some(turn: int) -> int:
        return turn * _STEP % count

    def reported(_: int) -> Body:
        return report | {"callId": f"{next(_calls)}"}

    works = (
        ("first page of records", "listCallRecords", lambda _: {"limit": 10}),
        (
            "records by phone",
            "listCallRecords",
            lambda turn: {"limit": 10, "phone": phone(some(turn), count)},
        ),
        (
            "records by phone and number",
            "listCallRecords",
            lambda turn: {"limit": 10, "phone": phone(some(turn), count), "did": did(some(turn))},
        ),
        ("getCallRecord", "getCallRecord", lambda turn: {"callId": call_id(count, some(turn))}),
    )
    cells = [
        Cell(f"{work}, {count:,}", server, asking(name, action, body_of), same_bytes=False)
        for work, action, body_of in works
    ]
    reports = asking(name, "reportCall", reported)
    cells.append(
        Cell(f"reportCall, {count:,}", server, reports, never_repeats=True, same_bytes=False)
    )
    return cells


def _add_ratios(bench: Bench, engine: str, measured: list[list[Row]]) -> None:
    """Add how many times as much the CPU of each work is as with the fewest records."""
    for rows in measured[1:]:
        for fewest, row in zip(measured[0], rows, strict=True):
            figures = {"of_fewest": ratios(row, fewest, "total_us")}
            bench.add(Row(f"{engine}, ratios", row.work, row.side, figures=figures))


def _add_bytes(bench: Bench, side: str, counts: tuple[int, ...], sizes: list[Sizes]) -> None:
    """Add the bytes of a record, and those of many by the slope of the fills."""
    each = [(size.after - size.before) / count for count, size in zip(counts, sizes, strict=True)]
    gib = [COMPUTED * slope / 2**30 for slope in each]
    figures = {"record_bytes": each, "computed_gib": [median(gib)]}
    bench.add(Row("records", "bytes of a record with its indexes", side, figures=figures))


async def _bind(url: str, customer: str, place: int) -> Body:
    """Bind two phones; return what a report whose question is lost names."""
    store = await connect.open_store(url)
    try:
        services = Services(store, Snowflake(now_ms, worker_id=1000), now_ms)
        number = str(int(_DID) - place)
        await numbers.add(store, now_ms, customer, [number])
        context = Context(services, Principal("", customer))
        bound = await bindings.bind_axb(context, phone_a=_A, phone_b=_B, expire_second=0)
        start = now_ms() // 1000
        times = {"startAt": start, "answerAt": start + 4, "hangupAt": start + 64}
        cause = {"hangupCause": "NORMAL_CLEARING", "hangupCode": 16, "hangup": 1}
        return times | cause | {"caller": _A, "did": bound.did, "bindId": bound.bind_id}
    finally:
        await store.close()


async def _prune(url: str, customer: str, part: int) -> float:
    """Delete the oldest records, of a tenth of a day; return the µs that each took."""
    store = await connect.open_store(url, timeout_ms=600_000)
    try:
        begun = time.perf_counter()
        deleted = await retention.prune(store, FIRST_S + (part + 1) * _PRUNED_S, customer)
        return (time.perf_counter() - begun) * 1e6 / max(deleted, 1)
    finally:
        await store.close()


def _name(count: int) -> str:
    return f"records-{count}"


WORKS = (records,)
