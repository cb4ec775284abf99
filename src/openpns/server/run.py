"""`openpns serve`: check the configuration, then supervise the workers until a signal."""

import asyncio
import errno
import multiprocessing
import os
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server as Granian

from openpns import limits
from openpns.accounts import master_key
from openpns.api.counters import create_counter_file
from openpns.clock import now_ms
from openpns.core import logs, worker_ids
from openpns.errors import ConfigError, OpenPNSError
from openpns.protocol.headers import host_in_url
from openpns.server.admin import AdminServer
from openpns.server.application import COUNTERS_VARIABLE, open_checked
from openpns.server.config import Settings, load_settings, to_environ
from openpns.server.rsgi import create_app

_ROWS_PER_WORKER: Final = 2
"""Rows of counters per worker: one for it and one for its replacement."""

_CONNECTIONS_PER_REQUEST: Final = 4
_RETRY_S_MIN: Final = 0.5
_RETRY_S_MAX: Final = 8.0


def run(settings: Settings, started: Callable[[Settings], None] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish the requests in flight and return.

    `started` is called when the port is known and free, before the workers start.

    Raises:
        ConfigError: A setting cannot be used: the port is in use, the database cannot be opened or
            is not migrated, the master key is missing or wrong.
    """
    logs.configure(settings.log_format, settings.log_level)
    asyncio.run(_check(settings))
    host, port = free_port("port", settings.host, settings.port)
    settings = msgspec.structs.replace(settings, host=host, port=port)
    with tempfile.TemporaryDirectory(prefix="openpns-") as folder:
        counters = Path(folder) / "counters"
        create_counter_file(counters, settings.workers * _ROWS_PER_WORKER)
        os.environ.update(to_environ(settings), **{COUNTERS_VARIABLE: str(counters)})
        admin = _start_admin(settings, counters)
        try:
            if started is not None:
                started(settings)
            _serve(settings)
        finally:
            if admin is not None:
                admin.stop()


async def _check(settings: Settings, *, by_writing: bool = False) -> None:
    """Raise the errors that every worker would raise at its start."""
    store = await open_checked(settings)
    try:
        await master_key.open_secret_box(
            store, settings.database, os.environ.get(master_key.VARIABLE) or None
        )
        if by_writing:
            owner = f"check:{secrets.token_hex(8)}"
            await worker_ids.release(store, owner, await worker_ids.take(store, now_ms, owner))
    finally:
        await store.close()


def _serve(settings: Settings) -> None:
    # Workers are spawned, not forked: this process has threads.
    multiprocessing.set_start_method("spawn", force=True)
    server = Granian(
        "openpns",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.RSGI,
        workers=settings.workers,
        workers_kill_timeout=settings.shutdown_grace_s,
        respawn_failed_workers=True,
        # Idle connections count here, too; and requests over the bound must arrive to be answered
        # 503.
        backpressure=settings.requests_in_flight_max * _CONNECTIONS_PER_REQUEST,
        websockets=False,
        # Other modes wait for the first bytes of a connection without a time limit, to detect the
        # version of HTTP: silent connections could occupy all places.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=settings.header_timeout_ms,
            max_buffer_size=limits.HEADER_BYTES_MAX,
        ),
        # With "st", Granian's default for one thread, reading a body takes 10 µs longer.
        runtime_mode=RuntimeModes.mt,
        log_level=LogLevels.warning,
        log_dictconfig=logs.granian_config(),
    )
    log = logs.logger()
    log.info("serving", url=f"http://{host_in_url(settings.host)}:{settings.port}/api/pns/")
    # A closed terminal stops the server like Ctrl-C; Granian's default is a reload.
    server.on_startup(lambda: signal.signal(signal.SIGHUP, server.signal_handler_interrupt))
    server.serve(target_loader=_load, wrap_loader=False)
    log.info("stopped")


def _load() -> Any:
    """Return the app of a worker; wait until the database can be used.

    The parent has checked the settings already, so a failure here is probably temporary. A worker
    that exits is replaced immediately, and two exits in a row end the whole server, healthy workers
    included.
    """
    settings, parent, wait_s = load_settings({}, os.environ), os.getppid(), _RETRY_S_MIN
    while os.getppid() == parent:
        try:
            # A worker starts with a write, which fails if the disk is full.
            asyncio.run(_check(settings, by_writing=True))
            break
        except OpenPNSError as error:
            logs.configure(settings.log_format, settings.log_level)
            logs.logger().error("worker waits to start", why=str(error), retry_s=wait_s)
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, _RETRY_S_MAX)
    return create_app()


def _start_admin(settings: Settings, counters: Path) -> AdminServer | None:
    if settings.admin_port is None:
        return None
    try:
        admin = AdminServer(settings, counters)
    except (OSError, UnicodeError) as error:
        raise _port_error("admin_port", settings.admin_host, settings.admin_port, error) from None
    admin.start()
    host, port = admin.server_address[:2]
    logs.logger().info("admin port open", url=f"http://{host_in_url(str(host))}:{port}/healthz")
    return admin


def free_port(name: str, host: str, port: int) -> tuple[str, int]:
    """Return the host's IP address and the port; for port 0, a free port.

    Workers share the port (SO_REUSEPORT), so a second server could bind it as well. This check
    finds a port that is in use.

    Raises:
        ConfigError: The port cannot be bound; the text contains the setting `name`.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # A name such as localhost may have several addresses; clients try IPv4, too.
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            bound = probe.getsockname()
            return str(bound[0]), int(bound[1])
    except (OSError, UnicodeError) as error:
        raise _port_error(name, host, port, error) from None


def _port_error(name: str, host: str, port: int, error: Exception) -> ConfigError:
    reasons = {
        errno.EADDRINUSE: "another program listens there; stop it, or choose another port",
        errno.EACCES: "ports below 1024 need rights that this user lacks; choose a higher one",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }
    reason = "it is not an address or name of this machine"
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return ConfigError(f"{name}: cannot listen on {host!r} port {port}: {reason}")
