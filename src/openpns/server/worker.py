"""A worker process: one event loop that serves a socket which it shares with the other workers.

    python -m openpns.server.worker SOCKET COUNTERS

The arguments are descriptors. The first line of stdin has the settings and the master key. The
parent holds the other end of stdin: when it ends, stdin does, and the worker stops.
"""

import asyncio
import contextlib
import gc
import json
import os
import resource
import secrets
import select
import signal
import socket
import sys
from typing import Final

import msgspec
import uvloop

from openpns.accounts.master_key import open_secret_box
from openpns.api.counters import Counters
from openpns.clock import now_ms
from openpns.core import logs, worker_ids
from openpns.errors import OpenPNSError
from openpns.kit.networks import Networks
from openpns.kit.stop_signals import OF_TERMINAL
from openpns.process.core_dumps import forbid_core_dumps
from openpns.server import tls
from openpns.server.application import Application, open_checked
from openpns.server.memory import PeakTrim
from openpns.server.settings import Settings
from openpns.storage import connect
from openpns.transport.listener import Bounds, Listener

_RETRY_S_MIN: Final = 0.5
_RETRY_S_MAX: Final = 8.0
_DESCRIPTORS_FREE: Final = 256
"""Descriptors that a worker needs besides its connections."""
_SWITCH_S: Final = 0.001
"""How long a thread keeps the GIL if another waits: SQLite's writer, at each step of a write."""
_MIDDLE_COLLECTIONS: Final = 300
"""Collections of garbage of the middle generation before a full one."""
_TLS_CONNECTION_BYTES: Final = 32 * 1024
"""About what an ended TLS connection can leave on the heap."""


def bounds(settings: Settings) -> Bounds:
    """Return the bounds of a worker's connections."""
    return Bounds(
        connections_max=settings.connections_max,
        connections_per_address_max=settings.connections_per_address_max,
        trusted_proxies=Networks(settings.trusted_proxies or ""),
        header_timeout_s=settings.header_timeout_ms / 1000,
        body_timeout_s=settings.body_timeout_ms / 1000,
        idle_timeout_s=settings.idle_timeout_ms / 1000,
        send_timeout_s=settings.send_timeout_ms / 1000,
        response_timeout_s=settings.response_timeout_ms / 1000,
        body_bytes_max=settings.body_bytes_max,
        received_bytes_max=max(settings.receive_buffer_bytes_max, settings.body_bytes_max),
        unsent_bytes_max=settings.send_buffer_bytes_max,
    )


def first_line(settings: Settings, master_key: str | None) -> bytes:
    """Return what a worker reads first from stdin."""
    # Unlike msgspec's, this JSON can hold the bytes of a path that is not UTF-8.
    return json.dumps(msgspec.to_builtins((settings, master_key))).encode() + b"\n"


async def check(settings: Settings, master_key: str | None, *, by_writing: bool) -> list[str]:
    """Raise the errors that a worker would raise at its start.

    Args:
        by_writing: Write, as a worker does, instead of comparing the schema. A worker that replaces
            another one does not do that again: it takes a while, and the others serve anyway.

    Returns:
        What an operator should know of the schema; a line of text for each.

    Raises:
        ConfigError: The certificate cannot be loaded, the database cannot be opened, is not
            migrated or has another schema, or the master key is missing or wrong.
    """
    tls.load(settings)
    with connect.explained_refusals():
        return await _check_database(settings, master_key, by_writing=by_writing)


async def _check_database(
    settings: Settings, master_key: str | None, *, by_writing: bool
) -> list[str]:
    store = await open_checked(settings)
    try:
        await open_secret_box(store, settings.database, master_key)
        if not by_writing:
            return await connect.check_schema(store, settings.database)
        owner = f"check:{secrets.token_hex(8)}"
        await worker_ids.release(store, owner, await worker_ids.take(store, now_ms, owner))
        return []
    finally:
        await store.close()


