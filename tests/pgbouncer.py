"""A real PgBouncer on loopback in front of a PostgreSQL database."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from tests.databases import serving_url

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")


@contextlib.contextmanager
def pgbouncer(url: str, mode: str, **settings: str) -> Iterator[str]:
    """Run PgBouncer in front of a database; yield the URL through it.

    Args:
        url: The database.
        mode: Its `pool_mode`.
        settings: Others of its settings.
    """
    assert PROGRAM is not None
    parts = urlsplit(url)
    host = parts.hostname or parse_qs(parts.query)["host"][0]
    password = unquote(parts.password or "")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    users = {parts.username, urlsplit(serving_url(url)).username}
    (folder / "users").write_text(
        "".join(f'"{user}" "{password}"\n' for user in sorted(map(str, users)))
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    lines = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_file": folder / "users",
        "pool_mode": mode,
    } | settings
    text = "".join(f"{name} = {value}\n" for name, value in lines.items())
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host={host} port={parts.port or 5432}\n[pgbouncer]\n{text}"
    )
    # It refuses to run as root, and must reach the socket.
    user = []
    if os.geteuid() == 0:
        user = ["-u", Path(host).owner() if host.startswith("/") else "nobody"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, *user, str(config)], stdout=log, stderr=log)
    try:
        _wait_for(port, process, folder / "log")
        name = f"{parts.path}?sslmode=disable"
        yield f"postgresql://{parts.username}:{parts.password or ''}@127.0.0.1:{port}{name}"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())
