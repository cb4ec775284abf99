"""One side of a copy in PostgreSQL; see `openpns.storage.copying`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import asyncpg

from openpns import limits
from openpns.clock import now_ms as read_clock
from openpns.errors import ConfigError, ServiceUnavailable
from openpns.storage.copying import (
    HOLD,
    LEASES,
    LOG_TABLE,
    MARK_NUMBER,
    PROGRESS_TABLE,
    STATE_TABLE,
    STEPS,
    TABLES,
    Change,
    Done,
    State,
    refuse_leases,
    source_state,
)
from openpns.storage.postgres import capture
from openpns.storage.postgres.copy_rows import CopyRows
from openpns.storage.postgres.errors import DRIVER
from openpns.storage.postgres.hosts import Hosts
from openpns.storage.postgres.reasons import CONNECTING, cannot_connect

_LOCK: Final = 0x636F7079
"""The advisory lock of a copy: "copy" in ASCII."""

_LOCK_TIMEOUT: Final = "2s"
"""How long to wait for a table; meanwhile its writers wait behind this."""
_FREEZE_IDLE_MAX: Final = "70s"
"""Ends a freeze whose command is gone, but whose connection is not; longer than any window."""
_FREEZE_ATTEMPTS: Final = 30
_PAUSE_S: Final = 0.5
_PLACES_EACH: Final = 10_000

_MARK: Final = (
    "INSERT INTO schema_migration (number, step, file, checksum, applied_ms) "
    "VALUES ($1, $2, '', $3, $4)"
)
_UNMARK: Final = f"DELETE FROM schema_migration WHERE number = {MARK_NUMBER}"
_NAMES: Final = [table.name for table in TABLES]
_TRIGGERED: Final = """
SELECT DISTINCT CAST(tgrelid::regclass AS text) FROM pg_trigger
WHERE tgrelid = ANY (CAST($1 AS regclass[])) AND NOT tgisinternal ORDER BY 1
"""
_HAS_CITUS: Final = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
_ORIGIN: Final = """
SELECT concat_ws(
    ':', s.system_identifier, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), d.oid
)
FROM pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database()
"""
"""The timeline is that of the log: the control file has the old one until a checkpoint ends."""
_SEQUENCE: Final = "pg_get_serial_sequence('{}', '{}')"


class PostgresEndpoint(CopyRows):
    """A PostgreSQL database that is copied from or to; see `openpns.storage.copying.Endpoint`."""

    @classmethod
    async def open(cls, url: str, option: str) -> "PostgresEndpoint":
        """Connect to the primary of a URL."""
        timeout_s = limits.STORAGE_TIMEOUT_MS / 1000
        try:
            connection = await Hosts(url).connect(None, timeout=timeout_s)
        except CONNECTING as error:
            raise cannot_connect(error) from None
        if connection.is_pooled:
            await connection.close()
            raise ConfigError(
                f"{option}: is a pooler; a copy needs a session: give the URL of PostgreSQL itself"
            )
        return cls(connection, option)

    async def state(self) -> State:  # noqa: D102
        with self._explained():
            mark = await self._db.fetchrow(
                f"SELECT step, checksum FROM schema_migration WHERE number = {MARK_NUMBER}"
            )
            if mark is not None and mark[0] == "copying":
                origin, rounds = await self._db.fetchrow(
                    f"SELECT last_key, digest FROM {PROGRESS_TABLE} WHERE table_name = ''"
                )
                return State("copying", mark[1], origin, rounds.split())
            found = None
            if await self._db.fetchval("SELECT to_regclass($1)", STATE_TABLE) is not None:
                found = await self._db.fetchrow(f"SELECT copy_id, origin, round FROM {STATE_TABLE}")
            return source_state(mark, found)

    async def origin(self) -> str:  # noqa: D102
        with self._explained():
            return cast("str", await self._db.fetchval(_ORIGIN))

    async def lock(self) -> None:  # noqa: D102
        with self._explained():
            if not await self._db.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                raise ConfigError(
                    f"{self._option}: another copy is running; wait for its end"
                ) from None

    async def steps(self) -> AbstractSet[tuple[int, str]]:  # noqa: D102
        with self._explained():
            return {(number, step) for number, step in await self._db.fetch(STEPS)}

    async def record_id(self) -> int:  # noqa: D102
        with self._explained():
            name = _SEQUENCE.format("call_record", "record_id")
            sequence = await self._db.fetchval(f"SELECT {name}")
            last, is_called = await self._db.fetchrow(
                f"SELECT last_value, is_called FROM {sequence}"
            )
        return int(last) if is_called else int(last) - 1

    async def capture(self, copy_id: str) -> None:  # noqa: D102
        origin = await self.origin()
        if await self._db.fetchval(_HAS_CITUS):
            raise ConfigError(
                f"{self._option}: Citus has no triggers that could note changes; stop every server "
                "and add --stopped"
            )
        async with self.freeze():
            with self._explained():
                schema = await self._as_owner()
                await self._db.execute(_together(capture.install_sql(schema)))
                await self._db.execute(
                    f"INSERT INTO {STATE_TABLE} VALUES (1, $1, $2, $1)",
                    copy_id,
                    origin,
                )

    async def _as_owner(self) -> str:
        """Act as the owner of the tables; return their schema."""
        schema, owner = await self._db.fetchrow(
            "SELECT quote_ident(n.nspname), quote_ident(pg_get_userbyid(c.relowner)) "
            "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE c.oid = 'customer'::regclass"
        )
        await self._db.execute(f"SET LOCAL ROLE {owner}")
        return cast("str", schema)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:  # noqa: D102
        with self._explained():
            async with self._db.transaction(isolation="repeatable_read", readonly=True):
                yield

    @asynccontextmanager
    async def freeze(self) -> AsyncIterator[None]:  # noqa: D102
        transaction = self._db.transaction()
        for number in range(_FREEZE_ATTEMPTS):
            if number:
                await asyncio.sleep(_PAUSE_S)
            with self._explained():
                transaction = self._db.transaction()
                await transaction.start()
                if await self._lock_tables():
                    break
                await self._rollback(transaction)
        else:
            raise ServiceUnavailable(
                f"{self._option}: a table is in use by a long transaction, such as pg_dump or an "
                "import; run the command again after its end"
            )
        try:
            yield
            with self._explained():
                await transaction.commit()
        except BaseException:
            await self._rollback(transaction)
            raise

    async def _rollback(self, transaction: Any) -> None:
        """Roll back; a server that does not answer in time does so when the connection is lost."""
        try:
            async with asyncio.timeout(limits.STORAGE_TIMEOUT_MS / 1000):
                await transaction.rollback()
        except DRIVER:
            self._db.terminate()

    async def _lock_tables(self) -> bool:
        """Wait for all writes, and let no other one begin; return whether that worked in time.

        Rows must not be locked either: a write that has locked one and waits for a table would wait
        for this transaction, which changes rows.
        """
        await self._db.execute(
            f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'; "
            f"SET LOCAL idle_in_transaction_session_timeout = '{_FREEZE_IDLE_MAX}'"
        )
        try:
            await self._db.execute(f"LOCK TABLE {', '.join(_NAMES)} IN EXCLUSIVE MODE")
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            return False
        return True

    async def changes(self, after: int, at_most: int) -> Sequence[Change]:  # noqa: D102
        with self._explained():
            rows = await self._db.fetch(
                f"SELECT place, table_name, key FROM {LOG_TABLE} WHERE place > $1 "
                "ORDER BY place LIMIT $2",
                after,
                at_most,
            )
        return [Change(place, table, tuple(json.loads(key))) for place, table, key in rows]

    async def enter_round(self, name: str) -> None:  # noqa: D102
        async with self._reading:
            with self._explained():
                await self._db.execute(f"UPDATE {STATE_TABLE} SET round = $1", name)

    async def forget(self, places: Sequence[int]) -> None:  # noqa: D102
        # Not all up to the last one: a place is drawn before its row is committed.
        sql = f"DELETE FROM {LOG_TABLE} WHERE place = ANY (CAST($1 AS bigint[]))"
        with self._explained():
            for at in range(0, len(places), _PLACES_EACH):
                await self._db.execute(sql, list(places[at : at + _PLACES_EACH]))

    async def move(self, copy_id: str, now_ms: int) -> None:  # noqa: D102
        with self._explained():
            await self._db.execute(HOLD.format("$1"), now_ms)
            await self._db.execute(_MARK, MARK_NUMBER, "moved", copy_id, now_ms)
            await self._as_owner()
            await self._db.execute(_together(capture.refuse_sql()))

    async def stop(self, copy_id: str, now_ms: int) -> None:  # noqa: D102
        with self._explained():
            has_citus = await self._db.fetchval(_HAS_CITUS)
        if has_citus:  # it has no triggers that could refuse writes
            async with self.transaction():
                await self._db.execute("LOCK TABLE worker_lease IN SHARE ROW EXCLUSIVE MODE")
                await self._mark_stopped(copy_id, now_ms)
            return
        async with self.freeze():
            with self._explained():
                await self._mark_stopped(copy_id, now_ms)
                await self._as_owner()
                await self._db.execute(_together(capture.refuse_sql()))

    async def _mark_stopped(self, copy_id: str, now_ms: int) -> None:
        count, end_ms = await self._db.fetchrow(LEASES.format(now_ms))
        refuse_leases(self._option, count, end_ms, now_ms)
        await self._db.execute(_MARK, MARK_NUMBER, "moved", copy_id, now_ms)

    async def cancel(self) -> None:  # noqa: D102
        is_moved = (await self.state()).role == "moved"
        async with self.freeze():
            with self._explained():
                for trigger, table in await self._db.fetch(capture.FIND_TRIGGERS, _NAMES):
                    await self._db.execute(f'DROP TRIGGER "{trigger}" ON {table}')
                await self._db.execute(_together(capture.remove_sql()))
                await self._db.execute(_UNMARK)
                if is_moved:
                    await self._db.execute(HOLD.format("$1"), read_clock())

    async def begin(self, copy_id: str) -> None:  # noqa: D102
        origin = await self.origin()
        with self._explained():
            async with self._db.transaction():
                await self._db.execute(
                    f"CREATE TABLE {PROGRESS_TABLE} (table_name text NOT NULL PRIMARY KEY, "
                    "last_key text, is_complete bigint NOT NULL, row_count bigint NOT NULL, "
                    "digest text NOT NULL)"
                )
                await self._db.execute(
                    f"INSERT INTO {PROGRESS_TABLE} VALUES ('', $1, 0, 0, $2)",
                    origin,
                    copy_id,
                )
                await self._db.execute(_MARK, MARK_NUMBER, "copying", copy_id, read_clock())
                await self._set_triggers("DISABLE")

    async def _set_triggers(self, verb: str) -> None:
        """Disable or enable the triggers of a target, which add and refuse rows of the trail."""
        if await self._db.fetchval(_HAS_CITUS):
            await self._db.execute("SET LOCAL citus.enable_unsafe_triggers = on")
        for (table,) in await self._db.fetch(_TRIGGERED, _NAMES):
            await self._db.execute(f"ALTER TABLE {table} {verb} TRIGGER USER")

    async def save_rounds(self, names: Sequence[str]) -> None:  # noqa: D102
        sql = f"UPDATE {PROGRESS_TABLE} SET digest = $1 WHERE table_name = ''"
        with self._explained():
            await self._db.execute(sql, " ".join(names))

    async def progress(self) -> Mapping[str, Done]:  # noqa: D102
        with self._explained():
            rows = await self._db.fetch(f"SELECT * FROM {PROGRESS_TABLE} WHERE table_name <> ''")
        return {
            table: Done(
                None if key is None else tuple(json.loads(key)), bool(complete), count, int(total)
            )
            for table, key, complete, count, total in rows
        }

    async def save(self, table: str, done: Done) -> None:  # noqa: D102
        with self._explained():
            await self._db.execute(
                f"INSERT INTO {PROGRESS_TABLE} VALUES ($1, $2, $3, $4, $5) "
                "ON CONFLICT (table_name) DO UPDATE SET last_key = excluded.last_key, "
                "is_complete = excluded.is_complete, row_count = excluded.row_count, "
                "digest = excluded.digest",
                table,
                None if done.last_key is None else json.dumps(done.last_key),
                int(done.is_complete),
                done.rows,
                str(done.digest),
            )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:  # noqa: D102
        transaction = self._db.transaction()
        try:
            with self._explained():
                await transaction.start()
                yield
                await transaction.commit()
        except asyncio.CancelledError:
            # A server that has stopped answering would not answer a rollback either, and the
            # source may be frozen meanwhile.
            self._db.terminate()
            raise
        except BaseException:
            await self._rollback(transaction)
            raise

    async def tidy(self) -> None:  # noqa: D102
        with self._explained():
            await self._db.execute(f"ANALYZE {', '.join(_NAMES)}")

    async def finish(self, record_id: int) -> None:  # noqa: D102
        with self._explained():
            async with self._db.transaction():
                await self._set_triggers("ENABLE")
                places = await self._db.fetchval("SELECT max(place) FROM audit_unsealed") or 0
                for table, column, last in (
                    ("call_record", "record_id", record_id),
                    ("audit_unsealed", "place", places),
                ):
                    await self._db.execute(
                        f"SELECT setval({_SEQUENCE.format(table, column)}, "
                        f"{max(last, 1)}, {last > 0})"
                    )
                await self._db.execute(f"DROP TABLE {PROGRESS_TABLE}")
                await self._db.execute(_UNMARK)

    async def close(self) -> None:  # noqa: D102
        if self._db.is_closed():
            return
        if self._db.is_in_transaction():
            self._db.terminate()
        else:
            with contextlib.suppress(*DRIVER):
                await self._db.close(timeout=_PAUSE_S)


def _together(statements: Iterable[str]) -> str:
    """Return statements as one text: writers wait for a round trip, not for one of each."""
    return ";\n".join(statements)
