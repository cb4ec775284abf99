"""The delivery worker of `openpns serve`, which starts it and replaces it if it ends or hangs.

    python -m openpns.worker.child COUNTERS

The argument is a descriptor. The first line of stdin has the settings and the master key. The
parent holds the other end of stdin: when it ends, stdin does, and the worker stops.
"""

import asyncio
import json
import os
import signal
import sys
from typing import Final

import msgspec
import uvloop

from openpns.core import logs
from openpns.deliveries.counters import DeliveryCounters
from openpns.deliveries.deliverer import Deliverer
from openpns.deliveries.settings import DeliverySettings
from openpns.errors import OpenPNSError
from openpns.kit.stop_signals import OF_TERMINAL
from openpns.process.core_dumps import forbid_core_dumps
from openpns.worker.loop import deliver

_RETRY_S_MIN: Final = 0.5
_RETRY_S_MAX: Final = 8.0


async def serve(
    settings: DeliverySettings, master_key: str | None, counters: DeliveryCounters
) -> None:
    """Deliver until SIGTERM, or until stdin ends; wait for a database that cannot be used."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)

    def end_of_parent() -> None:
        loop.remove_reader(sys.stdin.fileno())
        stopping.set()

    loop.add_reader(sys.stdin.fileno(), end_of_parent)
    wait_s = _RETRY_S_MIN

    def ready(_: Deliverer) -> None:
        logs.logger().info("delivering to webhooks", process=os.getpid())

    while not stopping.is_set():
        try:
            await deliver(settings, master_key, counters, stopping, ready)
        except OpenPNSError as error:
            logs.logger().error("deliveries wait to start", why=str(error), retry_s=wait_s)
            try:
                await asyncio.wait_for(stopping.wait(), wait_s)
            except TimeoutError:
                wait_s = min(wait_s * 2, _RETRY_S_MAX)


def main() -> None:
    """Deliver with the descriptor of the command line."""
    # Ctrl-C reaches every process of the terminal; the parent alone acts on it, as on SIGHUP.
    for number in OF_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_TERMINAL)  # blocked by the parent
    counters = DeliveryCounters(int(sys.argv[1]))
    line = open(0, "rb", buffering=0, closefd=False).readline()  # noqa: SIM115
    if not line:
        raise SystemExit(0)  # the parent is gone
    settings, master_key = msgspec.convert(json.loads(line), tuple[DeliverySettings, str | None])
    if settings.core_dumps == "off":
        forbid_core_dumps()
    logs.configure(settings.log_format, settings.log_level)
    try:
        uvloop.run(serve(settings, master_key, counters))
    except Exception as error:  # noqa: BLE001 - a traceback is not a log line
        logs.logger().error("delivery process stopped by an error", **logs.describe_error(error))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
