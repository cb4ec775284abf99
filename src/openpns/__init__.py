"""openpns: a self-hosted privacy number service, and a client for it.

    with openpns.Client("https://pns.example.com", access_key, access_secret) as pns:
        for group in pns.groups.iterate():
            print(group.name, len(group.phones))

Importing this package loads neither the server nor a database driver; the HTTP client is loaded
with the first name that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from openpns.errors import (
    AnswerTooLate,
    AnswerUnreadable,
    BodyTooLarge,
    ClientTokenReused,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    GroupFull,
    GroupNotFound,
    InternalError,
    InvalidSignature,
    LimitOutOfRange,
    MethodNotAllowed,
    MissingHeaders,
    OffsetOutOfRange,
    OpenPNSError,
    OutcomeUnknown,
    ParameterError,
    PathNotFound,
    PermissionDenied,
    RateLimited,
    ReadFailed,
    ServiceUnavailable,
    TimestampExpired,
    TransportError,
    UnknownCode,
    WireError,
)

if TYPE_CHECKING:
    from openpns.client.exchange import ClockSkewWarning
    from openpns.client.extension_calls import GroupChange, GroupDetails, Limit
    from openpns.client.http import AsyncClient, Client
    from openpns.client.requests import Call, Group, GroupPage, Request

__version__ = "0.1.0"

__all__ = [
    "AnswerTooLate",
    "AnswerUnreadable",
    "AsyncClient",
    "BodyTooLarge",
    "Call",
    "Client",
    "ClientTokenReused",
    "ClockSkewWarning",
    "ConfigError",
    "ConnectFailed",
    "ConnectionLost",
    "Group",
    "GroupChange",
    "GroupDetails",
    "GroupFull",
    "GroupNotFound",
    "GroupPage",
    "InternalError",
    "InvalidSignature",
    "Limit",
    "LimitOutOfRange",
    "MethodNotAllowed",
    "MissingHeaders",
    "OffsetOutOfRange",
    "OpenPNSError",
    "OutcomeUnknown",
    "ParameterError",
    "PathNotFound",
    "PermissionDenied",
    "RateLimited",
    "ReadFailed",
    "Request",
    "ServiceUnavailable",
    "TimestampExpired",
    "TransportError",
    "UnknownCode",
    "WireError",
    "__version__",
]

_LOADED_WHEN_NEEDED = {
    "AsyncClient": "openpns.client.http",
    "Call": "openpns.client.requests",
    "Client": "openpns.client.http",
    "ClockSkewWarning": "openpns.client.exchange",
    "Group": "openpns.client.requests",
    "GroupChange": "openpns.client.extension_calls",
    "GroupDetails": "openpns.client.extension_calls",
    "GroupPage": "openpns.client.requests",
    "Limit": "openpns.client.extension_calls",
    "Request": "openpns.client.requests",
}


if not TYPE_CHECKING:  # else a type checker would take every misspelt name for one of these

    def __getattr__(name: str) -> Any:
        if name not in _LOADED_WHEN_NEEDED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_LOADED_WHEN_NEEDED[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
