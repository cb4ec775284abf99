"""Real `openpns` processes on loopback, and requests to them."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.databases import serving_url
from tests.direct import empty
from tests.leaks import Leaks, shown_in

from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.clock import now_ms
from openpns.numbers import service as numbers
from openpns.protocol import signing
from openpns.storage import connect

MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OPENPNS = [sys.executable, "-c", "from openpns.cli.main import main; main()"]
KEY_OF = {"cus_1": ("key-of-cus-1", "secret-of-cus-1"), "cus_2": ("key-of-cus-2", "secret-of-2")}
_WITHOUT_DELIVERIES = {"OPENPNS_WEBHOOK_WORKER": "off"}
"""A process less for each server; a test of deliveries asks for it with a flag."""
LEAKS = Leaks(master_key=MASTER_KEY, **dict(KEY_OF.values()))
"""What no process of a test may log."""


class Process:
    """A running `openpns` command that serves."""

    def __init__(
        self,
        arguments: list[str],
        log: Path,
        environ: dict[str, str],
        wrapper: Sequence[str] = (),
    ) -> None:
        self.log = log
        if arguments[0] in ("serve", "worker"):
            arguments = [serving_url(argument) for argument in arguments]
        # Quickstart shows its sample groups, and the secret of the key that it makes.
        self._is_private = arguments[0] != "quickstart"
        self._out = log.open("w")
        self.process = subprocess.Popen(
            [*wrapper, *OPENPNS, *arguments],
            stdout=self._out,
            stderr=subprocess.STDOUT,
            env=os.environ | _WITHOUT_DELIVERIES | environ,
            cwd=log.parent,
        )
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        if "--tls-cert" in arguments:
            self.tls = ssl.create_default_context()
            self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    def wait_until_up(self) -> "Process":
        """Wait until requests are answered."""
        self.port = int(self.wait_for(r":([0-9]+)/api/pns/")[1])
        self.wait_until_it_answers()
        return self

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the process has printed something."""
        for _ in range(600):
            found = re.search(pattern, self.log.read_text("utf-8"))
            if found:
                return found
            assert self.process.poll() is None, self.log.read_text("utf-8")
            time.sleep(0.05)
        raise AssertionError(f"no {pattern} in {self.log.read_text('utf-8')}")

    def connect(self, source: str | None = None) -> http.client.HTTPConnection:
        options: Any = {"timeout": 60, "source_address": source and (source, 0)}
        if self.tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, **options)
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, **options)

    def call(
        self,
        action: str,
        body: dict[str, Any],
        customer: str = "cus_1",
        connection: http.client.HTTPConnection | None = None,
    ) -> dict[str, Any]:
        """Send one signed request and return the envelope."""
        used = connection or self.connect()
        try:
            text = json.dumps(body, ensure_ascii=False).encode()
            used.request("POST", "/api/pns/", text, signed(customer, action, text))
            answer: dict[str, Any] = json.loads(used.getresponse().read())
            return answer
        finally:
            if connection is None:
                used.close()

    def workers(self, count: int) -> list[int]:
        """Wait until `count` workers run, and return their pids.

        They are read from the log: /proc may show the processes of another namespace.
        """
        found: list[int] = []
        for _ in range(600):
            logged = re.findall(r"worker ready\W.*pid\D+([0-9]+)", self.log.read_text("utf-8"))
            found = [int(pid) for pid in logged if _runs(int(pid))]
            if len(found) == count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"workers {found} and not {count}: {self.log.read_text('utf-8')}")

    def wait_until_replaced(self, killed: int, count: int) -> None:
        """Wait until a worker has ended and `count` workers run again."""
        while killed in self.workers(count):
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(60)
        self._out.close()
        if self._is_private:
            lines = self.log.read_text("utf-8").splitlines()
            shown = [line for line in lines if shown_in(LEAKS, line)]
            assert not shown, f"the log shows a secret or a number: {shown[:3]}"
        return code

    def wait_until_it_answers(self) -> None:
        """Wait until a worker answers requests."""
        for _ in range(400):
            connection = self.connect()
            try:
                connection.request("GET", "/")
                connection.getresponse().read()
            except OSError:
                assert self.process.poll() is None, self.log.read_text("utf-8")
                time.sleep(0.05)
            else:
                return
            finally:
                connection.close()
        raise AssertionError("the server does not answer")


def free_port() -> int:
    """Return a port of loopback that no program listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def signed(customer: str, action: str, body: bytes, ts: int | None = None) -> dict[str, str]:
    """The headers of a signed request."""
    access_key, secret = KEY_OF[customer]
    sent = str(now_ms() if ts is None else ts)
    return {
        "accessKey": access_key,
        "action": action,
        "bizType": "5",
        "ts": sent,
        "sign": signing.sign(access_key, action, "5", sent, body, secret),
    }


def run_openpns(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*OPENPNS, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"OPENPNS_MASTER_KEY": MASTER_KEY} | environ,
    )


def client_environ(server: Process, customer: str = "cus_1") -> dict[str, str]:
    """The settings of a client of a server, as environment variables."""
    access_key, secret = KEY_OF[customer]
    return {
        "OPENPNS_BASE_URL": f"http://127.0.0.1:{server.port}",
        "OPENPNS_ACCESS_KEY": access_key,
        "OPENPNS_ACCESS_SECRET": secret,
    }


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def fill(url: str) -> None:
    """Bring a database up to date and put two customers in it."""
    store = await connect.open_store(url, create=True)
    await connect.migrate(store, url)
    secret_box = await open_secret_box(store, url, MASTER_KEY)
    for customer, (access_key, secret) in KEY_OF.items():
        await customers.create(store, now_ms, customer, "")
        await access_keys.create(
            store, secret_box, now_ms, customer, access_key=access_key, access_secret=secret
        )
    await store.close()


async def add_numbers(url: str, customer_id: str, *dids: str) -> None:
    """Give virtual numbers to a customer."""
    store = await connect.open_store(url)
    await numbers.add(store, now_ms, customer_id, dids)
    await store.close()


class SharedServer:
    """A server process for many tests, and the database that it serves.

    Each test refills the database. The server's cache stays correct, because revisions are random.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        asyncio.run(fill(url))
        log = folder / "shared.log"
        arguments = ["serve", "--database", url, "--port", "0"]
        self.process = Process(arguments, log, {"OPENPNS_MASTER_KEY": MASTER_KEY})
        self.process.wait_until_up()
        self.port, self.call = self.process.port, self.process.call

    async def reset(self) -> None:
        """Leave only two customers without groups."""
        await empty(self.url)
        await fill(self.url)


@pytest.fixture
async def served_url(database_url: str) -> str:
    """A migrated database with two customers, once for each engine."""
    await fill(database_url)
    return database_url


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes; those that still run are ended after the test."""
    running: list[Process] = []

    def begin(
        *arguments: str,
        without_master_key: bool = False,
        wrapper: Sequence[str] = (),
        **environ: str,
    ) -> Process:
        log = tmp_path / f"process-{len(running)}.log"
        master_key = {} if without_master_key else {"OPENPNS_MASTER_KEY": MASTER_KEY}
        process = Process([*arguments], log, master_key | environ, wrapper)
        running.append(process)
        return process.wait_until_up()

    yield begin
    for process in running:
        if process.process.poll() is None:
            process.stop()


@pytest.fixture
def serve(start: Start, served_url: str) -> Start:
    """Starts `openpns serve` on a free port of the database with two customers."""
    return lambda *arguments, **environ: start(
        "serve", "--database", served_url, "--port", "0", *arguments, **environ
    )
