"""Floods: one customer sends as much as it can of every kind; another one is still answered.

No quick form asserts a time. The long forms do: see "A flood" in bench/results/README.md.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.processes import KEY_OF, Process, Start, add_numbers, run_openpns
from tests.promises.traffic import IS_SOAK, connect

from openpns.api.registry import ACTIONS

ROOT = Path(__file__).parents[2]
FLOOD_CONNECTIONS = 32
FLOOD_S = 5.0 if IS_SOAK else 1.0
RATE = 100
P99_FACTOR = 20
"""How much longer a request of another key may take in a flood; docs/promises.md states it."""

DID = "8613900000001"
PHONES = ",".join(str(8613800000000 + number) for number in range(10_000))
BODIES = {"listGroup": {"limit": 1, "offset": 0}, "createGroup": {"phones": "85211111114"}}
"""What the other customer sends."""

# The flood puts a new number in the place of {n}, so that no response comes from a cache.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "small page": ("listGroup", {"limit": 1, "offset": 0}),
    "large page": ("listGroup", {"limit": 1000, "offset": 0, "x": "{n}"}),
    "deep page": ("listGroup", {"limit": 10, "offset": 90, "x": "{n}"}),
    "broad search": ("listGroup", {"limit": 10, "offset": 0, "groupName": "g", "x": "{n}"}),
    "search by phone": ("listGroup", {"limit": 10, "offset": 0, "phone": "8613800000001"}),
    "group": ("getGroup", {"groupId": "{group}"}),
    "phones of a group": ("listGroupPhones", {"groupId": "{group}", "limit": 0, "offset": 0}),
    "limits": ("getLimits", {}),
    "small create": ("createGroup", {"phones": "85211111114"}),
    "large create": ("createGroup", {"phones": PHONES}),
    "large change": ("updateGroup", {"groupId": "{group}", "operateType": 2, "phones": PHONES}),
    "large dry run": (
        "updateGroup",
        {"groupId": "{group}", "operateType": 1, "phones": PHONES, "dryRun": True},
    ),
    "delete": ("deleteGroup", {"groupId": "0" * 32}),
    "virtual numbers": ("listNumbers", {"limit": 0}),
    "bind": (
        "bindAXB",
        {"phoneA": "861370000{n}", "phoneB": "861360000{n}", "expireSecond": 60},
    ),
    "bind to digits": (
        "bindAXBExtension",
        {"phoneA": "8613500000000", "phoneX": DID, "extension": "123", "expireSecond": 0},
    ),
    "bind a group": (
        "bindAXG",
        {"phoneA": "861340000{n}", "groupId": "{group}", "expireSecond": 1},
    ),
    "unbind": ("unbindAXB", {"bindId": "0" * 32}),
    "change a binding": ("updateBinding", {"bindId": "0" * 32, "flag": 1}),
    "large page of bindings": ("getAXBList", {"limit": 1000, "offset": 0}),
    "bindings by phone": ("getAXBList", {"limit": 10, "offset": 0, "phone": "8613800000001"}),
    "binding": ("getBinding", {"customerBindId": "order 1"}),
    "question": ("queryAXB", {"caller": "8613500000000", "did": DID}),
    "question with digits": (
        "queryAXB",
        {"caller": "8613500000001", "did": DID, "extension": "999"},
    ),
    "explanation": ("explainCall", {"caller": "861370000{n}", "did": DID}),
    "unknown action": ("noSuchAction", {}),
    "bad field": ("listGroup", {"limit": -1, "offset": 0}),
}
"""Every action, small and large, good and bad."""


# -- a flood ----------------------------------------------------------------------------------


@contextmanager
def flood(server: Process, codes: Counter[int], *kinds: str, group: str = "") -> Iterator[None]:
    """Let cus_1 send requests as fast as it can during the block; then count the codes.

    Args:
        kinds: Of `KINDS`; each connection sends one of them.
        group: The group that it knows.
    """
    sent = [KINDS[kind] for kind in kinds]
    flooder = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.promises.flood", str(server.port)),
            *(str(FLOOD_CONNECTIONS), *KEY_OF["cus_1"]),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert flooder.stdout is not None
    assert flooder.stdin is not None
    try:
        flooder.stdin.write(json.dumps(sent).replace("{group}", group) + "\n")
        flooder.stdin.flush()
        assert flooder.stdout.readline() == "flooding\n"
        yield
        out, _ = flooder.communicate("stop\n", timeout=60)
    finally:
        flooder.kill()
        flooder.wait()
    counted = json.loads(out)
    assert counted["ended early"] == 0
    codes.update({int(code): count for code, count in counted["codes"].items()})


def send_evenly(server: Process, times_s: list[float], action: str = "listGroup") -> None:
    """Let cus_2 send small requests for a while, not fast; every one must succeed."""
    connection = connect(server.port)
    end_s = time.perf_counter() + FLOOD_S
    body = {"listGroup": {"limit": 1, "offset": 0}, "createGroup": {"phones": "85211111114"}}[
        action
    ]
    while (begun_s := time.perf_counter()) < end_s:
        assert server.call(action, body, "cus_2", connection)["code"] == 0
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
        assert p99_ms["flood"] <= P99_FACTOR * p99_ms["alone"]
        assert p99_ms["flood over its rate"] <= P99_FACTOR * p99_ms["alone"]


def test_every_action_is_flooded() -> None:
    assert {action for action, _ in KINDS.values()} >= ACTIONS.keys()


def test_floods_of_every_kind_leave_another_customer_its_responses(
    serve: Start, served_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(add_numbers(served_url, "cus_1", DID))
    server = serve()
    phones = {"phones": PHONES[: 250 * 14 - 1]}
    groups = [server.call("createGroup", phones)["groupId"] for _ in range(100)]
    floods = (
        [(kind,) for kind in ("large page", "large create", "large change")]
        if IS_SOAK
        else [tuple(KINDS)]
    )
    factors: dict[str, dict[str, float]] = {"listGroup": {}, "createGroup": {}}
    for action, of_kind in factors.items():
        alone: list[float] = []
        send_evenly(server, alone, action)
        for kinds in floods:
            codes, times = Counter[int](), list[float]()
            with flood(server, codes, *kinds, group=groups[0]):
                send_evenly(server, times, action)
            # Its own requests may find no place; nothing else may fail.
            assert set(codes) <= {0, 1002, 10010, 10011, 10013, 19001, 19004, 19008}
            if IS_SOAK:
                of_kind[kinds[0]] = _p99(times) / _p99(alone)
    if IS_SOAK:
        with capsys.disabled():
            sys.stdout.write(f"\n{served_url.partition(':')[0]}: p99 times {factors}\n")
        assert max(factors["listGroup"].values()) <= P99_FACTOR


def _p99(times_s: list[float]) -> float:
    return statistics.quantiles(times_s, n=100)[-1]
