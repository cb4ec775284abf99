"""`openpns worker`: deliver to webhooks until a signal, with an admin port of its own."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

from openpns.accounts.master_key import take_variable
from openpns.core import logs
from openpns.deliveries.counters import DeliveryCounters
from openpns.deliveries.deliverer import Deliverer
from openpns.deliveries.metrics import DeliveryCollector
from openpns.deliveries.settings import DeliverySettings
from openpns.kit.environment import PREFIX
from openpns.kit.stop_signals import ignore_stop_signals, stop_signals
from openpns.process.admin import AdminPort, State, listen_for_admin
from openpns.process.core_dumps import forbid_core_dumps
from openpns.protocol.headers import host_in_url
from openpns.worker.loop import deliver

_DATABASE_VARIABLE: Final = f"{PREFIX}DATABASE"
_STALE_S: Final = 10.0
"""A worker that has not read the queue for so long is not ready; it does so once a second."""


def run(settings: DeliverySettings, unknown_variables: Mapping[str, str | None]) -> None:
    """Deliver until SIGTERM, SIGINT or SIGHUP; then finish the attempts in flight and return.

    The variables that hold secrets are removed from the environment.

    Raises:
        ConfigError: A setting cannot be used: the admin port is in use, the database cannot be
            opened or is not migrated, the master key is missing or wrong.
    """
    import uvloop  # noqa: PLC0415 - not there on Windows, where this module can be imported

    logs.configure(settings.log_format, settings.log_level)
    if settings.core_dumps == "off":
        forbid_core_dumps()
    for name, meant in unknown_variables.items():
        hint = {} if meant is None else {"meant": meant}
        logs.logger().warning("unknown variable of the environment", variable=name, **hint)
    master_key = take_variable(os.environ)
    os.environ.pop(_DATABASE_VARIABLE, None)  # it may contain a password
    with contextlib.ExitStack() as ports:
        listening = None
        if settings.admin_port is not None:
            listening = ports.enter_context(listen_for_admin(settings))
        try:
            uvloop.run(_serve(settings, master_key, listening))
        finally:
            ignore_stop_signals()


async def _serve(
    settings: DeliverySettings, master_key: str | None, listening: socket.socket | None
) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in stop_signals():
        loop.add_signal_handler(number, stopping.set)
    counters = DeliveryCounters()
    started: Deliverer | None = None

    async def find_state() -> State:
        if started is None:
            return State("deliveries: not started")
        ago_s = started.read_s_ago()
        if ago_s > _STALE_S:
            return State(f"database: the queue was not read for {ago_s:.0f} s")
        return State()

    def ready(deliverer: Deliverer) -> None:
        nonlocal started
        started = deliverer
        logs.logger().info("delivering to webhooks", process=os.getpid())

    admin = None
    if listening is not None:
        admin = AdminPort(settings, find_state, lambda: [DeliveryCollector(counters.total())])
        admin.start(listening)
        host, port = listening.getsockname()[:2]
        url = f"http://{host_in_url(host)}:{port}/healthz"
        logs.logger().info("admin port open", url=url)
    try:
        await deliver(settings, master_key, counters, stopping, ready)
    finally:
        if admin is not None:
            await admin.stop()
        if started is not None:
            logs.logger().info("stopped")
