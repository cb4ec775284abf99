"""PostgreSQL through asyncpg: prepared statements on a pool of connections."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, cast

from openpns.errors import ConfigError, InternalError, OutcomeUnknown
from openpns.storage.bounds import StorageBounds, StorageSizes, StorageUsage
from openpns.storage.migrations import Applied, Migration
from openpns.storage.postgres import distribution, migrate, schema, unlocked
from openpns.storage.postgres.connections import Connections, PooledConnection
from openpns.storage.postgres.errors import (
    AGAIN,
    DRIVER,
    LOST,
    UNKNOWN_AT_COMMIT,
    is_lost,
    to_wire_error,
)
from openpns.storage.postgres.owned_reads import OwnedReads
from openpns.storage.postgres.pool import open_pool
from openpns.storage.postgres.read_batcher import ReadBatcher
from openpns.storage.postgres.read_coalescer import ReadCoalescer
from openpns.storage.postgres.reasons import without_values
from openpns.storage.postgres.runner import Runner, SeparateRunner, arguments_of
from openpns.storage.postgres.write_batcher import (
    BatchFailed,
    Outcome,
    PendingWrite,
    WriteBatcher,
    run_lockstep,
)
from openpns.storage.schema import Differences
from openpns.storage.statements import NamedStatement, load_statements
from openpns.storage.store import (
    BatchKey,
    Guard,
    NamedRow,
    Params,
    ResultT,
    Row,
    Transaction,
)

_WRITE_ATTEMPTS: Final = 3
_READ_ATTEMPTS: Final = 2


class PostgresStore:
    """A store in a PostgreSQL database; see `openpns.storage.store.Store`."""

    def __init__(
        self, connections: Connections, timeout_ms: int, *, is_distributed: bool = False
    ) -> None:
        self._connections = connections
        self._pool = connections.pool
        self._timeout_s = timeout_ms / 1000
        self._reads = ReadBatcher(self._read_together, connections.reads)
        self._batcher = WriteBatcher(self._write_together, self._write_alone)
        self._prepare(is_distributed=is_distributed)

    def _prepare(self, *, is_distributed: bool) -> None:
        """Choose the statements, and how they are run."""
        self.is_distributed = is_distributed
        engine: Final = "citus" if is_distributed else "postgres"
        self._statements = unlocked.with_statements(load_statements(engine))
        self._runner = (SeparateRunner if is_distributed else Runner)(self._statements)
        self._coalescers: dict[str, ReadCoalescer] = {}

    @classmethod
    async def open(
        cls, url: str, timeout_ms: int, connections_max: int, bounds: StorageBounds
    ) -> "PostgresStore":
        """Connect to a database; several hosts in the URL are separated by commas.

        A statement, or the wait for a connection, may take `timeout_ms`.

        Raises:
            DatabaseUnavailable: The database cannot be reached, or it is a standby.
            ConfigError: It refuses what the URL says. No text repeats the URL.
        """
        timeout_s = timeout_ms / 1000
        pool, is_distributed = await open_pool(url, timeout_s, connections_max)
        connections = Connections(pool, connections_max, timeout_s, bounds, DRIVER)
        return cls(connections, timeout_ms, is_distributed=is_distributed)

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:  # noqa: D102
        statement = self._statements[name]
        if statement.batch_owner is not None:
            return await self._reads.fetch(name, params[statement.batch_owner], params)
        if statement.search_owner is None:
            connection = partial(self._connections.for_work, str(params.get("customer_id") or ""))
        else:
            connection = partial(self._connections.for_search, params[statement.search_owner])
        return await self._fetch(statement, params, connection)

    async def _read_together(
        self, name: str, customer_id: str, all_params: Sequence[Params]
    ) -> Sequence[Sequence[Row]]:
        statement = self._statements[name]
        connect = partial(self._connections.for_work, customer_id)
        if len(all_params) == 1 or self.is_distributed:
            reads = (self._fetch(statement, params, connect) for params in all_params)
            return await asyncio.gather(*reads)

        async def read() -> Sequence[Sequence[Row]]:
            async with connect() as connection:
                return await self._runner.fetch_each(connection, name, all_params)

        return await self._attempt(read, _READ_ATTEMPTS)

    async def _fetch(
        self,
        statement: NamedStatement,
        params: Params,
        connect: Callable[[], PooledConnection],
    ) -> Sequence[Row]:
        arguments = arguments_of(statement, params)

        async def read() -> Sequence[Row]:
            async with connect() as connection:
                return cast("Sequence[Row]", await connection.fetch(statement.sql, *arguments))

        return await self._attempt(read, _READ_ATTEMPTS)

    async def get_cached(  # noqa: D102
        self,
        name: str,
        value: str,
        since_s: float,  # noqa: ARG002 - it is never older than the call
    ) -> NamedRow | None:
        coalescer = self._coalescers.get(name)
        if coalescer is None:
            statement = self._statements[name]
            key = statement.cache_key
            assert key is not None
            coalescer = ReadCoalescer(self._reader_of(statement, key), key)
            self._coalescers[name] = coalescer
        return await coalescer.find(value)

    def _reader_of(
        self, statement: NamedStatement, key: str
    ) -> Callable[[list[str]], Awaitable[Sequence[Any]]]:
        async def read(one: NamedStatement, params: Params) -> Sequence[Row]:
            return await self._fetch(one, params, self._connections.for_key)

        if statement.owner_of is None:
            return lambda values: read(statement, {key: values})
        return OwnedReads(read, statement, self._statements[statement.owner_of], key).read

    async def stream(  # noqa: D102
        self, name: str, params: Params, rows_each: int
    ) -> AsyncGenerator[Sequence[Row], None]:
        statement = self._statements[name]
        owner = str(params.get("customer_id") or "")
        is_search = statement.search_owner is not None
        pooled = self._connections.for_large_page(owner, is_search=is_search)
        try:
            async with (
                pooled as connection,
                connection.snapshot(),
            ):
                if self.is_distributed:
                    await distribution.read_one_snapshot(connection)
                arguments = arguments_of(statement, params)
                if connection.is_pooled:  # a cursor's own statement would have a name
                    cursor = await (await connection.prepare(statement.sql)).cursor(*arguments)
                else:
                    cursor = await connection.cursor(statement.sql, *arguments)
                rows = await cursor.fetch(rows_each)
                # The rest is read as slowly as its client takes it; other searches go on.
                self._connections.end_search(pooled)
                while rows:
                    yield rows
                    rows = await cursor.fetch(rows_each)
        except DRIVER as error:
            raise to_wire_error(error) from error

    async def read(  # noqa: D102
        self, steps: Callable[[], Transaction[ResultT]], *, customer_id: str = ""
    ) -> ResultT:
        async def attempt() -> ResultT:
            async with (
                self._connections.for_work(customer_id) as connection,
                connection.snapshot(),
            ):
                return await self._run_steps(connection, unlocked.steps(steps(), self._statements))

        return await self._attempt(attempt, _READ_ATTEMPTS)

    async def write(  # noqa: D102
        self,
        steps: Callable[[], Transaction[ResultT]],
        *,
        customer_id: str = "",
        batch_key: BatchKey | None = None,
    ) -> ResultT:
        self._connections.writes.enter(customer_id)
        try:
            if batch_key is not None:
                return cast("ResultT", await self._batcher.run(batch_key, steps, customer_id))
            return await self._write_alone(steps, customer_id)
        finally:
            self._connections.writes.leave(customer_id)

    async def applied_migrations(self) -> list[Applied]:  # noqa: D102
        async def read() -> list[Applied]:
            async with self._connections.for_work() as connection:
                return await migrate.read_applied(connection)

        return await self._attempt(read, _READ_ATTEMPTS)

    async def find_schema_differences(  # noqa: D102
        self, known: Sequence[Migration]
    ) -> Differences:
        async def compare() -> Differences:
            async with self._connections.for_work() as connection:
                return await schema.find_differences(connection, known)

        return await self._attempt(compare, _READ_ATTEMPTS)

    async def migrate(  # noqa: D102
        self,
        known: Sequence[Migration],
        *,
        with_post: bool = False,
        guard: Guard | None = None,
    ) -> list[Migration]:
        async def attempt() -> list[Migration]:
            async with self._connections.for_work() as connection, connection.transaction():

                async def check(missing: Sequence[Migration]) -> None:
                    if guard is not None:
                        await self._run_steps(connection, guard(missing))

                has_shards = await distribution.prepare(connection, distribute=False)
                done = await migrate.migrate(connection, known, check, with_post=with_post)
                if has_shards:
                    await distribution.place_tables(connection)
                return done

        return await self._change_schema(partial(migrate.repeat, attempt))

    async def check_distribution(self) -> None:
        """See `connect.check_distribution`."""

        async def check() -> None:
            async with self._connections.for_work() as connection, connection.transaction():
                await distribution.prepare(connection, distribute=True)

        await self._change_schema(check)

    async def distribute(self, guard: Guard | None) -> bool:
        """See `connect.distribute`."""

        async def attempt() -> bool:
            async with self._connections.for_work() as connection, connection.transaction():
                await distribution.prepare(connection, distribute=True)
                if await distribution.is_placed(connection):
                    return False
                if guard is not None:
                    await self._run_steps(connection, guard(()))
                await distribution.place_tables(connection)
                return True

        done = await self._change_schema(attempt)
        if done:
            await self._pool.expire_connections()  # their plans are those of local tables
            self._prepare(is_distributed=True)
        return done

    async def can_distribute(self) -> bool:
        """See `connect.can_distribute`."""

        async def look() -> bool:
            async with self._connections.for_work() as connection:
                return await distribution.has_extension(connection)

        return not self.is_distributed and await self._attempt(look, _READ_ATTEMPTS)

    async def _change_schema(self, change: Callable[[], Awaitable[ResultT]]) -> ResultT:
        try:
            return await change()
        except DRIVER as error:
            answer = to_wire_error(error)
            if isinstance(answer, InternalError):
                raise ConfigError(f"database: cannot migrate: {without_values(error)}") from error
            raise answer from error

    async def truncate_log(self) -> bool:  # noqa: D102
        return True

    def usage(self) -> StorageUsage:  # noqa: D102
        return self._connections.usage()

    def sizes(self) -> StorageSizes:  # noqa: D102
        return StorageSizes()

    async def close(self) -> None:  # noqa: D102
        try:
            await asyncio.wait_for(self._pool.close(), self._timeout_s)
        except TimeoutError:
            self._pool.terminate()

    async def _attempt(self, work: Callable[[], Awaitable[ResultT]], attempts_max: int) -> ResultT:
        """Run work that leaves nothing behind if it fails; try again if that may help."""
        attempt = 1
        while True:
            try:
                return await work()
            except DRIVER as error:
                lost = is_lost(error)
                if attempt == attempts_max or not (lost or isinstance(error, AGAIN)):
                    raise to_wire_error(error) from error
                if lost:
                    # If one connection is lost, those in the pool most likely are, too.
                    await self._pool.expire_connections()
            attempt += 1

    async def _write_alone(
        self, steps: Callable[[], Transaction[ResultT]], customer_id: str
    ) -> ResultT:
        return await self._attempt(
            lambda: self._write_once(
                lambda connection: self._run_steps(connection, steps()), customer_id
            ),
            _WRITE_ATTEMPTS,
        )

    async def _write_together(self, writes: Sequence[PendingWrite]) -> list[Outcome]:
        try:
            return await self._attempt(
                lambda: self._write_once(
                    lambda connection: run_lockstep(
                        writes, partial(self._runner.run_wave, connection)
                    ),
                    writes[0].customer_id,
                ),
                _WRITE_ATTEMPTS,
            )
        except InternalError as error:  # the database refuses one of them
            raise BatchFailed(range(len(writes))) from error

    async def _write_once(
        self, work: Callable[[Any], Awaitable[ResultT]], customer_id: str
    ) -> ResultT:
        async with self._connections.for_work(customer_id) as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                result = await work(connection)
            except BaseException:
                await _roll_back(transaction)
                raise
            try:
                await transaction.commit()
            except (*LOST, *UNKNOWN_AT_COMMIT) as error:
                raise OutcomeUnknown(
                    "the storage was lost during the commit; the change was written completely "
                    "or not at all: read, or send it again with its clientToken"
                ) from error
            return result

    async def _run_steps(self, connection: Any, steps: Transaction[ResultT]) -> ResultT:
        try:
            step = next(steps)
            while True:
                step = steps.send(await self._runner.run_step(connection, step))
        except StopIteration as stop:
            return cast("ResultT", stop.value)


async def _roll_back(transaction: Any) -> None:
    try:
        await transaction.rollback()
    except DRIVER:
        return  # the connection is lost, and the transaction with it
