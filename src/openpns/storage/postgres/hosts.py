"""Connect to the primary, whichever host of a PostgreSQL URL that is."""

import asyncio
import contextlib
import warnings
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg

from openpns.storage.postgres.growth import Levels
from openpns.storage.postgres.reasons import CONNECTING, explain
from openpns.storage.postgres.url import Host, Target, read_url

_SETTINGS: Final = {
    # Every statement is short: compiling it, or planning it for each set of parameters (see below),
    # would take longer than running it.
    "jit": "off",
    # A plan that is made while a table is empty must fit the full table.
    "enable_seqscan": "off",
}
# A password file that others can read is ignored; `explain` says so if that is why it fails.
warnings.filterwarnings("ignore", "password file", module="asyncpg")

_POOLED, _STANDBY, _READ_ONLY = 1, 2, 4
_SET: Final = ", ".join(
    f"set_config('{name}', '{value}', false)" for name, value in _SETTINGS.items()
)
_OF_CITUS: Final = """
CASE WHEN EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')
    THEN set_config('plan_cache_mode', 'auto', false)
        || set_config('citus.override_table_visibility', 'off', false)
    ELSE set_config('plan_cache_mode', 'force_generic_plan', false) END
"""
"""Citus needs the values to find the node; without them it refuses most statements.

It hides shards from the catalog by a look at each table, so that the driver's look at a type takes
seconds.
"""

_PROBE: Final = f"""
SELECT {_SET}, {_OF_CITUS} WHERE pg_backend_pid() = {{pid}};
SELECT FROM generate_series(1, CAST(pg_backend_pid() <> {{pid}} AS integer) * {_POOLED}
    + CAST(pg_is_in_recovery() AS integer) * {_STANDBY}
    + CAST(current_setting('transaction_read_only') = 'on' AS integer) * {_READ_ONLY})
"""  # noqa: S608 - a number
"""Sets what a direct connection needs; the count of rows says what the connection is.

It needs no prepared statement, and the settings are not sent as PostgreSQL's startup parameters,
because a pooler may know neither.
"""


class Connection(asyncpg.Connection):  # type: ignore[misc]  # the driver has no types
    """A connection that knows whether a pooler, such as PgBouncer, is in between.

    Then each transaction, and each statement outside of one, may run in another session: there are
    no prepared statements with a name and no settings.
    """

    is_pooled = False
    planned_for: Levels | None = None
    """The sizes of the tables that its plans fit; None if there are no plans yet."""

    def plan_for(self, levels: Levels) -> None:
        """Note the sizes of the tables for which it plans from now on."""
        self.planned_for = levels

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """Read one snapshot in a block."""
        transaction = self.transaction(isolation="repeatable_read", readonly=True)
        try:
            await transaction.start()
        except asyncpg.ActiveSQLTransactionError:
            # Citus has read its catalog to begin the first transaction of a session.
            transaction = self.transaction(isolation="repeatable_read", readonly=True)
            await transaction.start()
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
                await transaction.rollback()
            raise
        await transaction.commit()

    async def probe(self) -> int:
        """Set what a direct connection needs, and return what the connection is."""
        status = await self.execute(_PROBE.format(pid=self.get_server_pid()))
        return int(status.split()[1])


class Hosts:
    """The hosts of a URL, the last known primary first.

    A standby is never used, not even for reads, because it may lag behind.

    Args:
        url: See `read_url`.

    Raises:
        ConfigError: It is no such URL.
    """

    def __init__(self, url: str) -> None:
        self._target: Target = read_url(url)
        self._hosts = [*self._target.hosts]
        self._pooled: set[Host] = set()

    async def connect(self, _: object, *, timeout: float, **options: Any) -> Any:  # noqa: ASYNC109
        """Connect to the primary; the pool calls this for each connection that it opens.

        Args:
            timeout: How long it may take in all, in seconds. The hosts share it, so that one that
                does not answer leaves time for those after it; the driver's own search does not.

        Raises:
            OSError: No host can be reached.
            asyncpg.PostgresError: A server refuses.
            asyncpg.TargetServerAttributeNotMatched: None of them is the primary.
        """
        each_s = timeout / len(self._hosts)
        if self._target.connect_timeout_s is not None:
            each_s = min(each_s, self._target.connect_timeout_s)
        failures: list[Exception] = []
        for host in tuple(self._hosts):
            try:
                async with asyncio.timeout(each_s):
                    made = await self._connect_to(host, options)
            except CONNECTING as error:
                failures.append(error)
            else:
                self._hosts.sort(key=lambda other: other != host)
                return made
        for host, failure in zip(self._hosts, failures, strict=True):
            failures[-1].add_note(f"{host}: {explain(failure)}")
        raise failures[-1]

    async def _connect_to(self, host: Host, options: dict[str, Any]) -> Connection:
        """Connect to a host; a second time if it has a pooler, or none any more."""
        while True:
            expected = host in self._pooled
            changes: dict[str, Any] = {"connection_class": Connection}
            if expected:
                changes["statement_cache_size"] = 0
            made: Connection = await asyncpg.connect(
                self._target.dsn,
                host=host.name,
                port=host.port,
                target_session_attrs="any",
                server_settings=dict(self._target.server_settings),
                **(options | changes),
            )
            try:
                state = await made.probe()
                if state & (_STANDBY | _READ_ONLY * self._target.is_read_write):
                    raise asyncpg.TargetServerAttributeNotMatched("it is not the primary")
            except BaseException:
                made.terminate()
                raise
            made.is_pooled = bool(state & _POOLED)
            if made.is_pooled == expected:
                return made
            (self._pooled.add if made.is_pooled else self._pooled.discard)(host)
            await made.close()
