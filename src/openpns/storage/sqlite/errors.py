"""The API error for each failure of SQLite."""

from typing import Final

import apsw
import msgspec

from openpns.errors import InternalError, ReadFailed, ServiceUnavailable
from openpns.storage.copying import REFUSED

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
_DAMAGED: Final = (
    *(apsw.CorruptError, apsw.NotADBError, apsw.FormatError),
    # A text that is not UTF-8; a page of rows that is not JSON.
    *(UnicodeDecodeError, msgspec.DecodeError),
)

FAILURES: Final = (apsw.Error, UnicodeDecodeError, msgspec.DecodeError)
"""What SQLite raises, and what reading a damaged file raises besides."""


def to_wire_error(error: Exception) -> Exception:
    """Return the error of the API for one of SQLite, with it as the cause."""
    answer: Exception
    if isinstance(error, _UNAVAILABLE) or _is_moved(error):
        if not hasattr(error, "__notes__"):  # one error may be that of several writes
            error.add_note(describe(error))
        answer = ServiceUnavailable("the storage is away, full or busy; nothing was written")
    elif isinstance(error, _DAMAGED):
        answer = ReadFailed("the storage is damaged")
    else:
        answer = InternalError()
    answer.__cause__ = error  # for the log, also if it is not raised here
    return answer


def _is_moved(error: Exception) -> bool:
    """Return whether a trigger has refused a write: the database was copied to another one."""
    return isinstance(error, apsw.ConstraintError) and str(error).endswith(REFUSED)


def describe(error: Exception) -> str:
    """Return what SQLite says, on one line: it may quote a damaged file."""
    return "".join(char if char.isprintable() else "\ufffd" for char in str(error))
