"""What a PostgreSQL URL says, read as libpq reads it; what cannot be done is refused by its name.

Source: docs/operating/databases.md, "The URL of PostgreSQL".
"""

import configparser
import os
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

import msgspec

from openpns.errors import ConfigError

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

_ALLOWED: Final = ", ".join(sorted(("host", "port", *_OWN, *_OF_DRIVER, *_NOT_REQUIRED)))

_ENCODE: Final = (
    "percent-encode the special characters of user and password "
    "(% as %25, @ as %40, / as %2F, # as %23, ? as %3F, [ as %5B)"
)
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\[\]:@\s]*))(?::([0-9]*))?")


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

    libpq's variables count for what the URL does not have.

    Raises:
        ConfigError: It is no such URL, or has a parameter that is unknown or cannot be respected.
            The text contains names and values of parameters, but no other part of the URL.
    """
    parts = _split(url)
    given = _parameters(parts.query)
    if service := given.get("service") or environ.get("PGSERVICE"):
        given["service"] = service
        _require_service(service, environ)
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
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
    return Target(
        urlunsplit(parts._replace(netloc=user + at, query=query)),
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
        found[unquote(name)] = unquote(value)
    for name, value in tuple(found.items()):
        if name in _NOT_REQUIRED:
            if value not in _NOT_REQUIRED[name]:
                raise ConfigError(
                    f"database: parameter {name}={value} of the URL cannot be respected; allowed "
                    f"are {', '.join(_NOT_REQUIRED[name])}, or leave it out"
                )
            del found[name]
        elif name not in ("host", "port", *_OWN, *_OF_DRIVER):
            raise ConfigError(
                f"database: unknown parameter {name!r} of the URL; allowed are {_ALLOWED}; a "
                "setting of the server is given as options=-c%20name%3Dvalue"
            )
    return found


def _require_service(service: str, environ: Mapping[str, str]) -> None:
    """Refuse a service that is in no file: the driver would ignore it."""
    file = environ.get("PGSERVICEFILE") or os.path.expanduser("~/.pg_service.conf")  # noqa: PTH111
    found = configparser.ConfigParser(interpolation=None)
    try:
        found.read(file, "utf-8")
    except (configparser.Error, UnicodeDecodeError):
        raise ConfigError(f"database: {file} is not a file of PostgreSQL services") from None
    if service not in found.sections():
        raise ConfigError(
            f"database: there is no service {service!r} in {file}; PGSERVICEFILE names the file"
        )


def _hosts(places: str, given: dict[str, str], environ: Mapping[str, str]) -> list[Host]:
    """Return the hosts of the URL, else of its parameters, else of the variables."""
    if places:
        texts = places.split(",")
    else:
        names = given.pop("host", "")
        if not names and "service" not in given:
            names = environ.get("PGHOST", "")
        texts = [
            f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name
            for name in names.split(",")
        ]
    given.pop("host", None)
    ports = (given.pop("port", "") or environ.get("PGPORT", "")).split(",")
    if len(ports) not in (1, len(texts)):
        raise ConfigError(
            f"database: {len(texts)} hosts but {len(ports)} ports; give one port, or one for each"
        )
    if len(ports) == 1:
        ports *= len(texts)
    return [_host(text, port) for text, port in zip(texts, ports, strict=True)]


def _host(text: str, default: str) -> Host:
    text = unquote(text)
    if text.startswith("/"):
        return Host(text, _port(default))
    found = _HOST.fullmatch(text)
    if found is None:
        raise _unreadable()
    name = found[1] or found[2] or None
    port = found[3] or default
    return Host(name, None if name is None and not port else _port(port))


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
