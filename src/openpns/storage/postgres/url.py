"""What a PostgreSQL URL says, read as libpq reads it; what cannot be done is refused by its name.

Source: docs/operating/databases.md, "The URL of PostgreSQL".
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

import msgspec

from openpns.errors import ConfigError
from openpns.storage.postgres.services import read_service

_ATTRIBUTES: Final = ("primary", "read-write")
_PORT: Final = 5432
_PORT_MAX: Final = 65535

_OWN: Final = {
    "application_name": "PGAPPNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
"""Parameters that openpns itself reads, and the variable of libpq for each."""

_OF_DRIVER: Final = (
    *("dbname", "user", "password", "passfile", "service", "krbsrvname", "gsslib"),
    *("sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
)
"""Parameters that the driver reads."""

_NOT_REQUIRED: Final = {
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    "sslcompression": ("0",),
    "client_encoding": ("auto", "utf8", "UTF8", "utf-8", "UTF-8"),
    "load_balance_hosts": ("disable",),
}
"""Parameters that the driver does not know, and the values that need nothing of it."""

_VARIABLES_REFUSED: Final = {
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "hostaddr": "PGHOSTADDR",
    "require_auth": "PGREQUIREAUTH",
    "requirepeer": "PGREQUIREPEER",
}
"""Variables of libpq for what the driver cannot do; without it, it would do less than is asked."""

_CLIENT_FILES: Final = ("sslcert", "sslkey")
_SERVER_FILES: Final = ("sslrootcert", "sslcrl")
_MODES_WITHOUT_SERVER_FILES: Final = ("allow", "prefer")

_KNOWN: Final = ("host", "port", *_OWN, *_OF_DRIVER, *_NOT_REQUIRED)
_ALLOWED: Final = ", ".join(sorted(_KNOWN))

_ENCODE: Final = (
    "percent-encode the special characters of user and password "
    "(% as %25, @ as %40, / as %2F, # as %23, ? as %3F, [ as %5B)"
)
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NO_NAME: Final = re.compile(r"[\[\]@\s]|^[^:]*:[^:]*$")
_PLACE: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\[\]:@\s]*))(?::([0-9]*))?")


class Host(msgspec.Struct, frozen=True):
    """A host of a URL; None for the one that the driver finds without being given any."""

    name: str | None
    port: int | None

    def __str__(self) -> str:
        if self.name is None:
            return "the local PostgreSQL"
        return self.name if self.name.startswith("/") else f"{self.name!r} port {self.port}"


class Target(msgspec.Struct, frozen=True):
    """Where a URL leads.

    Attributes:
        dsn: What is left for the driver.
        hosts: At least one.
        is_read_write: Whether a server that takes no writes is refused.
        connect_timeout_s: How long one host may take; None for no bound of its own.
        server_settings: What is sent when a connection begins.
    """

    dsn: str
    hosts: Sequence[Host]
    is_read_write: bool
    connect_timeout_s: float | None
    server_settings: Mapping[str, str]


def read_url(url: str, environ: Mapping[str, str] = os.environ) -> Target:
    """Read `postgresql://user:password@host1:port1,host2:port2/name?parameter=value`.

    What the URL does not have is taken from the service that it or `PGSERVICE` names, then from
    libpq's variables.

    Raises:
        ConfigError: It is no such URL, or has a parameter that is unknown or cannot be respected.
            The text contains names and values of parameters, but no other part of the URL.
    """
    parts = _split(url)
    sent = _parameters(parts.query)
    given = _respected(sent, "the URL")
    if service := given.pop("service", "") or environ.get("PGSERVICE"):
        of_service = read_service(service, environ)
        given = _respected(of_service, f"service {service!r}") | given
        sent |= of_service
    _refuse_variables(sent, environ)
    _require_files(given, environ)
    user, at, places = parts.netloc.rpartition("@")
    hosts = _hosts(places, given, environ)
    own = {
        name: value
        for name, variable in _OWN.items()
        if (value := given.pop(name, "") or environ.get(variable, ""))
    }
    attributes = own.get("target_session_attrs", _ATTRIBUTES[0])
    if attributes not in _ATTRIBUTES:
        raise ConfigError(
            f"database: target_session_attrs of the URL may be {' or '.join(_ATTRIBUTES)}; a "
            "standby may lag behind, and no response may be older than its request"
        )
    settings = {"application_name": own.get("application_name", "openpns")}
    if "options" in own:
        settings["options"] = own["options"]
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items() if value)
    path = parts.path if parts.path != "/" else ""  # else the driver takes it for a name
    return Target(
        urlunsplit(parts._replace(netloc=user + at, path=path, query=query)),
        hosts,
        attributes == "read-write",
        _timeout_s(own.get("connect_timeout")),
        settings,
    )


def _split(url: str) -> SplitResult:
    """Split a URL, and refuse one whose password may have ended too early."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket without its end
        raise _unreadable() from None
    ends_early = "#" in url or "@" in parts.path or "@" in parts.query
    if ends_early or parts.netloc.count("@") > 1 or _BAD_PERCENT.search(url):
        raise _unreadable()
    return parts


