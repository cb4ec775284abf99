"""Wire the parts of the server: from settings to an API."""

import asyncio
import math
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from openpns.accounts import key_uses
from openpns.accounts.master_key import open_secret_box
from openpns.api.authentication import CACHED_KEY_BYTES
from openpns.api.counters import Counters
from openpns.api.pipeline import Api
from openpns.api.registry import CLEAN_UPS
from openpns.api.request_log import RequestLog
from openpns.bindings import operations
from openpns.clock import Clock, now_ms
from openpns.core import audit_chain, logs, worker_ids
from openpns.core.context import Services, make_large_reads
from openpns.core.expiry import SteadyTime
from openpns.core.rate_limits import RateLimits
from openpns.errors import WireError
from openpns.ids import IdSource, Snowflake
from openpns.kit.networks import Networks
from openpns.kit.per_second import PerSecond
from openpns.kit.utc_offset import parse_utc_offset
from openpns.routing import traces
from openpns.server.settings import Settings
from openpns.storage import connect
from openpns.storage.bounds import StorageBounds, StorageUsage
from openpns.storage.store import Store
from openpns.transport.proxies import TrustedProxies

CLEAN_UP_S: Final = 30.0
HELD_S: Final = 5.0
"""How often each worker counts the customers whose calls are held."""
_DAY_MS: Final = 24 * 3_600_000
SEAL_S: Final = 0.5
_SEAL_AGAIN_S: Final = 5.0
"""The pause after a failure, so that an unavailable database does not fill the log."""


