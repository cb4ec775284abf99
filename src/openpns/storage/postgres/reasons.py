"""Why PostgreSQL cannot be reached or refuses something, for an operator."""

import os
import socket
import ssl
from pathlib import Path
from typing import Final

import asyncpg

from openpns.errors import ConfigError, DatabaseUnavailable

CONNECTING: Final = (
    *(OSError, ValueError, LookupError),
    *(asyncpg.PostgresError, asyncpg.InternalClientError),
)
"""Whatever an attempt to connect raises; LookupError if there is no user name to be found."""

_BY_VALUES: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""What may quote the values of a row."""

_NO_PRIMARY: Final = (
    "is a standby, or takes no writes although the URL asks for read-write; name the primary, or "
    "every host it may be on, separated by commas"
)

_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "{text}{password_file}; check user, password and pg_hba.conf",
    ),
    (asyncpg.InvalidCatalogNameError, "{text}; create it with createdb, or correct its name"),
    (
        asyncpg.TooManyConnectionsError,
        "{text}; raise max_connections, or lower postgres_connections_max",
    ),
    (asyncpg.CannotConnectNowError, "{text}; try again when it has started"),
    (asyncpg.TargetServerAttributeNotMatched, f"it {_NO_PRIMARY}"),
    (asyncpg.PostgresError, "{text}"),
    (asyncpg.InterfaceError, "{text}"),
    (asyncpg.InternalClientError, "{text}"),
    (socket.gaierror, "its name is not known to the name service (DNS); check the host"),
    (ConnectionRefusedError, "nothing listens there; check host and port, and whether it runs"),
    (TimeoutError, "no answer in time; check host, port, firewall and load"),
    (FileNotFoundError, "the file or socket of the URL does not exist"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted ({tls}); check sslrootcert"),
    (ssl.SSLError, "TLS fails ({tls}); check sslmode, the certificates and sslpassword"),
    (OSError, "{system}"),
    (LookupError, "this user has no name; give one in the URL"),
)
"""The first that fits counts. The text of any other error may contain a part of the URL."""


_WRONG_URL: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    *(ssl.SSLError, ValueError, LookupError),
)
"""What says that the URL is wrong, not that the database is away."""


def without_values(error: Exception) -> str:
    """Return what PostgreSQL says, unless it may quote the values of a row."""
    return type(error).__name__ if isinstance(error, _BY_VALUES) else str(error.args[0])


def explain(error: Exception) -> str:
    """Return in a line why a connection cannot be made or used.

    The text has neither a password nor a value of a row.
    """
    template = next((text for kind, text in _REASONS if isinstance(error, kind)), None)
    if template is None:
        return "the URL cannot be read"
    text = "" if not error.args else " ".join(without_values(error).split())
    if "startup parameter" in text:  # PgBouncer
        template += "; leave it out of the URL, or add it to ignore_startup_parameters"
    strerror = getattr(error, "strerror", None) or text or type(error).__name__
    tls = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    return template.format(
        text=text, system=strerror, tls=tls, password_file=_password_file_fault()
    )


def cannot_connect(error: Exception) -> ConfigError:
    """Return the error for an operator whose database cannot be reached, or refuses the URL."""
    reasons = getattr(error, "__notes__", None) or [explain(error)]
    kind = ConfigError if isinstance(error, _WRONG_URL) else DatabaseUnavailable
    return kind(f"database: cannot connect to PostgreSQL: {'; '.join(reasons)}")


def _password_file_fault() -> str:
    """Return why the password file is ignored; empty if it is not."""
    file = Path(os.environ.get("PGPASSFILE") or os.path.expanduser("~/.pgpass"))  # noqa: PTH111
    try:
        is_open = file.is_file() and file.stat().st_mode & 0o077
    except OSError:
        return ""
    return f" ({file} is ignored: correct its mode with chmod 600)" if is_open else ""