def _unreadable() -> ConfigError:
    return ConfigError(
        f"database: cannot connect to PostgreSQL: its URL cannot be read; {_ENCODE}; allowed is "
        "postgresql://user:password@host:port/name"
    )


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        name, equals, value = item.partition("=")
        if not equals:
            raise _unreadable()
        name = unquote(name)
        if name not in _KNOWN and any("password" in earlier for earlier in found):
            raise _unreadable()  # the name may be the end of the password
        found[name] = unquote(value)
    return found


def _respected(found: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the parameters that are to be read; refuse those that cannot be respected."""
    for name, value in found.items():
        if name in _NOT_REQUIRED:
            if value not in _NOT_REQUIRED[name]:
                raise ConfigError(
                    f"database: parameter {name}={value} of {where} cannot be respected; allowed "
                    f"are {', '.join(_NOT_REQUIRED[name])}, or leave it out"
                )
        elif name not in _KNOWN:
            raise ConfigError(
                f"database: unknown parameter {name!r} of {where}; allowed are {_ALLOWED}; a "
                "setting of the server is given as options=-c%20name%3Dvalue"
            )
    return {name: value for name, value in found.items() if name not in _NOT_REQUIRED}


def _refuse_variables(sent: Mapping[str, str], environ: Mapping[str, str]) -> None:
    for name, variable in _VARIABLES_REFUSED.items():
        value = environ.get(variable)
        allowed = _NOT_REQUIRED.get(name, ())
        if value and name not in sent and value not in allowed:
            values = f"allowed are {', '.join(allowed)}, or " if allowed else ""
            raise ConfigError(
                f"database: variable {variable} cannot be respected; {values}leave it out"
            )


def _require_files(given: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Refuse files of TLS that cannot be read: the driver's error would not name them."""
    mode = given.get("sslmode") or environ.get("PGSSLMODE") or "prefer"
    if mode == "disable":
        return
    names = _CLIENT_FILES if mode in _MODES_WITHOUT_SERVER_FILES else _CLIENT_FILES + _SERVER_FILES
    for name in names:
        file = given.get(name) or environ.get(f"PG{name.upper()}")
        if not file:
            continue
        if (name, file) == ("sslrootcert", "system"):
            raise ConfigError(
                "database: sslrootcert=system cannot be respected; name the file of the system's "
                "certificates, such as /etc/ssl/certs/ca-certificates.crt"
            )
        try:
            with open(file, "rb"):  # noqa: PTH123 - only to see that it can be read
                pass
        except OSError as error:
            raise ConfigError(f"database: {name}: cannot read {file} ({error.strerror})") from None


def _hosts(places: str, given: dict[str, str], environ: Mapping[str, str]) -> list[Host]:
    """Return the hosts of the URL, else of its parameters, else of the variables."""
    names = given.pop("host", "") or environ.get("PGHOST", "")
    ports = (given.pop("port", "") or environ.get("PGPORT", "")).split(",")
    if places:
        found = [_place(place) for place in places.split(",")]
    else:
        found = [(name.removeprefix("[").removesuffix("]"), "") for name in names.split(",")]
    if len(ports) not in (1, len(found)):
        raise ConfigError(
            f"database: {len(found)} hosts but {len(ports)} ports; give one port, or one for each"
        )
    if len(ports) == 1:
        ports *= len(found)
    return [_host(name, own or port) for (name, own), port in zip(found, ports, strict=True)]


def _place(place: str) -> tuple[str, str]:
    """Return name and port of a host of the URL; encoded characters divide nothing."""
    found = _PLACE.fullmatch(place)
    if found is None:
        raise _unreadable()
    return unquote(found[1] or found[2]), found[3] or ""


def _host(name: str, port: str) -> Host:
    if not name:
        return Host(None, _port(port) if port else None)
    if not name.startswith("/") and _NO_NAME.search(name):
        raise _unreadable()
    return Host(name, _port(port))


def _port(text: str) -> int:
    if not text:
        return _PORT
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= _PORT_MAX):
        raise ConfigError(
            f"database: cannot connect to PostgreSQL: allowed as a port are 1 to {_PORT_MAX}"
        )
    return int(text)


def _timeout_s(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = int(text)
    except ValueError:
        raise ConfigError(
            "database: connect_timeout of the URL must be an integer, in seconds"
        ) from None
    return float(seconds) if seconds > 0 else None
