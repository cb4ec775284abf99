"""Floods: one customer sends as much as it can of every kind; another one is still answered.

No quick form asserts a time. The long forms do: see "A flood" in bench/results/README.md.
"""

import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from bench.attacker import Orders, attacking
from bench.attacks import CONNECTIONS, PHONES, REQUESTS
from bench.targets import FLOOD_BOUNDS
from tests.processes import KEY_OF, Process, Start, add_numbers, run_openpns
from tests.promises.traffic import IS_SOAK, connect

from openpns.api.registry import ACTIONS

FLOOD_S = 5.0 if IS_SOAK else 1.0
RATE = 100

DID, OTHER_DID = "8613900000001", "8613900000002"
BODIES: dict[str, dict[str, Any]] = {
    "listGroup": {"limit": 1, "offset": 0},
    "createGroup": {"phones": "85211111114"},
    "queryAXB": {"caller": "8613700000001", "did": OTHER_DID},
}
"""What the other customer sends."""

CODES = {
    *(0, 1002, 1003, 1004, 1005, 10008, 10010, 10011, 10013),
    *(19001, 19004, 19007, 19008, 19009, 19011),
}
"""What the flood may get: its own requests may find no place; nothing else may fail."""


# -- a flood ----------------------------------------------------------------------------------


@contextmanager
def flood(server: Process, codes: Counter[int], *kinds: str, group: str = "") -> Iterator[None]:
    """Let cus_1 send requests as fast as it can during the block; then count the codes.

    Args:
        kinds: Of `REQUESTS`; each connection sends one of them.
        group: The group that it knows.
    """
    connections = max(CONNECTIONS, len(kinds))
    orders = Orders(server.port, kinds, *KEY_OF["cus_1"], group, DID, connections=connections)
    with attacking(orders) as attacked:
        yield
    assert attacked.ended_early == 0
    codes.update(attacked.codes)


def send_evenly(server: Process, times_s: list[float], action: str = "listGroup") -> None:
    """Let cus_2 send small requests for a while, not fast; every one must succeed."""
    connection = connect(server.port)
    end_s = time.perf_counter() + FLOOD_S
    while (begun_s := time.perf_counter()) < end_s:
        assert server.call(action, BODIES[action], "cus_2", connection)["code"] == 0
        times_s.append(time.perf_counter() - begun_s)
        time.sleep(0.005)
    connection.close()


def test_flood_of_one_key_leaves_another_key_its_responses(
    serve: Start, served_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve()
    times: dict[str, list[float]] = {"alone": [], "flood": [], "flood over its rate": []}
    free, limited = Counter[int](), Counter[int]()
    send_evenly(server, times["alone"])
    with flood(server, free, "small page"):
        send_evenly(server, times["flood"])
    assert set(free) == {0}
    set_rate = ["keys", "set-rate", KEY_OF["cus_1"][0], "--per-s", str(RATE)]
    assert run_openpns(*set_rate, OPENPNS_DATABASE=served_url).returncode == 0
    begun_s = time.perf_counter()
    with flood(server, limited, "small page"):
        send_evenly(server, times["flood over its rate"])
    took_s = time.perf_counter() - begun_s
    assert set(limited) == {0, 19003}
    assert RATE <= limited[0] <= RATE + RATE * took_s
    p99_ms = {kind: _p99(taken) * 1e3 for kind, taken in times.items()}
    if IS_SOAK:
        shown = {kind: f"p99 {value:.1f} ms" for kind, value in p99_ms.items()}
        flooded = f"{free.total() / FLOOD_S:.0f} and {limited.total() / took_s:.0f} requests/s"
        with capsys.disabled():
            sys.stdout.write(f"\n{served_url.partition(':')[0]}: {shown}, flood {flooded}\n")
        bound_ms = FLOOD_BOUNDS["listGroup"] * p99_ms["alone"]
        assert p99_ms["flood"] <= bound_ms
        assert p99_ms["flood over its rate"] <= bound_ms


def test_every_action_is_flooded() -> None:
    assert {sent.action for sent in REQUESTS.values()} >= ACTIONS.keys()


def test_floods_of_every_kind_leave_another_customer_its_responses(
    serve: Start, served_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(add_numbers(served_url, "cus_1", DID))
    asyncio.run(add_numbers(served_url, "cus_2", OTHER_DID))
    server = serve()
    phones = {"phones": PHONES[: 250 * 14 - 1]}
    groups = [server.call("createGroup", phones)["groupId"] for _ in range(100)]
    binding = {"phoneA": BODIES["queryAXB"]["caller"], "phoneB": "8613700000002", "expireSecond": 0}
    assert server.call("bindAXB", binding, "cus_2")["code"] == 0
    floods = (
        [(kind,) for kind in ("large page", "large create", "large change", "bind a group")]
        if IS_SOAK
        else [tuple(kind for kind, sent in REQUESTS.items() if sent.connections == CONNECTIONS)]
    )
    factors: dict[str, dict[str, float]] = {action: {} for action in BODIES}
    for action, of_kind in factors.items():
        alone: list[float] = []
        send_evenly(server, alone, action)
        for kinds in floods:
            codes, times = Counter[int](), list[float]()
            with flood(server, codes, *kinds, group=groups[0]):
                send_evenly(server, times, action)
            assert set(codes) <= CODES
            if IS_SOAK:
                of_kind[kinds[0]] = _p99(times) / _p99(alone)
    if IS_SOAK:
        with capsys.disabled():
            sys.stdout.write(f"\n{served_url.partition(':')[0]}: p99 times {factors}\n")
        for action in ("listGroup", "queryAXB"):
            assert max(factors[action].values()) <= FLOOD_BOUNDS[action]


def _p99(times_s: list[float]) -> float:
    return statistics.quantiles(times_s, n=100)[-1]
