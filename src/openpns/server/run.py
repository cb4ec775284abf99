"""`openpns serve`: check the configuration, then supervise the workers until a signal."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import msgspec
from prometheus_client.registry import Collector

from openpns.accounts.master_key import take_variable
from openpns.api.counters import create_counter_file, read_beats, read_total
from openpns.api.metrics import CounterCollector
from openpns.clock import now_ms
from openpns.core import logs
from openpns.deliveries import counters as delivery_counters
from openpns.deliveries.metrics import DeliveryCollector
from openpns.kit.environment import PREFIX
from openpns.kit.interrupts import run_loop
from openpns.kit.stop_signals import ignore_stop_signals
from openpns.process.admin import AdminPort, listen_for_admin
from openpns.process.core_dumps import forbid_core_dumps
from openpns.protocol.headers import host_in_url
from openpns.server import tls
from openpns.server.config import unknown_variables
from openpns.server.readiness import Readiness
from openpns.server.settings import Settings
from openpns.server.supervisor import Program, Supervisor
from openpns.server.worker import check, first_line
from openpns.transport.sockets import listen

_DATABASE_VARIABLE: Final = f"{PREFIX}DATABASE"
_NO_TIME_BEFORE_MS: Final = 1_577_836_800_000
"""The year 2020: a clock that was never set shows less."""
_ROWS_PER_WORKER: Final = 2
"""Rows of counters per worker: one for it and one for its replacement."""


def run(settings: Settings, started: Callable[[Settings], None] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish the requests in flight and return.

    `started` is called when the port is known, before the workers start. The variables that hold
    secrets are removed from the environment.

    Raises:
        ConfigError: A setting cannot be used: the port is in use, the certificate cannot be loaded,
            the database cannot be opened, is not migrated or has another schema, the master key is
            missing or wrong.
        SystemExit: Workers cannot start; the code is 1.
    """
    logs.configure(settings.log_format, settings.log_level)
    if settings.core_dumps == "off":
        forbid_core_dumps()
    for name, meant in unknown_variables(os.environ).items():
        hint = {} if meant is None else {"meant": meant}
        logs.logger().warning("unknown variable of the environment", variable=name, **hint)
    if now_ms() < _NO_TIME_BEFORE_MS:
        logs.logger().warning("the clock is wrong: requests with the right time are refused")
    master_key = take_variable(os.environ)
    os.environ.pop(_DATABASE_VARIABLE, None)  # it may contain a password
    for note in run_loop(check(settings, master_key, by_writing=False)):
        logs.logger().warning("schema differs", what=note)
    tls.warn_of_expiry(settings)
    with contextlib.ExitStack() as ports:
        listening = ports.enter_context(listen("port", settings.host, settings.port))
        admin_listening = None
        if settings.admin_port is not None:
            admin_listening = listen_for_admin(settings, settings.port)
            ports.enter_context(admin_listening)
        host, port = listening.getsockname()[:2]
        settings = msgspec.structs.replace(settings, host=host, port=port)
        if started is not None:
            started(settings)
        is_stopped = _serve_until_stopped(settings, master_key, listening, admin_listening)
    if not is_stopped:
        raise SystemExit(1)


def _serve_until_stopped(
    settings: Settings,
    master_key: str | None,
    listening: socket.socket,
    admin_listening: socket.socket | None,
) -> bool:
    """Return whether a signal is why it stopped."""
    counters = create_counter_file(settings.workers * _ROWS_PER_WORKER)
    deliveries = delivery_counters.create_file(_ROWS_PER_WORKER)
    line = first_line(settings, master_key)
    programs = [
        Program(
            "openpns.server.worker",
            settings.workers,
            (listening.fileno(), counters),
            line,
            partial(read_beats, counters),
        ),
        Program(
            "openpns.worker.child",
            1 if settings.webhook_worker == "on" else 0,
            (deliveries,),
            line,
            partial(delivery_counters.read_beats, deliveries),
            is_vital=False,
        ),
    ]
    supervisor = Supervisor(
        programs,
        listening,
        grace_s=settings.shutdown_grace_s,
        worker_timeout_s=settings.worker_timeout_ms / 1000,
        reloads=settings.tls_cert is not None,
    )

    def collectors() -> Iterator[Collector]:
        yield CounterCollector(read_total(counters))
        yield DeliveryCollector(delivery_counters.read_total(deliveries))

    admin = None
    if admin_listening is not None:
        admin = AdminPort(settings, Readiness(settings).find, collectors)

    async def serve() -> bool:
        log, scheme = logs.logger(), "http" if settings.tls_cert is None else "https"
        if admin is not None and admin_listening is not None:
            admin.start(admin_listening)
            log.info("admin port open", url=f"http://{_address(admin_listening)}/healthz")
        log.info("serving", url=f"{scheme}://{_address(listening)}/api/pns/")
        try:
            return await supervisor.run()
        finally:
            if admin is not None:
                await admin.stop()
            log.info("stopped")

    try:
        return run_loop(serve())
    except Exception as error:  # noqa: BLE001 - the event loop itself has failed
        logs.logger().error("stopped: unexpected error", **logs.describe_error(error))
        return False
    finally:
        ignore_stop_signals()


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"{host_in_url(host)}:{port}"
