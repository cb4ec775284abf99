"""A database with rows of every feature, made through the API, and writers that go on."""

import asyncio
import contextlib
import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from tests import direct
from tests.processes import Process, add_numbers, run_openpns, signed

from openpns.storage.copying import TABLES

DIDS = ("85290000001", "85290000002")
MANY = ",".join(f"852{60000000 + number}" for number in range(300))
TOKEN = {"clientToken": "token-1", "groupName": "by token", "phones": "85211111111"}
QUESTION = {"caller": "85211111111", "did": DIDS[0]}
_PORT_OF_NOBODY = 9


def fill_all(url: str, server: Process) -> None:
    """Use every feature once or more."""

    def call(action: str, customer: str = "cus_1", **body: Any) -> dict[str, Any]:
        answer = server.call(action, body, customer)
        assert answer["code"] == 0, (action, answer)
        data: dict[str, Any] = answer.get("data") or answer
        return data

    def run(*arguments: str) -> None:
        done = run_openpns(*arguments, "--database", url)
        assert done.returncode == 0, done.stderr

    asyncio.run(add_numbers(url, "cus_1", *DIDS))
    asyncio.run(add_numbers(url, "cus_2", "85290000009"))
    hook = f"https://127.0.0.1:{_PORT_OF_NOBODY}/hook"
    run("webhooks", "set", "--customer", "cus_1", "--url", hook)
    run("numbers", "set-audio", DIDS[0], "--call-fail", "https://audio.example/fail.wav")
    run("keys", "create", "--customer", "cus_2", "--label", "Schlüssel")
    call("createGroup", **TOKEN)
    large = call("createGroup", groupName="ﬀ Größe 100% 中文", phones=MANY)["groupId"]
    for number in range(70):
        group = {"groupId": call("createGroup", phones=f"8521234{number:04d}")["groupId"]}
        if number % 3 == 0:
            call("deleteGroup", **group)
    call("updateGroup", groupId=large, operateType=1, phones="85260000007,85260000150")
    call("createGroup", "cus_2", phones=MANY)
    made = call(
        "bindAXB",
        phoneA=QUESTION["caller"],
        phoneB="85222222222",
        customerBindId="order 1",
        expireSecond=0,
    )
    assert made["did"] == DIDS[0]
    bound = call("createGroup", groupName="bound", phones="85233333331,85233333332")["groupId"]
    call("bindAXG", phoneA="85211111112", groupId=bound, expireSecond=900)
    call("bindAXBExtension", phoneA="85211111113", phoneX=DIDS[1], extension="042", expireSecond=0)
    ended = call("bindAXB", phoneA="85211111114", phoneB="85211111115", expireSecond=60)
    call("unbindAXB", bindId=ended["bindId"])
    for number in range(3):
        asked = call("queryAXB", **QUESTION)
        report = {"callId": asked["callId"], "startAt": 1670479632 + number}
        call("reportCall", **report, hangupAt=1670479699)
    server.call("queryAXB", {"caller": "85299999999", "did": DIDS[1], "extension": "999"})


class Writers:
    """Threads that write until a server refuses every write."""

    def __init__(self, server: Process) -> None:
        self._server = server
        self._stopping = threading.Event()
        self.acknowledged: list[str] = []
        self.codes: set[int] = set()
        self.faults: list[Exception] = []
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(2)]

    def _write(self, number: int) -> None:
        connection = self._server.connect()
        try:
            for turn in itertools.count():
                if self._stopping.is_set():
                    return
                self._turn(connection, number, turn)
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.faults.append(error)
        finally:
            connection.close()

    def _turn(self, connection: http.client.HTTPConnection, number: int, turn: int) -> None:
        def send(action: str, **body: Any) -> dict[str, Any]:
            text = json.dumps(body).encode()
            connection.request("POST", "/api/pns/", text, signed("cus_1", action, text))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            self.codes.add(answer["code"])
            return answer

        time.sleep(0.02)  # so that the copy, with its small pages, is faster than this
        phone = f"8527{number}{turn % 1_000_000:06d}"
        made = send("createGroup", groupName=f"{number}-{turn}", phones=f"{phone},85288888888")
        if made["code"] != 0:
            return
        group = made["groupId"]
        self.acknowledged.append(group)
        send("updateGroup", groupId=group, operateType=0, phones="85212345678")
        bound = send(
            "bindAXB",
            phoneA=phone,
            phoneB=f"8526{number}{turn % 1_000_000:06d}",
            customerBindId=f"writer {number}",
            expireSecond=600,
        )
        send("queryAXB", caller=phone, did=DIDS[0])
        if bound["code"] == 0:
            # The next one has the same customerBindId.
            send("unbindAXB", bindId=bound["data"]["bindId"])
        if turn % 2 and send("deleteGroup", groupId=group)["code"] == 0:
            self.acknowledged.remove(group)

    @contextlib.contextmanager
    def running(self) -> Iterator["Writers"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join()
        assert self.faults == []


def every_row(url: str, *, without_hold: bool) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables that are copied, in an order that Python makes.

    Args:
        without_hold: A moved source holds calls; leave that out on both sides.
    """

    async def read() -> dict[str, list[tuple[Any, ...]]]:
        found = {}
        for table in TABLES:
            names = await _columns(url, table.name)
            if without_hold:
                names = [name for name in names if name != "bindings_held_ms"]
            rows = await direct.query(url, f"SELECT {', '.join(names)} FROM {table.name}")
            found[table.name] = sorted(rows, key=repr)
        return found

    return asyncio.run(read())


async def _columns(url: str, table: str) -> list[str]:
    if url.startswith("sqlite"):
        sql = f"SELECT name FROM pragma_table_info('{table}')"
    else:
        sql = (
            f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
        )
    return sorted(str(name) for (name,) in await direct.query(url, sql))
