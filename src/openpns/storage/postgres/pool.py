"""Open a pool of connections, and see what is at their other end."""

from typing import Any

import asyncpg

from openpns.storage.postgres import distribution
from openpns.storage.postgres.growth import Growth
from openpns.storage.postgres.hosts import Hosts
from openpns.storage.postgres.reasons import CONNECTING, cannot_connect


async def open_pool(url: str, timeout_s: float, connections_max: int) -> tuple[Any, bool]:
    """Return a pool of asyncpg, and whether the tables are distributed over nodes of Citus.

    A statement, or the wait for a connection, may take `timeout_s`.

    Raises:
        DatabaseUnavailable: The database cannot be reached, or it is a standby.
        ConfigError: It refuses what the URL says. No text repeats the URL.
    """
    try:
        pool = await asyncpg.create_pool(
            connect=Hosts(url).connect,
            min_size=1,
            max_size=connections_max,
            timeout=timeout_s,
            command_timeout=timeout_s,
            setup=Growth().refresh,
            reset=_keep,
        )
        try:
            async with pool.acquire() as connection:
                return pool, await distribution.is_distributed(connection)
        except BaseException:
            pool.terminate()
            raise
    except (*CONNECTING, asyncpg.InterfaceError) as error:
        raise cannot_connect(error) from None


async def _keep(_: Any) -> None:
    """Release a connection as it is.

    No statement of openpns leaves session state, and the driver's own reset would cost each read
    a second round trip.
    """
