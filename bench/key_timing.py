"""Whether the response time reveals which access keys exist.

Method. A real server on a fresh SQLite file. One connection, over which requests with a wrong
signature are sent one at a time: each round sends every kind of key once, in a random order, so
that the other load of the machine affects all kinds alike. Keys are drawn at random from many of
each kind. The time is taken from before the request is written until its last byte is read.

Each kind is compared with unknown keys in two ways: the difference of the medians with a
permutation test of it (kinds swapped within rounds), and Mann-Whitney: how often a request of the
kind takes longer than one of an unknown key (0.500 is a coin), with its two-sided p. "unknown
again" is unknown keys once more: what it shows is noise.

    python bench/key_timing.py [ROUNDS [DATABASE_URL]]

The database must be empty or not yet there.
"""

import asyncio
import math
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.clock import now_ms
from openpns.ids import new_access_key
from openpns.storage import connect

ROUNDS = 5000
WARM_UP = 200
KEYS = 50
SHUFFLES = 500
EXPIRES_MS = 3000
MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
BODY = b'{"limit":1,"offset":0}'
OPENPNS = [sys.executable, "-c", "from openpns.cli.main import main; main()"]
KINDS = ("unknown", "unknown again", "active", "sha256 only", "rotated", "disabled", "expired")

Times = dict[str, list[int]]


def main() -> None:
    """Measure, and print a line for each kind of key."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory(prefix="openpns-bench-") as folder:
        url = sys.argv[2] if len(sys.argv) > 2 else f"sqlite:///{folder}/bench.db"  # noqa: PLR2004
        named = asyncio.run(fill(url))
        time.sleep(EXPIRES_MS / 1000)
        log = Path(folder) / "log"
        with (
            log.open("wb") as out,
            subprocess.Popen(
                [*OPENPNS, "serve", "--database", url, "--port", "0"],
                stdout=out,
                stderr=out,
                env=os.environ | {"OPENPNS_MASTER_KEY": MASTER_KEY},
            ) as server,
        ):
            try:
                times = measure(port_in(log), named, rounds)
            finally:
                server.terminate()
    report(times)


async def fill(url: str) -> dict[str, list[str]]:
    """Make keys of every kind; return their names."""
    store = await connect.open_store(url, create=True)
    await connect.migrate(store, url)
    secret_box = await open_secret_box(store, url, MASTER_KEY)
    await customers.create(store, now_ms, "cus_1", "")
    named: dict[str, list[str]] = {}
    for kind in KINDS:
        named[kind] = [new_access_key() for _ in range(KEYS)]
        for access_key in named[kind]:
            if kind.startswith("unknown"):
                continue
            await access_keys.create(
                store,
                secret_box,
                now_ms,
                "cus_1",
                access_key=access_key,
                expires_ms=now_ms() + EXPIRES_MS if kind == "expired" else None,
                sha256_only=kind == "sha256 only",
            )
            if kind == "rotated":
                await access_keys.rotate(store, secret_box, now_ms, access_key, 86_400_000)
            if kind == "disabled":
                await access_keys.disable(store, access_key, now_ms())
    await store.close()
    return named


def port_in(log: Path) -> int:
    """Wait until a worker answers; return the port."""
    while "worker ready" not in log.read_text():
        time.sleep(0.05)
    found = re.search(r":([0-9]+)/api/pns/", log.read_text())
    assert found is not None
    return int(found[1])


def measure(port: int, named: dict[str, list[str]], rounds: int) -> Times:
    """Send requests, every kind once a round; return how long each took, in ns."""
    times: Times = {kind: [] for kind in KINDS}
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(WARM_UP + rounds):
            for kind in random.sample(KINDS, len(KINDS)):
                request = request_of(random.choice(named[kind]))  # noqa: S311
                begun = time.perf_counter_ns()
                connection.sendall(request)
                answer = connection.recv(4096)
                took = time.perf_counter_ns() - begun
                assert answer.endswith(b"}"), answer
                if number >= WARM_UP:
                    times[kind].append(took)
    return times


def request_of(access_key: str) -> bytes:
    """Return a request whose signature is wrong."""
    head = (
        f"POST /api/pns/ HTTP/1.1\r\nHost: x\r\naccessKey: {access_key}\r\naction: listGroup\r\n"
        f"bizType: 5\r\nts: {now_ms()}\r\nsign: {'0' * 32}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    return head.encode() + BODY


def report(times: Times) -> None:
    """Print how each kind differs from unknown keys."""
    base = times["unknown"]
    print(f"{len(base)} requests of each kind; us")
    print(f"{'key':<14} {'median':>8} {'- unknown':>9} {'p':>6} {'slower':>7} {'p':>8}")
    for kind, taken in times.items():
        difference = statistics.median(taken) - statistics.median(base)
        line = f"{kind:<14} {statistics.median(taken) / 1000:8.1f}"
        if kind != "unknown":
            slower, p = mann_whitney(taken, base)
            shuffled = permuted(taken, base, abs(difference))
            line += f" {difference / 1000:+9.1f} {shuffled:6.3f} {slower:7.3f} {p:8.2g}"
        print(line)


def permuted(one: list[int], other: list[int], difference: float) -> float:
    """Return how often medians lie as far apart where kinds are swapped within rounds at random."""
    as_far = 1
    for _ in range(SHUFFLES):
        pairs = [
            (a, b) if random.getrandbits(1) else (b, a) for a, b in zip(one, other, strict=True)
        ]
        left, right = zip(*pairs, strict=True)
        as_far += abs(statistics.median(left) - statistics.median(right)) >= difference
    return as_far / (SHUFFLES + 1)


def mann_whitney(one: list[int], other: list[int]) -> tuple[float, float]:
    """Return how often the one is the larger, and the two-sided p (normal; ties are few)."""
    ranked = sorted([(value, 1) for value in one] + [(value, 0) for value in other])
    rank_sum = sum(rank for rank, (_, is_one) in enumerate(ranked, 1) if is_one)
    n, m = len(one), len(other)
    larger = rank_sum - n * (n + 1) / 2
    z = (larger - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return larger / (n * m), math.erfc(abs(z) / math.sqrt(2))


if __name__ == "__main__":
    main()
