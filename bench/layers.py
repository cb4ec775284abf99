"""CPU per request by layer: openpns's worker, the coordinator, and the workers of Citus (Linux).

    python -m bench.layers NAME=URL...

Each URL is a migrated database without customers, on servers of this machine, with a superuser of
PostgreSQL. They are measured in turns, so that what else the machine does is the same for all. Of
the servers, the sessions of that database count: not the writer of the log and the like.
Prints a table.
"""

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import asyncpg

from bench import servers
from bench.proc import cpu_us, tree
from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.bindings import service as bindings
from openpns.clock import now_ms
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.groups import service as groups
from openpns.ids import Snowflake
from openpns.numbers import service as numbers
from openpns.protocol import signing
from openpns.storage import connect

CUSTOMERS: Final = 8
GROUPS: Final = 40
ROUNDS: Final = 3
REQUESTS: Final = 15
"""Requests of each customer in a round."""

STATEMENTS: Final = 20

_MASTER_KEY: Final = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
_NODES: Final = "SELECT nodename, nodeport FROM pg_dist_node WHERE isactive ORDER BY groupid"
_HAS_CITUS: Final = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"

SEVERAL: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "audit heads of all customers": ("audit_head_list", {}),
    "customers with events": (
        "delivery_due_customers",
        {"after": "", "at_most": 256, "now_ms": 0},
    ),
    "customers with ended bindings": ("binding_customer_list_expired", {"now_ms": 0}),
}
"""Statements of an operator and of the background: they ask every shard."""

CALL: Final = "queryAXB and reportCall"

_numbers = itertools.count(1)


class Customer(NamedTuple):
    """The virtual number of its binding, and the ids of its groups."""

    did: str
    groups: list[str]


class Target:
    """A database, and an openpns with one worker that serves it."""

    def __init__(self, name: str, url: str, stack: contextlib.ExitStack) -> None:
        self.name, self.url = name, url
        self._database = url.rpartition("/")[2]
        self._postmasters = asyncio.run(_postmasters(url))
        self._customers = asyncio.run(_fill(url))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        options = ("--rate-per-s", "0", "--customer-rate-per-s", "0")
        self.server = stack.enter_context(servers.openpns(name, url, folder, *options))

    def layers(self) -> dict[str, float]:
        """Return the CPU time of each layer, in µs."""
        found = {"openpns": cpu_us(self.server.pid)}
        for place, pid in enumerate(self._postmasters):
            layer = "database" if len(self._postmasters) == 1 else "coordinator"
            layer = layer if place == 0 else "workers"
            found[layer] = found.get(layer, 0.0) + _sessions_us(pid, self._database)
        return found

    def ask(self, action: str, customer: int, connection: http.client.HTTPConnection) -> None:
        """Send a request of an action; or CALL, a question and the report of its call."""
        if action != CALL:
            self._send(action, customer, connection, self._body(action, customer))
            return
        asked = self._send("queryAXB", customer, connection, self._body("queryAXB", customer))
        start = now_ms() // 1000
        times = {"startAt": start, "answerAt": start, "hangupAt": start}
        cause = {"hangupCause": "NORMAL_CLEARING", "hangupCode": 16, "hangup": 1}
        body = {"callId": asked["data"]["callId"]} | times | cause
        self._send("reportCall", customer, connection, body)

    def _body(self, action: str, customer: int) -> dict[str, Any]:
        number = next(_numbers)
        phones = f"8613{number:09}", f"8614{number:09}"
        bodies: dict[str, dict[str, Any]] = {
            "listGroup": {"limit": 10, "offset": number % GROUPS},
            "getGroup": {"groupId": self._customers[customer].groups[number % GROUPS]},
            "createGroup": {"groupName": str(number), "phones": ",".join(phones)},
            "bindAXB": {"phoneA": phones[0], "phoneB": phones[1], "expireSecond": 3600},
            "queryAXB": {"caller": f"8615{customer:09}", "did": self._customers[customer].did},
        }
        return bodies[action]

    def _send(
        self,
        action: str,
        customer: int,
        connection: http.client.HTTPConnection,
        body: dict[str, Any],
    ) -> dict[str, Any]:
        text = json.dumps(body).encode()
        key, secret = f"key-{customer}", f"secret-of-key-{customer}"
        ts = str(now_ms())
        sign = signing.sign(key, action, "5", ts, text, secret)
        headers = {"accessKey": key, "action": action, "bizType": "5", "ts": ts, "sign": sign}
        connection.request("POST", "/api/pns/", text, headers)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        if answer["code"] != 0:
            raise RuntimeError(f"{self.name}: {action}: {answer}")
        return answer


