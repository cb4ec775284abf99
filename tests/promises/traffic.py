"""Clients that write all the time and know what must be there afterwards."""

import http.client
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.processes import Process, signed

IS_SOAK = "OPENPNS_SOAK" in os.environ
"""Run the long forms; read here because a test's environment has no settings from outside."""

SEED = int(os.environ.get("OPENPNS_SOAK_SEED", "1"))
NOT_WRITTEN = {19003, 19004, 19005}
TIMEOUT_S = 20.0
"""A request that takes longer hangs, which fails a test."""

Groups = dict[str, str]
"""The phones of each group, by the group's name."""


def rounds(quick: int, soak: int) -> range:
    """Return how often to repeat something: a few times, or many with OPENPNS_SOAK."""
    return range(soak if IS_SOAK else quick)


def send(
    connection: http.client.HTTPConnection, action: str, body: dict[str, Any]
) -> dict[str, Any]:
    """Send one signed request of cus_1; return the envelope."""
    text = json.dumps(body).encode()
    connection.request("POST", "/api/pns/", text, signed("cus_1", action, text))
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


def connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)


def code(node: Process, action: str = "listGroup", **body: Any) -> int:
    """Return the code that the request of a new client gets."""
    connection = connect(node.port)
    try:
        answered: int = send(connection, action, body or {"limit": 1, "offset": 0})["code"]
        return answered
    finally:
        connection.close()


class Writer:
    """A client with its own groups: what was acknowledged is what must be there.

    A write without a response leaves two states that are both right. The writer stops with it, and
    continues after it was checked.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.codes: Counter[int] = Counter()
        self.acknowledged: list[str] = []
        """The request id of every write that got code 0."""
        self.lost = 0
        """Requests without a response."""
        self._random = random.Random(f"{seed} {name}")
        self._groups: Groups = {}
        self._ids: dict[str, str] = {}
        self._after_doubt: Groups | None = None
        self._made = 0

    def run(self, port: int, stop: threading.Event, pause_s: float = 0.0) -> None:
        """Write until `stop` is set, or until the outcome of a write is unknown."""
        connection = connect(port)
        try:
            while not stop.wait(pause_s) and self._after_doubt is None:
                self._write(connection)
        finally:
            connection.close()

    def check(self, shown: dict[str, tuple[str, str]]) -> None:
        """Compare with every group that listGroup shows: id and phones by name."""
        mine = {name: row[1] for name, row in shown.items() if name.startswith(f"{self.name}-")}
        possible = [self._groups, *([] if self._after_doubt is None else [self._after_doubt])]
        assert mine in possible, f"{self.name}: {_difference(possible, mine)}"
        self._groups, self._after_doubt = mine, None
        self._ids = {name: shown[name][0] for name in mine}

    def _write(self, connection: http.client.HTTPConnection) -> None:
        action, body, name, after = self._choose()
        try:
            answer = send(connection, action, body)
        except ConnectionRefusedError:  # no server, so nothing was written
            connection.close()
            time.sleep(0.02)
            return
        except TimeoutError as error:
            raise AssertionError(f"{action} hangs") from error
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            self.lost += 1
            self._after_doubt = after
            return
        code = answer["code"]
        self.codes[code] += 1
        if code == 0:
            self.acknowledged.append(answer["requestId"])
            self._groups = after
            self._ids[name] = answer.get("groupId", body.get("groupId"))
        elif code == 19006:
            self._after_doubt = after
        else:
            assert code in NOT_WRITTEN, answer

    def _choose(self) -> tuple[str, dict[str, Any], str, Groups]:
        """Return a request, the name of its group, and the groups after it was carried out."""
        chance = self._random
        if len(self._groups) < 3 or chance.random() < 0.3:
            self._made += 1
            name = f"{self.name}-{self._made}"
            phones = self._phones()
            body = {"groupName": name, "phones": ",".join(phones)}
            return "createGroup", body, name, self._groups | {name: ",".join(phones)}
        name = chance.choice(sorted(self._groups))
        body = {"groupId": self._ids[name]}
        if chance.random() < 0.25:
            left = {other: text for other, text in self._groups.items() if other != name}
            return "deleteGroup", body, name, left
        operation, had = chance.randrange(3), self._groups[name].split(",")
        had = [phone for phone in had if phone]
        given = (
            chance.sample(had, (len(had) + 1) // 2) if operation == 1 and had else self._phones()
        )
        now = {
            0: [*had, *(phone for phone in given if phone not in had)],
            1: [phone for phone in had if phone not in given],
            2: given,
        }[operation]
        change = {"operateType": operation, "phones": ",".join(given)}
        return "updateGroup", body | change, name, self._groups | {name: ",".join(now)}

    def _phones(self) -> list[str]:
        count = self._random.choice((1, 3, 3, 3, 150))
        return [f"852{number:08}" for number in self._random.sample(range(10**8), count)]


def shown_groups(server: Process) -> dict[str, tuple[str, str]]:
    """Read every group of cus_1 through the API: id and phones by name; the total must agree."""
    connection = connect(server.port)
    shown: dict[str, tuple[str, str]] = {}
    while True:
        page = send(connection, "listGroup", {"limit": 500, "offset": len(shown)})["data"]
        shown |= {g["groupName"]: (g["groupId"], g["phones"]) for g in page["groups"]}
        if not page["groups"]:
            break
    connection.close()
    assert page["total"] == len(shown)
    return shown


@contextmanager
def running(writers: list[Writer], port: int, pause_s: float = 0.0) -> Iterator[None]:
    """Let writers write during the block; a failure in one is raised here."""
    stop, failures = threading.Event(), []

    def run(writer: Writer) -> None:
        try:
            writer.run(port, stop, pause_s)
        except BaseException as error:  # noqa: BLE001 - raised where the test can see it
            failures.append(error)

    threads = [threading.Thread(target=run, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT_S * 2)
    if failures:
        raise failures[0]


def wait_until(is_true: Callable[[], bool], what: str) -> None:
    """Wait until something is true; fail if it does not become true."""
    for _ in range(600):
        if is_true():
            return
        threading.Event().wait(0.05)
    raise AssertionError(f"not true after 30 s: {what}")


def _difference(possible: list[Groups], mine: Groups) -> str:
    expected = possible[0]
    return (
        f"missing {sorted(expected.keys() - mine.keys())}, "
        f"too many {sorted(mine.keys() - expected.keys())}, "
        f"other numbers {[n for n in expected.keys() & mine.keys() if expected[n] != mine[n]]}; "
        f"states that would be right: {len(possible)}"
    )
