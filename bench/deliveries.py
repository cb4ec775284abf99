"""Deliveries to webhooks: how many a second, and what a backlog costs the API."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import asyncpg

from bench import proc, servers
from bench.figures import BenchError, Row
from bench.fill import Contents, Holding
from bench.requests import MASTER_KEY, asking
from bench.rounds import Bench, Cell
from bench.targets import BACKLOG_DEAD, BACKLOG_SENT, DELIVER, NO_BACKLOG, SIDES
from openpns.accounts.master_key import open_secret_box
from openpns.clock import now_ms
from openpns.deliveries.signature import new_secret, secret_owner
from openpns.storage import connect
from openpns.storage.store import database_path

_CUSTOMER = "reader"
_ROUNDS_MAX = 3
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_ALLOWED = (
    *("--webhook-http-allowed", "on", "--webhook-networks-allowed", "127.0.0.0/8"),
    *("--webhook-timeout-ms", "5000"),
)
_LATE_S = 600
_BODY = '{"id":1,"x":"' + "y" * 500 + '"}'
_PAUSE_MS = 10
_CONNECTIONS = 8


def rate(bench: Bench) -> None:
    """Measure how many events one worker delivers to one fast receiver, and its CPU for each."""
    for engine, side in SIDES.items():
        url = bench.databases.get(engine, _contents("deliver"))
        with _receiver(bench) as port:
            asyncio.run(_add_webhook(url, port))
            with _worker(bench, side, url) as (pid, admin_port):
                figures: dict[str, list[float]] = {"per_s": [], "delivery_us": []}
                for turn in range(min(bench.plan.rounds, _ROUNDS_MAX)):
                    took_s, cpu_us = _deliver(bench, url, turn, pid, admin_port)
                    figures["per_s"].append(bench.plan.deliveries / took_s)
                    figures["delivery_us"].append(cpu_us / bench.plan.deliveries)
                figures["worker_mib"] = [proc.memory_mib(pid, "VmHWM")]
        bench.add(Row("deliveries", DELIVER, side, figures=figures))


def backlog(bench: Bench) -> None:
    """Measure writes of the API beside a backlog: of a dead receiver, and while it is sent."""
    for engine, side in SIDES.items():
        cells, pids = [], {}
        for work in (NO_BACKLOG, BACKLOG_DEAD, BACKLOG_SENT):
            url = bench.databases.get(engine, _contents(f"backlog_{work.split()[-1]}"))
            port = servers.free_port()  # nobody listens there
            if work == BACKLOG_SENT:
                port = bench.stack.enter_context(_receiver(bench))
            asyncio.run(_add_webhook(url, port))
            if work != NO_BACKLOG:
                asyncio.run(_add_events(url, 0, bench.plan.backlog))
            server = servers.openpns(f"{side}, {work}", url, bench.folder, *_ALLOWED)
            running = bench.stack.enter_context(server)
            running.side = side
            pids[work] = running.pid
            body = {"phones": "85211111111,85222222222,85233333333"}
            make = asking(_CUSTOMER, "createGroup", lambda _, body=body: body)  # type: ignore[misc]
            cells.append(Cell(work, running, make, connections=_CONNECTIONS, pause_ms=_PAUSE_MS))
        bench.measure(f"backlog {engine}", cells)
        for work, pid in pids.items():
            mib = max(proc.memory_mib(each, "VmHWM") for each in _delivering(pid))
            row = Row("deliveries", f"delivery worker, {work}", side)
            row.figures["worker_mib"] = [mib]
            bench.add(row)


def _contents(name: str) -> Contents:
    return Contents(name, (Holding(_CUSTOMER, 1),))


def _deliver(bench: Bench, url: str, turn: int, pid: int, admin_port: int) -> tuple[float, float]:
    """Add events and wait until they are delivered; return the time in s and the CPU in µs."""
    count = bench.plan.deliveries
    before, cpu_us = _delivered(admin_port), proc.cpu_us(pid)
    asyncio.run(_add_events(url, turn * count, count))
    begun_s = time.perf_counter()
    while _delivered(admin_port) < before + count:
        if time.perf_counter() - begun_s > _LATE_S:
            raise BenchError(f"{_delivered(admin_port) - before} of {count} events are delivered")
        time.sleep(0.05)
    return time.perf_counter() - begun_s, proc.cpu_us(pid) - cpu_us


def _delivered(admin_port: int) -> int:
    text = servers.metrics(admin_port)
    found = re.search(r'delivery_attempts_total\{result="delivered"\} (\S+)', text)
    return int(float(found[1])) if found else 0


def _delivering(pid: int) -> list[int]:
    """Return the processes below a server that deliver."""
    return [
        each
        for each in proc.tree(pid)
        if b"openpns.worker.child" in Path(f"/proc/{each}/cmdline").read_bytes()
    ]


@contextmanager
def _receiver(bench: Bench) -> Iterator[int]:
    """Run a receiver that takes everything; return its port."""
    file = bench.folder / "taken"
    file.write_bytes(_ANSWER)
    with servers.peer("receiver", "limit.py", bench.python, bench.folder, str(file)) as peer:
        yield peer.port


@contextmanager
def _worker(bench: Bench, side: str, url: str) -> Iterator[tuple[int, int]]:
    """Run `openpns worker`; return its pid and its admin port."""
    admin_port = servers.free_port()
    arguments = ("--database", url, "--admin-port", str(admin_port), *_ALLOWED)
    with servers.command(f"worker {side}", bench.folder, "worker", *arguments) as process:
        servers.wait_until_ready(process, admin_port)
        yield process.pid, admin_port


async def _add_webhook(url: str, port: int) -> None:
    store = await connect.open_store(url)
    box = await open_secret_box(store, url, MASTER_KEY)
    await store.close()
    secret = box.encrypt(new_secret().encode(), secret_owner(_CUSTOMER))
    row = (_CUSTOMER, f"http://127.0.0.1:{port}/", secret, now_ms())
    await _execute(url, _WEBHOOK, _WEBHOOK_SQLITE, row)


async def _add_events(url: str, first: int, count: int) -> None:
    """Add events by SQL, in one transaction."""
    row = (first, count, _CUSTOMER, _BODY, now_ms())
    await _execute(url, _EVENTS, _EVENTS_SQLITE, row)


async def _execute(url: str, postgres: str, sqlite: str, row: tuple[Any, ...]) -> None:
    path = database_path(url)
    if path is not None:
        connection = apsw.Connection(path)
        connection.set_busy_timeout(60_000)
        with connection:
            connection.execute(sqlite, row)
        connection.close()
        return
    server = await asyncpg.connect(url)
    await server.execute(postgres, *row)
    await server.close()


_COLUMNS = "customer_id, url, kinds, state, secret_ciphertext, created_ms, changed_ms"
_INTO = f"INSERT INTO webhook ({_COLUMNS})"
_WEBHOOK_SQLITE = f"{_INTO} VALUES (?1, ?2, 'x', 'active', ?3, ?4, ?4)"
_WEBHOOK = f"{_INTO} VALUES ($1, $2, 'x', 'active', $3, $4, $4)"
_DELIVERY = """INSERT INTO delivery (
    customer_id, delivery_id, kind, body, created_ms, state, tries, round_tries, next_ms,
    lease_owner, last_ms, last_status, last_error
)"""
_EVENTS_SQLITE = f"""
WITH RECURSIVE place (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM place WHERE i + 1 < ?2)
{_DELIVERY}
SELECT ?3, 1000000000000000000 + ?1 + i, 'x', ?4, ?5, 'pending', 0, 0, ?5, '', 0, 0, '' FROM place
"""  # noqa: S608 - ours
_EVENTS = f"""
{_DELIVERY}
SELECT
    $3, CAST(1000000000000000000 + $1::bigint + i AS text), 'x', $4, $5::bigint, 'pending', 0, 0,
    $5::bigint, '', 0, 0, ''
FROM generate_series(0, $2::bigint - 1) AS i
"""  # noqa: S608 - ours

WORKS = (rate, backlog)