async def serve(
    application: Application, settings: Settings, listening: socket.socket, counters: Counters
) -> None:
    """Serve until SIGTERM, or until stdin ends; then finish the requests in flight."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_reader(sys.stdin.fileno(), stopping.set)
    api = await application.start()

    has_tls = settings.tls_cert is not None
    connection_bytes = _TLS_CONNECTION_BYTES if has_tls else 0
    memory = PeakTrim()

    def count(listener: Listener) -> None:
        held_bytes = listener.received_bytes + listener.unsent_bytes
        memory.note(held_bytes, listener.take_ended() * connection_bytes)
        counters.beat()
        counters.set_gauges(
            api.in_flight,
            listener.connections,
            listener.received_bytes,
            listener.unsent_bytes,
            *application.storage_usage(),
            *application.database_gauges(),
        )

    listener = Listener(api, _with_descriptors(bounds(settings)), on_check=count)

    def reload() -> None:
        listener.tls = tls.reload(settings) or listener.tls

    try:
        if has_tls:  # before the files are read: none that come later are missed
            loop.add_signal_handler(signal.SIGHUP, reload)
        # Full garbage collections, which stop the event loop, leave out what the start has made.
        gc.freeze()
        # They come rarely: they visit what a crowd of connections holds, for up to 0.1 s.
        gc.set_threshold(*gc.get_threshold()[:2], _MIDDLE_COLLECTIONS)
        listener.start(listening, tls.load(settings))
        logs.logger().info("worker ready", pid=os.getpid())
        await stopping.wait()
        loop.remove_reader(sys.stdin.fileno())
        await listener.stop(settings.shutdown_grace_s)
    finally:
        await application.stop()


def main() -> None:
    """Serve with the descriptors of the command line."""
    # Ctrl-C reaches every process of the terminal; the parent alone acts on it, as on SIGHUP.
    for number in OF_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_TERMINAL)  # blocked by the parent
    listening = socket.socket(fileno=int(sys.argv[1]))
    counters = Counters(int(sys.argv[2]))
    line = open(0, "rb", buffering=0, closefd=False).readline()  # noqa: SIM115
    if not line:
        raise SystemExit(0)  # the parent is gone
    settings, master_key = msgspec.convert(json.loads(line), tuple[Settings, str | None])
    if settings.core_dumps == "off":
        forbid_core_dumps()
    logs.configure(settings.log_format, settings.log_level)
    try:
        _wait_until_usable(settings, master_key)
        application = Application(settings, master_key, counters=counters)
        sys.setswitchinterval(_SWITCH_S)
        uvloop.run(serve(application, settings, listening, counters))
    except OpenPNSError as error:
        why: dict[str, object] = {"why": str(error)}
    except OSError as error:  # no descriptors, no memory
        why = {"why": error.strerror or type(error).__name__}
    except Exception as error:  # noqa: BLE001 - a traceback is not a log line
        why = logs.describe_error(error)
    else:
        return
    logs.logger().error("worker stopped by an error", **why)
    raise SystemExit(1)


def _wait_until_usable(settings: Settings, master_key: str | None) -> None:
    """Wait until the database and the certificate can be used.

    The parent has checked the settings already, so a failure here is probably temporary. A worker
    that exits is replaced immediately, and two exits in a row end the whole server, healthy workers
    included.
    """
    wait_s = _RETRY_S_MIN
    while True:
        try:
            # A worker starts with a write, which fails if the disk is full.
            asyncio.run(check(settings, master_key, by_writing=True))
        except OpenPNSError as error:
            logs.logger().error("worker waits to start", why=str(error), retry_s=wait_s)
        else:
            return
        # stdin can be read when it ends: the parent is gone.
        if select.select([sys.stdin], [], [], wait_s)[0]:
            raise SystemExit(0)
        wait_s = min(wait_s * 2, _RETRY_S_MAX)


def _with_descriptors(wanted: Bounds) -> Bounds:
    """Raise this process's bound on descriptors; where that fails, accept fewer connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted.connections_max + _DESCRIPTORS_FREE
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
            soft = needed
    possible = max(soft - _DESCRIPTORS_FREE, 1)
    if soft == resource.RLIM_INFINITY or possible >= wanted.connections_max:
        return wanted
    logs.logger().warning(
        "fewer connections than connections_max: the system allows few open files",
        connections=possible,
        open_files=soft,
    )
    return msgspec.structs.replace(wanted, connections_max=possible)


if __name__ == "__main__":
    main()
