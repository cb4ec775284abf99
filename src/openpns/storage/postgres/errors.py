"""The API error for each failure of PostgreSQL."""

from typing import Final

import asyncpg

from openpns.errors import InternalError, ReadFailed, ServiceUnavailable, WireError
from openpns.storage.postgres.reasons import explain

LOST: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    # Raised if the server has announced its end, but the connection is still open.
    asyncpg.InternalClientError,
)
UNAVAILABLE: Final = (
    *LOST,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TransactionRollbackError,
)
_DAMAGED: Final = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError)
AGAIN: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
UNKNOWN_AT_COMMIT: Final = (
    # The coordinator of Citus has sent COMMIT to a node and does not know whether it was done.
    asyncpg.InternalServerError,
    asyncpg.OperatorInterventionError,
    asyncpg.StatementCompletionUnknownError,
)

DRIVER: Final = (*LOST, asyncpg.PostgresError)
"""Whatever the driver raises."""


def is_lost(error: Exception) -> bool:
    """Return whether the connection is lost, so that another one may help."""
    # To Python a TimeoutError is an OSError, but a second attempt does not help a slow server.
    return isinstance(error, LOST) and not isinstance(error, TimeoutError)


def to_wire_error(error: Exception) -> WireError:
    """Return the error of the API for one of the driver; raise it from that one."""
    if isinstance(error, UNAVAILABLE):
        if not hasattr(error, "__notes__"):  # `Hosts` has noted more
            error.add_note(explain(error))
        return ServiceUnavailable("the storage is away, full or busy; nothing was written")
    if isinstance(error, _DAMAGED):
        return ReadFailed("the storage is damaged")
    return InternalError()
