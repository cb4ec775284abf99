"""A real PgBouncer on loopback in front of a PostgreSQL database, with samples/pgbouncer.ini."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from tests.databases import SERVING_ROLE
from tests.processes import free_port

SAMPLE = Path(__file__).parents[1] / "samples" / "pgbouncer.ini"
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="pgbouncer is not installed; Debian: apt-get install pgbouncer"
)


class PgBouncer:
    """PgBouncer in front of a database.

    Args:
        url: The database.
        mode: Its `pool_mode`.
        settings: Others of its settings.
    """

    def __init__(self, url: str, mode: str, **settings: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or parse_qs(parts.query)["host"][0]
        password = unquote(parts.password or "") or "PASSWORD"
        self._port = free_port()
        self._folder = Path(tempfile.mkdtemp())
        self._folder.chmod(0o755)
        users = sorted({str(parts.username), SERVING_ROLE})
        (self._folder / "users").write_text("".join(f'"{user}" "{password}"\n' for user in users))
        changes = {
            "openpns": f"host={self._host} port={parts.port or 5432}",
            "listen_addr": "127.0.0.1",
            "listen_port": str(self._port),
            "unix_socket_dir": "",
            "auth_file": str(self._folder / "users"),
            "pool_mode": mode,
        }
        text = SAMPLE.read_text("utf-8")
        # Messages go to stderr, and it needs no file of its own; on loopback without TLS.
        text = re.sub(r"^(logfile|pidfile|\w+_tls_\w+) = .*\n", "", text, flags=re.M)
        for name, value in changes.items():
            text, found = re.subn(rf"^{name} = .*", f"{name} = {value}", text, flags=re.M)
            assert found == 1, name
        for name, value in settings.items():
            text = f"{re.sub(rf'^{name} = .*', '', text, flags=re.M)}{name} = {value}\n"
        name = parts.path.removeprefix("/")
        self._config = self._folder / "pgbouncer.ini"
        self._config.write_text(text.replace("\nopenpns = ", f"\n{name} = "))
        self.url = (
            f"postgresql://{parts.username}:{password}@127.0.0.1:{self._port}/{name}"
            "?sslmode=disable"
        )
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert PROGRAM is not None
        # It refuses to run as root, and must reach the socket.
        user = []
        if os.geteuid() == 0:
            is_path = self._host.startswith("/")
            user = ["-u", Path(self._host).owner() if is_path else "nobody"]
        log = self._folder / "log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [PROGRAM, *user, str(self._config)], stdout=out, stderr=out
            )
        for _ in range(200):
            assert self._process.poll() is None, log.read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
                return
            time.sleep(0.05)
        raise AssertionError(log.read_text())

    def kill(self) -> None:
        """End it at once, with all connections."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def stop(self) -> None:
        """End it, and remove its files."""
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self._folder)


@contextlib.contextmanager
def pgbouncer(url: str, mode: str, **settings: str) -> Iterator[str]:
    """Run PgBouncer in front of a database; yield the URL through it."""
    running = PgBouncer(url, mode, **settings)
    try:
        yield running.url
    finally:
        running.stop()
