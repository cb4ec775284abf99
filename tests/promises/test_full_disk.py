"""With a full disk or a read-only database, writes get 19004 and nothing is lost."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.processes import Process, Start, fill
from tests.promises.test_durable import check
from tests.promises.traffic import Writer, connect, running, send, wait_until

from openpns.storage.store import database_path

DISK_BYTES = 8_000_000

Switch = Callable[[bool], None]
"""Fills the disk, or frees it again."""


def write_code(server: Process) -> int:
    """Create a group of another customer; return the code."""
    body = {"phones": "85211111114", "groupName": "probe"}
    code: int = server.call("createGroup", body, "cus_2")["code"]
    return code


def read_code(server: Process) -> int:
    connection = connect(server.port)
    try:
        code: int = send(connection, "listGroup", {"limit": 1, "offset": 0})["code"]
        return code
    finally:
        connection.close()


def go_through(server: Process, url: str, fill_up: Switch) -> None:
    """Write before, while and after the disk is full; check what is there then."""
    writers = [Writer(f"w{number}", 1) for number in range(4)]
    with running(writers, server.port):
        time.sleep(0.3)
        fill_up(True)
        wait_until(lambda: write_code(server) == 19004, "a write is answered 19004")
        assert read_code(server) == 0
        time.sleep(0.3)
        fill_up(False)
        wait_until(lambda: write_code(server) == 0, "a write is answered 0 again")
        time.sleep(0.2)
    check(writers, server, url)
    codes = {code for writer in writers for code in writer.codes}
    assert codes - {19006} == {0, 19004}
    assert sum(writer.lost for writer in writers) == 0
    assert server.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux changes another process's limits")
def test_server_survives_files_that_may_not_grow(start: Start, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    asyncio.run(fill(url))
    server = start("serve", "--database", url, "--port", "0", "--workers", "2")
    workers = server.workers(2)
    log = Path(f"{database_path(url)}-wal")

    def fill_up(is_full: bool) -> None:
        # The log has room again when it is restarted, so the bound leaves it nearly none.
        size = 8192 if is_full else resource.RLIM_INFINITY
        assert log.stat().st_size > 8192
        for worker in workers:
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    go_through(server, url, fill_up)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux mounts a small disk")
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine allows no mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_server_survives_a_full_disk(start: Start, small_disk: Path) -> None:
    url = f"sqlite:///{small_disk / 'test.db'}"
    asyncio.run(fill(url))
    server = start("serve", "--database", url, "--port", "0", "--workers", "2")
    server.workers(2)
    ballast = small_disk / "ballast"

    def fill_up(is_full: bool) -> None:
        if not is_full:
            ballast.unlink()
            return
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                return

    go_through(server, url, fill_up)


def read_only_switch(url: str) -> Switch:
    """Return a switch that makes a PostgreSQL database read-only, or writable again."""
    name = url.partition("?")[0].rpartition("/")[2]

    async def change(value: str) -> None:
        connection = await asyncpg.connect(url)
        # A setting of the session: this one must be able to write.
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(
            f"ALTER DATABASE {name} SET default_transaction_read_only = {value}"
        )
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'openpns'"
        )
        await connection.close()

    return lambda is_read_only: asyncio.run(change("on" if is_read_only else "off"))


def test_server_survives_a_read_only_database(start: Start, postgres_url: str) -> None:
    asyncio.run(fill(postgres_url))
    server = start("serve", "--database", postgres_url, "--port", "0", "--workers", "2")
    go_through(server, postgres_url, read_only_switch(postgres_url))


def test_server_survives_a_killed_worker_on_a_read_only_database(
    start: Start, postgres_url: str
) -> None:
    asyncio.run(fill(postgres_url))
    server = start("serve", "--database", postgres_url, "--port", "0", "--workers", "2")
    killed, left = server.workers(2)
    make_read_only = read_only_switch(postgres_url)
    make_read_only(True)
    os.kill(killed, signal.SIGKILL)
    server.wait_for("worker waits to start")
    assert write_code(server) == 19004
    make_read_only(False)
    server.wait_until_replaced(killed, 2)
    assert left in server.workers(2)
    assert write_code(server) == 0
    assert server.stop() == 0
