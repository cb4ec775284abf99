"""What a delivery worker does in its event loop: deliver, measure, renew its lease."""

import asyncio
import contextlib
import os
import resource
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from openpns.accounts.master_key import open_secret_box
from openpns.clock import now_ms
from openpns.core import logs, worker_ids
from openpns.deliveries.counters import DeliveryCounters
from openpns.deliveries.deliverer import Deliverer
from openpns.deliveries.sending import silence_library
from openpns.deliveries.settings import DeliverySettings
from openpns.errors import WireError
from openpns.ids import Snowflake
from openpns.storage import connect
from openpns.storage.store import Store

_CONNECTIONS_MAX: Final = 4
"""Connections to PostgreSQL: one looks for work, one stores results, others watch."""
_DESCRIPTORS: Final = 8192
"""Attempts in flight, and idle connections of the receivers that were used last."""
_MEASURE_S: Final = 15.0
_BEAT_S: Final = 1.0


def raise_descriptors() -> None:
    """Raise this process's bound on descriptors, as far as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def open_checked(settings: DeliverySettings) -> Store:
    """Open the database and make sure that its migrations are current.

    Raises:
        ConfigError: It cannot be opened, or its migrations are not current.
    """
    store = await connect.open_store(
        settings.database,
        timeout_ms=settings.storage_timeout_ms,
        connections_max=min(settings.postgres_connections_max, _CONNECTIONS_MAX),
    )
    try:
        await connect.check_current(store, settings.database)
    except BaseException:
        await store.close()
        raise
    return store


async def deliver(
    settings: DeliverySettings,
    master_key: str | None,
    counters: DeliveryCounters,
    stopping: asyncio.Event,
    ready: Callable[[Deliverer], object] = lambda _: None,
) -> None:
    """Deliver until `stopping` is set; then finish the attempts in flight.

    Args:
        master_key: The value of OPENPNS_MASTER_KEY; None for the key file.
        ready: Called once the database is open.

    Raises:
        ConfigError: The database cannot be opened or is not migrated, the master key is missing or
            wrong, or the certificates of authorities cannot be read.
        WireError: The database failed before the worker had its lease.
    """
    raise_descriptors()
    silence_library()
    with connect.explained_refusals():
        store = await open_checked(settings)
    tasks: list[asyncio.Task[Any]] = []
    lease = None
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    try:
        with connect.explained_refusals():
            secret_box = await open_secret_box(store, settings.database, master_key)
            # It makes no request ids, but no `post` migration may come that this version does not
            # know: see `worker_ids.guard_migrations`.
            lease = await worker_ids.take(store, now_ms, owner)
        await connect.check_current(store, settings.database)
        deliverer = Deliverer(store, secret_box, settings, counters=counters, owner=owner)
        running = asyncio.create_task(deliverer.run(settings.shutdown_grace_s))
        stopped = asyncio.create_task(stopping.wait())
        tasks = [
            running,
            stopped,
            asyncio.create_task(_repeat(_MEASURE_S, "backlog not counted", deliverer.measure)),
            asyncio.create_task(
                _repeat(
                    worker_ids.RENEW_MS / 1000,
                    "worker id not renewed",
                    lambda: worker_ids.renew(store, now_ms, owner, lease),
                )
            ),
            asyncio.create_task(_beat(counters)),
        ]
        ready(deliverer)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        deliverer.stop()
        await running
        await deliverer.close()
        for task in done:
            task.result()  # raises what has ended it, if not `stopping`
    finally:
        for task in tasks:
            task.cancel()
        if lease is not None:
            await _release(store, owner, lease)
        await store.close()


async def _release(store: Store, owner: str, lease: Snowflake) -> None:
    try:
        await worker_ids.release(store, owner, lease)
    except WireError as error:  # the lease expires by itself
        logs.logger().warning("worker id not released", why=error.msg)


async def _repeat(pause_s: float, failed: str, work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await asyncio.sleep(pause_s)
        try:
            await work()
        except WireError as error:  # the next run repeats it
            logs.logger().warning(failed, why=error.msg)


async def _beat(counters: DeliveryCounters) -> None:
    while True:
        counters.beat()
        await asyncio.sleep(_BEAT_S)
