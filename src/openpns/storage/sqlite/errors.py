"""The API error for each failure of SQLite."""

from typing import Final

import apsw

from openpns.errors import InternalError, ReadFailed, ServiceUnavailable

_UNAVAILABLE: Final = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.PermissionsError,
    apsw.NoMemError,
    apsw.ProtocolError,
    apsw.ConnectionClosedError,
)
_DAMAGED: Final = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)


def to_wire_error(error: Exception) -> Exception:
    """Return the error of the API for one of SQLite, with it as the cause."""
    answer: Exception
    if isinstance(error, _UNAVAILABLE):
        answer = ServiceUnavailable("the storage is away, full or busy; nothing was written")
    elif isinstance(error, _DAMAGED):
        answer = ReadFailed("the storage is damaged")
    else:
        answer = InternalError()
    answer.__cause__ = error  # for the log, also if it is not raised here
    return answer
