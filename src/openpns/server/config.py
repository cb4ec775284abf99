"""The server's settings: from arguments, environment variables and a TOML file.

One struct is the single source: the command line's options, the environment variables, the
error texts and the table in docs/operating/configuration.md are made from it.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from openpns import limits
from openpns.errors import ConfigError
from openpns.protocol.fields import describe, integer, text

PREFIX: Final = "OPENPNS_"
CONFIG_VARIABLE: Final = "OPENPNS_CONFIG"

_SECRET_SETTINGS: Final = frozenset({"database"})
_INTEGER_MAX: Final = 2**31 - 1


def _choice(meaning: str, *values: str) -> msgspec.Meta:
    return msgspec.Meta(description=meaning, extra={"allowed": f"one of {', '.join(values)}"})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a server runs."""

    database: Annotated[
        str,
        text(
            "Where the data is: `sqlite:///relative.db`, `sqlite:////absolute.db` or "
            "`postgresql://user:password@host:port/name`.",
            allowed="sqlite:///relative.db, sqlite:////absolute.db or postgresql://…",
        ),
    ]
    host: Annotated[
        str,
        text("The address that the API listens on.", allowed="an address or name of this machine"),
    ] = "127.0.0.1"
    port: Annotated[
        int, integer("The port that the API listens on; 0 picks a free one.", 0, 65535)
    ] = 8080
    workers: Annotated[int, integer("How many processes answer calls.", 1, 256)] = 1
    admin_host: Annotated[
        str, text("The address of the admin port.", allowed="an address or name of this machine")
    ] = "127.0.0.1"
    admin_port: (
        Annotated[
            int,
            integer(
                "The port of `/healthz`, `/readyz` and `/metrics`; off unless given.", 0, 65535
            ),
        ]
        | None
    ) = None
    body_bytes_max: Annotated[
        int, integer("The largest request body, in bytes.", 1024, 64 * 1024 * 1024)
    ] = limits.BODY_BYTES_MAX
    body_timeout_ms: Annotated[
        int, integer("How long a request body may take to arrive.", 100, 600_000)
    ] = limits.BODY_TIMEOUT_MS
    body_buffer_bytes_max: Annotated[
        int,
        integer(
            "How many bytes the larger bodies may have together that one worker is receiving; more "
            "are answered 503.",
            1024,
            2**40,
        ),
    ] = limits.BODY_BUFFER_BYTES_MAX
    header_timeout_ms: Annotated[
        int,
        integer(
            "How long a connection may take to send a call's headers, or stay idle between calls.",
            100,
            600_000,
        ),
    ] = limits.HEADER_TIMEOUT_MS
    phones_in_group_max: Annotated[
        int, integer("How many numbers a group may hold.", 1, 1_000_000)
    ] = limits.PHONES_IN_GROUP_MAX
    phones_in_request_max: Annotated[
        int, integer("How many numbers one request may carry.", 1, 1_000_000)
    ] = limits.PHONES_IN_REQUEST_MAX
    requests_in_flight_max: Annotated[
        int,
        integer("How many calls one worker holds at once; more are answered 503.", 1, 1_000_000),
    ] = limits.REQUESTS_IN_FLIGHT_MAX
    rate_per_s: Annotated[
        int,
        integer(
            "How many calls a second an access key may make on this server, unless it has a rate "
            "of its own; 0 for any number.",
            0,
            limits.RATE_MAX,
        ),
    ] = 0
    rate_burst: Annotated[
        int,
        integer(
            "How many of these calls may come at once; 0 for those of a second.",
            0,
            limits.RATE_MAX,
        ),
    ] = 0
    cache_bytes_max: Annotated[
        int,
        integer(
            "How much of one worker's memory kept answers may take, in bytes; 0 keeps none.",
            0,
            2**40,
        ),
    ] = limits.CACHE_BYTES_MAX
    slow_request_ms: Annotated[
        int, integer("From how many ms on a call is logged as slow.", 1, _INTEGER_MAX)
    ] = limits.SLOW_REQUEST_MS
    shutdown_grace_s: Annotated[
        int, integer("How long calls in hand may take to finish when the server stops.", 1, 3600)
    ] = limits.SHUTDOWN_GRACE_S
    storage_timeout_ms: Annotated[
        int, integer("How long a statement, or waiting for its turn, may take.", 100, 600_000)
    ] = limits.STORAGE_TIMEOUT_MS
    postgres_connections_max: Annotated[
        int, integer("How many PostgreSQL connections one worker may hold.", 1, 1000)
    ] = limits.POSTGRES_CONNECTIONS_MAX
    log_format: Annotated[
        Literal["console", "json"], _choice("How log lines look.", "console", "json")
    ] = "console"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _choice("The least level that is logged.", "debug", "info", "warning", "error"),
    ] = "info"

    def __repr__(self) -> str:
        """Return a text without what may hold a password."""
        shown = (
            f"{name}={'…' if name in _SECRET_SETTINGS else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"Settings({', '.join(shown)})"


FIELDS: Final = msgspec.structs.fields(Settings)
"""Every setting."""


def load_settings(
    arguments: Mapping[str, Any], environ: Mapping[str, str], config: str | None = None
) -> Settings:
    """Put the settings together: argument before environment variable before file.

    Args:
        arguments: From the command line, by the setting's name; None where not given.
        environ: The environment; a setting is OPENPNS_ and its name in capitals.
        config: A TOML file; None for the one that OPENPNS_CONFIG names, if any.

    Raises:
        ConfigError: A value is not allowed; the text names the setting, where it comes from,
            the value (but for the database's, which may hold a password) and what is allowed.
    """
    file = config or environ.get(CONFIG_VARIABLE)
    from_file = _read_file(file) if file else {}
    values = {}
    for field in FIELDS:
        found = _find(field.name, arguments, environ, from_file, file)
        if found is not None:
            values[field.name] = _convert(field, *found)
        elif field.required:
            allowed, _ = describe(field)
            raise ConfigError(
                f"{field.name}: is not set; give --{field.name.replace('_', '-')} or "
                f"{PREFIX}{field.name.upper()}; allowed is {allowed}"
            )
    return Settings(**values)


def to_environ(settings: Settings) -> dict[str, str]:
    """Return the environment variables from which `load_settings` makes the same settings.

    Args:
        settings: The settings.
    """
    values = msgspec.structs.asdict(settings)
    return {
        PREFIX + name.upper(): str(value) for name, value in values.items() if value is not None
    }


def _find(
    name: str,
    arguments: Mapping[str, Any],
    environ: Mapping[str, str],
    from_file: Mapping[str, Any],
    file: str | None,
) -> tuple[Any, str] | None:
    """Return a setting's value and where it comes from."""
    if arguments.get(name) is not None:
        return arguments[name], f"--{name.replace('_', '-')}"
    variable = PREFIX + name.upper()
    if environ.get(variable):  # an empty one is as good as none
        return environ[variable], variable
    if name in from_file:
        return from_file[name], str(file)
    return None


def _convert(field: msgspec.structs.FieldInfo, value: Any, source: str) -> Any:
    try:
        return msgspec.convert(value, field.type, strict=False)
    except msgspec.ValidationError:
        shown = "the value" if field.name in _SECRET_SETTINGS else repr(value)
        allowed, _ = describe(field)
        raise ConfigError(
            f"{field.name}: {shown} (from {source}) is not allowed; allowed is {allowed}"
        ) from None


def _read_file(file: str) -> dict[str, Any]:
    try:
        values = tomllib.loads(Path(file).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot read the settings ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ConfigError(f"{file}: is no TOML file") from None
    names = [field.name for field in FIELDS]
    for name in values:
        if name not in names:
            raise ConfigError(f"{file}: no setting {name!r}; allowed are {', '.join(names)}")
    return values
