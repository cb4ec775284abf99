"""Whether the time of a refusal reveals which access keys exist.

One connection sends requests with a wrong signature, one at a time: each round sends every kind of
key once, in a random order, so that other load of the machine affects all kinds alike. Keys are
drawn at random from many of each kind. Each kind is compared with unknown keys; "unknown again" is
unknown keys once more: what it shows is noise.
"""

import asyncio
import random
import socket
import time
from statistics import median

from bench.figures import BenchError, Row, mann_whitney
from bench.fill import Contents
from bench.requests import MASTER_KEY, signed_now
from bench.rounds import Bench
from bench.targets import SIDES
from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.clock import now_ms
from openpns.ids import new_access_key
from openpns.storage import connect

KINDS = ("unknown", "unknown again", "active", "sha256 only", "rotated", "disabled", "expired")
_WARM_UP = 100
_KEYS = 50
_EXPIRES_MS = 1000
_BODY = {"limit": 1, "offset": 0}


def refusals(bench: Bench) -> None:
    """Measure the time of refusals for every kind of key."""
    for engine, side in SIDES.items():
        url = bench.databases.get(engine, Contents("keys", ()))
        named = asyncio.run(_fill(url))
        time.sleep(_EXPIRES_MS / 1000)
        server = bench.openpns(engine, Contents("keys", ()))
        times = _measure(server.port, named, bench.plan.refusals)
        unknown = times["unknown"]
        for kind, taken in times.items():
            figures = {"median_us": [median(taken)]}
            if taken is not unknown:
                slower, p = mann_whitney(taken, unknown)
                difference = median(taken) - median(unknown)
                figures |= {"difference_us": [difference], "slower": [slower], "p": [p]}
            bench.add(Row("refusals", kind, side, figures=figures))


async def _fill(url: str) -> dict[str, list[str]]:
    """Create keys of every kind; return their names."""
    store = await connect.open_store(url)
    secret_box = await open_secret_box(store, url, MASTER_KEY)
    await customers.create(store, now_ms, "cus_1", "")
    named = {kind: [new_access_key() for _ in range(_KEYS)] for kind in KINDS}
    for kind in KINDS:
        for access_key in () if kind.startswith("unknown") else named[kind]:
            await access_keys.create(
                store,
                secret_box,
                now_ms,
                "cus_1",
                access_key=access_key,
                expires_ms=now_ms() + _EXPIRES_MS if kind == "expired" else None,
                sha256_only=kind == "sha256 only",
            )
            if kind == "rotated":
                await access_keys.rotate(store, secret_box, now_ms, access_key, 86_400_000)
            if kind == "disabled":
                await access_keys.disable(store, access_key, now_ms())
    await store.close()
    return named


def _measure(port: int, named: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Send requests of every kind once a round; return how long each took, in µs."""
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(_WARM_UP + rounds):
            for kind in random.sample(KINDS, len(KINDS)):
                access_key = random.choice(named[kind])  # noqa: S311
                # Signed with the secret of the benchmark's other keys, so refused.
                (request,) = signed_now([(access_key, "listGroup", _BODY)])
                begun = time.perf_counter_ns()
                connection.sendall(request)
                answer = connection.recv(4096)
                took = time.perf_counter_ns() - begun
                if not answer.endswith(b"}"):
                    raise BenchError(f"a refusal is no whole answer: {answer!r}")
                if number >= _WARM_UP:
                    times[kind].append(took / 1000)
    return times


WORKS = (refusals,)