def _sessions_us(postmaster: int, database: str) -> float:
    """Return the CPU time of the sessions of a database."""
    total = 0.0
    for pid in tree(postmaster)[1:]:
        try:
            title = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue  # it has ended
        if f" {database} " in title:
            total += cpu_us(pid)
    return total


async def _postmasters(url: str) -> list[int]:
    """Return the first process of each server of a database, the coordinator's first."""
    connection = await asyncpg.connect(url)
    nodes: list[Any] = [(None, None)]
    if await connection.fetchval(_HAS_CITUS):
        nodes = await connection.fetch(_NODES)
    await connection.close()
    found = []
    for host, port in nodes:
        made = await asyncpg.connect(url, host=host, port=port) if host else None
        one = made or await asyncpg.connect(url)
        folder = Path(await one.fetchval("SHOW data_directory"))
        found.append(int((folder / "postmaster.pid").read_text().split()[0]))
        await one.close()
    return found


async def _fill(url: str) -> list[Customer]:
    """Make customers with keys, virtual numbers and groups."""
    store = await connect.open_store(url)
    secret_box = await open_secret_box(store, url, _MASTER_KEY)
    services = Services(store, Snowflake(now_ms, worker_id=1023), now_ms)
    found = []
    for customer in range(CUSTOMERS):
        name = f"cus_{customer}"
        await customers.create(store, now_ms, name, "")
        key = f"key-{customer}"
        await access_keys.create(
            store, secret_box, now_ms, name, access_key=key, access_secret=f"secret-of-{key}"
        )
        dids = [f"8618{customer:03}{number:06}" for number in range(20)]
        await numbers.add(store, now_ms, name, dids)
        context = Context(services, Principal(key, name))
        a, b = f"8615{customer:09}", f"8616{customer:09}"
        bound = await bindings.bind_axb(context, phone_a=a, phone_b=b, expire_second=0)
        made = [
            await groups.create_group(context, group_name=str(number), phones=f"8612{number:09}")
            for number in range(GROUPS)
        ]
        found.append(Customer(bound.did, [one.group_id for one in made]))
    await store.close()
    return found


def _measure(target: Target, action: str) -> dict[str, float]:
    """Return the CPU time of each layer for a request, in µs."""
    failures: list[BaseException] = []

    def run(customer: int) -> None:
        try:
            with contextlib.closing(
                http.client.HTTPConnection("127.0.0.1", target.server.port, timeout=60)
            ) as connection:
                for _ in range(REQUESTS):
                    target.ask(action, customer, connection)
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    before = target.layers()
    threads = [threading.Thread(target=run, args=(one,)) for one in range(CUSTOMERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return _per(before, target.layers(), CUSTOMERS * REQUESTS)


async def _measure_statement(target: Target, name: str, params: dict[str, Any]) -> dict[str, float]:
    store = await connect.open_store(target.url, connections_max=1)
    await store.fetch(name, params)
    before = target.layers()
    for _ in range(STATEMENTS):
        await store.fetch(name, params)
    after = target.layers()
    await store.close()
    return _per(before, after, STATEMENTS)


def _per(before: dict[str, float], after: dict[str, float], count: int) -> dict[str, float]:
    return {layer: (after[layer] - before[layer]) / count for layer in after}


def _rows(targets: list[Target]) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Return what was measured: what, on which target, and each layer's median over the rounds."""
    works: dict[str, Callable[[Target], dict[str, float]]] = {}
    for action in ("queryAXB", "bindAXB", "listGroup", "createGroup", CALL):
        works[action] = lambda target, action=action: _measure(target, action)  # type: ignore[misc]
    for label, (name, params) in SEVERAL.items():
        works[label] = lambda target, name=name, params=params: asyncio.run(  # type: ignore[misc]
            _measure_statement(target, name, params)
        )
    for what, work in works.items():
        found: dict[str, list[dict[str, float]]] = {target.name: [] for target in targets}
        for _ in range(ROUNDS):
            for target in targets:
                found[target.name].append(work(target))
        for name, rounds in found.items():
            yield what, name, {layer: median(one[layer] for one in rounds) for layer in rounds[0]}


def main() -> None:
    """Measure the databases of the command line."""
    os.environ["OPENPNS_MASTER_KEY"] = _MASTER_KEY
    with contextlib.ExitStack() as stack:
        pairs = [argument.partition("=")[::2] for argument in sys.argv[1:]]
        targets = [Target(name, url, stack) for name, url in pairs]
        print("| What | Database | Layer: CPU in µs |\n| --- | --- | --- |")
        for what, name, layers in _rows(targets):
            shown = ", ".join(f"{layer} {value:.0f}" for layer, value in layers.items())
            print(f"| {what} | {name} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
