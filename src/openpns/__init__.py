"""openpns: a self-hosted privacy number service, and a client for it.

    with openpns.Client("https://pns.example.com", access_key, access_secret) as pns:
        for group in pns.groups.iterate():
            print(group.name, len(group.phones))

Importing this package loads neither the server nor a database driver. The HTTP client is loaded
with the first name that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from openpns.errors import (
    AnswerTooLarge,
    AnswerTooLate,
    AnswerUnreadable,
    BindingConflict,
    BindingNotFound,
    BodyTooLarge,
    ClientClosed,
    ClientTokenReused,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    CountryMismatch,
    CustomerBindIdInUse,
    DidWithoutCountry,
    EmptyPhone,
    GroupBound,
    GroupFull,
    GroupNotFound,
    InternalError,
    InvalidSignature,
    LimitOutOfRange,
    MethodNotAllowed,
    MissingHeaders,
    NonceReused,
    NotFound,
    NoVirtualNumber,
    OffsetOutOfRange,
    OpenPNSError,
    OutcomeUnknown,
    ParameterError,
    PathNotFound,
    PermissionDenied,
    PoolExhausted,
    QuotaExceeded,
    RateLimited,
    ReadFailed,
    SamePhone,
    ServiceUnavailable,
    TimestampExpired,
    TransportError,
    UnknownCode,
    WireError,
)

if TYPE_CHECKING:
    from openpns.client.account_requests import Limit, Limits
    from openpns.client.config import PlainHttpWarning
    from openpns.client.group_types import Group, GroupDetails, GroupPage
    from openpns.client.http import AsyncClient, Client
    from openpns.client.requests import RawRequest, Request
    from openpns.client.timestamps import ClockSkewWarning
    from openpns.groups.wire import GroupChange

__version__ = "0.1.0"

__all__ = [
    "AnswerTooLarge",
    "AnswerTooLate",
    "AnswerUnreadable",
    "AsyncClient",
    "BindingConflict",
    "BindingNotFound",
    "BodyTooLarge",
    "Client",
    "ClientClosed",
    "ClientTokenReused",
    "ClockSkewWarning",
    "ConfigError",
    "ConnectFailed",
    "ConnectionLost",
    "CountryMismatch",
    "CustomerBindIdInUse",
    "DidWithoutCountry",
    "EmptyPhone",
    "Group",
    "GroupBound",
    "GroupChange",
    "GroupDetails",
    "GroupFull",
    "GroupNotFound",
    "GroupPage",
    "InternalError",
    "InvalidSignature",
    "Limit",
    "LimitOutOfRange",
    "Limits",
    "MethodNotAllowed",
    "MissingHeaders",
    "NoVirtualNumber",
    "NonceReused",
    "NotFound",
    "OffsetOutOfRange",
    "OpenPNSError",
    "OutcomeUnknown",
    "ParameterError",
    "PathNotFound",
    "PermissionDenied",
    "PlainHttpWarning",
    "PoolExhausted",
    "QuotaExceeded",
    "RateLimited",
    "RawRequest",
    "ReadFailed",
    "Request",
    "SamePhone",
    "ServiceUnavailable",
    "TimestampExpired",
    "TransportError",
    "UnknownCode",
    "WireError",
    "__version__",
]

_LOADED_WHEN_NEEDED = {
    "AsyncClient": "openpns.client.http",
    "Client": "openpns.client.http",
    "ClockSkewWarning": "openpns.client.timestamps",
    "Group": "openpns.client.group_types",
    "GroupChange": "openpns.groups.wire",
    "GroupDetails": "openpns.client.group_types",
    "GroupPage": "openpns.client.group_types",
    "Limit": "openpns.client.account_requests",
    "Limits": "openpns.client.account_requests",
    "PlainHttpWarning": "openpns.client.config",
    "RawRequest": "openpns.client.requests",
    "Request": "openpns.client.requests",
}


if not TYPE_CHECKING:  # a type checker would accept every misspelt name

    def __getattr__(name: str) -> Any:
        if name not in _LOADED_WHEN_NEEDED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_LOADED_WHEN_NEEDED[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
