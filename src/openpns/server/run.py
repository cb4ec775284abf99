"""`openpns serve`: check the configuration, then supervise the workers until a signal."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

import msgspec

from openpns.api.counters import create_counter_file
from openpns.core import logs
from openpns.protocol.headers import host_in_url
from openpns.server.admin import AdminServer
from openpns.server.config import Settings, to_environ
from openpns.server.supervisor import Supervisor
from openpns.server.worker import check
from openpns.transport.sockets import listen, port_error

_ROWS_PER_WORKER: Final = 2
"""Rows of counters per worker: one for it and one for its replacement."""


def run(settings: Settings, started: Callable[[Settings], None] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish the requests in flight and return.

    `started` is called when the port is known, before the workers start.

    Raises:
        ConfigError: A setting cannot be used: the port is in use, the certificate cannot be loaded,
            the database cannot be opened or is not migrated, the master key is missing or wrong.
        SystemExit: Workers cannot start; the code is 1.
    """
    logs.configure(settings.log_format, settings.log_level)
    asyncio.run(check(settings, os.environ, by_writing=False))
    with listen("port", settings.host, settings.port) as listening:
        host, port = listening.getsockname()[:2]
        settings = msgspec.structs.replace(settings, host=host, port=port)
        counters = create_counter_file(settings.workers * _ROWS_PER_WORKER)
        admin = _start_admin(settings, counters)
        try:
            if started is not None:
                started(settings)
            is_stopped = asyncio.run(_serve(settings, listening, counters))
        finally:
            if admin is not None:
                admin.stop()
    if not is_stopped:
        raise SystemExit(1)


async def _serve(settings: Settings, listening: socket.socket, counters: int) -> bool:
    log, scheme = logs.logger(), "http" if settings.tls_cert is None else "https"
    log.info("serving", url=f"{scheme}://{host_in_url(settings.host)}:{settings.port}/api/pns/")
    supervisor = Supervisor(
        settings.workers,
        listening,
        counters,
        os.environ | to_environ(settings),
        settings.shutdown_grace_s,
        reloads=settings.tls_cert is not None,
    )
    is_stopped = await supervisor.run()
    log.info("stopped")
    return is_stopped


def _start_admin(settings: Settings, counters: int) -> AdminServer | None:
    if settings.admin_port is None:
        return None
    try:
        admin = AdminServer(settings, counters)
    except (OSError, UnicodeError) as error:
        raise port_error("admin_port", settings.admin_host, settings.admin_port, error) from None
    admin.start()
    host, port = admin.server_address[:2]
    logs.logger().info("admin port open", url=f"http://{host_in_url(str(host))}:{port}/healthz")
    return admin