class Application:
    """One worker: the open database, the API on it, and the background tasks.

    Args:
        master_key: The value of OPENPNS_MASTER_KEY; None for the key file.
        counters: Those of this worker.
        ids: None leases a worker id for Snowflake ids.
        wrap_store: Applied to the open database; tests use it to inject faults.
    """

    def __init__(
        self,
        settings: Settings,
        master_key: str | None,
        clock: Clock = now_ms,
        ids: IdSource | None = None,
        counters: Counters | None = None,
        wrap_store: Callable[[Store], Store] = lambda store: store,
    ) -> None:
        self._settings = settings
        self._master_key = master_key
        self._clock = clock
        self._fixed_ids = ids
        self._counters = counters or Counters()
        self._wrap_store = wrap_store
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._store: Store | None = None
        self._services: Services | None = None
        self._leased: Snowflake | None = None
        self._unsealed = audit_chain.Unsealed(0, None)
        self._held = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> Api:
        """Open the database and return the API.

        Raises:
            ConfigError: The database cannot be opened or is not migrated, or the master key is
                missing or wrong.
        """
        logs.configure(self._settings.log_format, self._settings.log_level)
        try:
            return await self._open()
        except BaseException:
            await self.stop()
            raise

    def storage_usage(self) -> StorageUsage:
        """Return what the open database does at the moment."""
        assert self._store is not None
        usage = self._store.usage()
        if self._services is None:
            return usage
        reads = self._services.large_reads
        return usage._replace(
            large_pages=usage.large_pages + reads.in_flight,
            large_pages_waiting=usage.large_pages_waiting + reads.waiting,
        )

    def database_gauges(self) -> tuple[int, ...]:
        """Return the gauges of the database, which its workers share; see `counters.GAUGES`."""
        assert self._store is not None
        entries, oldest_ms = self._unsealed
        # Of the system's clock, as the database's is; it goes on while entries cannot be sealed.
        age_s = 0 if oldest_ms is None else max(now_ms() - oldest_ms, 0) // 1000
        return (entries, age_s, *self._store.sizes(), self._held)

    async def stop(self) -> None:
        """Release the worker id and close the database."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:  # one that stores traces has them until it ends
            await asyncio.wait(tasks, timeout=self._settings.storage_timeout_ms / 1000)
        store, self._store = self._store, None
        if store is None:
            return
        if self._services is not None:
            await _record_key_uses(self._services)
            await _store_noted_traces(self._services)
        if self._leased is not None:
            try:
                await worker_ids.release(store, self._owner, self._leased)
            except WireError as error:  # the lease expires by itself
                logs.logger().warning("worker id not released", why=error.msg)
        await store.close()

    async def _open(self) -> Api:
        settings = self._settings
        store = self._store = await open_checked(settings)
        secret_box = await open_secret_box(store, settings.database, self._master_key)
        self._held = await operations.count_held(store)
        if self._held:
            logs.logger().warning(
                "calls are held since a restore; see openpns bindings confirm",
                customers=self._held,
            )
        services = Services(
            store=self._wrap_store(store),
            ids=self._fixed_ids or await self._lease(store),
            clock=self._clock,
            phones_in_group_max=settings.phones_in_group_max,
            bindings_per_customer_max=settings.bindings_per_customer_max,
            call_records_per_customer_max=settings.call_records_per_customer_max,
            deliveries_per_customer_max=settings.deliveries_per_customer_max,
            bindings_per_number_max=settings.bindings_per_number_max,
            seat_rest_s=settings.seat_rest_s,
            wrong_digits_max=settings.wrong_digits_max,
            wrong_digits_per_customer_max=settings.wrong_digits_per_customer_max,
            call_traces_per_customer_max=settings.call_traces_per_customer_max,
            count=self._counters.count_event,
            call_records_kept_days=settings.call_records_kept_days,
            phones_in_request_max=settings.phones_in_request_max,
            groups_per_customer_max=settings.groups_per_customer_max,
            phones_per_customer_max=settings.phones_per_customer_max,
            bytes_per_customer_max=settings.bytes_per_customer_max,
            body_bytes_max=settings.body_bytes_max,
            large_reads=make_large_reads(
                settings.waiting_per_customer_max, settings.storage_timeout_ms / 1000
            ),
            rates=RateLimits(
                settings.rate_per_s,
                settings.rate_burst,
                settings.workers,
                customer_per_s=settings.customer_rate_per_s,
                customer_burst=settings.customer_rate_burst,
            ),
            unbound_calls=PerSecond(settings.unbound_calls_per_number_per_s_max),
            webhook_time_zone=parse_utc_offset(settings.webhook_time_zone),
            deliveries_kept_days=settings.deliveries_kept_days,
        )
        self._services = services
        self._tasks.append(asyncio.create_task(_clean(services)))
        self._tasks.append(asyncio.create_task(_truncate_log(store)))
        self._tasks.append(asyncio.create_task(_watch_keys(services)))
        self._tasks.append(asyncio.create_task(_store_traces(services)))
        self._tasks.append(asyncio.create_task(self._seal(store)))
        self._tasks.append(asyncio.create_task(self._count_held(store)))
        request_log = RequestLog(
            self._counters,
            logs.logger(),
            settings.slow_request_ms,
            settings.log_lines_per_s_max,
            settings.log_lines_per_key_per_s_max,
        )
        return Api(
            services,
            secret_box,
            request_log,
            settings.requests_in_flight_max,
            settings.cache_bytes_max,
            TrustedProxies(Networks(settings.trusted_proxies or "")),
        )

    async def _lease(self, store: Store) -> Snowflake:
        self._leased = await worker_ids.take(store, self._clock, self._owner)
        # With the lease, no `post` migration can come that this version does not know; one may have
        # come since the first check.
        await connect.check_current(store, self._settings.database)
        self._tasks.append(asyncio.create_task(self._renew(store, self._leased)))
        return self._leased

    async def _renew(self, store: Store, ids: Snowflake) -> None:
        while True:
            await asyncio.sleep(worker_ids.RENEW_MS / 1000)
            try:
                await worker_ids.renew(store, self._clock, self._owner, ids)
            except WireError as error:  # the next attempt is well before the lease expires
                logs.logger().warning("worker id not renewed", why=error.msg)

    async def _seal(self, store: Store) -> None:
        """Seal audit entries periodically. Every worker runs this; there is no leader."""
        while True:
            await asyncio.sleep(SEAL_S)
            try:
                self._unsealed = await audit_chain.seal(store)
            except WireError as error:  # the next run repeats it
                logs.logger().warning("audit entries not sealed", why=error.msg)
                await asyncio.sleep(_SEAL_AGAIN_S)

    async def _count_held(self, store: Store) -> None:
        """Count the customers whose calls are held periodically, for the metrics."""
        while True:
            await asyncio.sleep(HELD_S)
            try:
                self._held = await operations.count_held(store)
            except WireError as error:  # the next run repeats it
                logs.logger().warning("held calls not counted", why=error.msg)


async def _clean(services: Services) -> None:
    """Delete expired rows periodically. Every worker runs this; there is no leader."""
    steady = SteadyTime(services.clock)
    while True:
        await asyncio.sleep(CLEAN_UP_S)
        now = steady.read()
        if now is None:
            continue
        steadily = replace(services, clock=partial(int, now))
        try:
            for clean_up in CLEAN_UPS:
                await clean_up(steadily)
        except WireError as error:  # the next run repeats it
            logs.logger().warning("expired rows not deleted", why=error.msg)


async def _truncate_log(store: Store) -> None:
    """Empty the log of changes periodically: it holds deleted rows. Every worker runs this."""
    while True:
        await asyncio.sleep(CLEAN_UP_S)
        try:
            await store.truncate_log()
        except WireError as error:
            logs.logger().warning("log of changes not truncated", why=error.msg)


async def _store_traces(services: Services) -> None:
    """Store the traces of calls periodically."""
    while True:
        await asyncio.sleep(traces.STORE_S)
        await _store_noted_traces(services)


async def _store_noted_traces(services: Services) -> None:
    try:
        await traces.store(services)
    except WireError as error:  # the next run repeats it
        logs.logger().warning("traces of calls not stored", why=error.msg)


async def _watch_keys(services: Services) -> None:
    """Store when access keys were used; warn of keys that expire soon, once a day."""
    warned_ms: float = -math.inf
    while True:
        now_ms = services.clock()
        if now_ms - warned_ms >= _DAY_MS:
            warned_ms = now_ms
            await _warn_of_expiring_keys(services.store, now_ms)
        await asyncio.sleep(key_uses.RECORD_S)
        await _record_key_uses(services)


async def _warn_of_expiring_keys(store: Store, now_ms: int) -> None:
    try:
        for key in await key_uses.list_expiring(store, now_ms):
            logs.logger().warning(
                "access key expires soon",
                access_key=key.access_key,
                customer_id=key.customer_id,
                days=(key.expires_ms - now_ms) // _DAY_MS,
            )
    except WireError as error:  # the next day repeats it
        logs.logger().warning("access keys not checked for their end", why=error.msg)


async def _record_key_uses(services: Services) -> None:
    try:
        await key_uses.record(services)
    except WireError as error:  # the next run repeats it
        logs.logger().warning("last use of access keys not stored", why=error.msg)


async def open_checked(settings: Settings) -> Store:
    """Open the database and make sure that its migrations are current.

    Raises:
        ConfigError: It cannot be opened, or its migrations are not current.
    """
    store = await connect.open_store(
        settings.database,
        timeout_ms=settings.storage_timeout_ms,
        connections_max=settings.postgres_connections_max,
        cached_rows_max=settings.cache_bytes_max // CACHED_KEY_BYTES,
        bounds=StorageBounds(
            searches_max=settings.searches_max,
            searches_per_customer_max=settings.searches_per_customer_max,
            large_pages_max=settings.large_pages_max,
            large_pages_per_customer_max=settings.large_pages_per_customer_max,
            waiting_per_customer_max=settings.waiting_per_customer_max,
        ),
    )
    try:
        await connect.check_current(store, settings.database)
    except BaseException:
        await store.close()
        raise
    return store
