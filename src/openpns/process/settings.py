"""The settings of every process that runs for long: names, types, bounds, defaults and meanings."""

from typing import Annotated, Final, Literal

import msgspec

from openpns import limits
from openpns.protocol.fields import integer, text

SECRET_SETTINGS: Final = frozenset({"database"})
"""Settings whose value may contain a password."""


def choice(meaning: str, *values: str) -> msgspec.Meta:
    """Describe a setting that has one of a few values; `meaning` is one line for the docs."""
    return msgspec.Meta(description=meaning, extra={"allowed": f"one of {', '.join(values)}"})


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that `openpns serve` and `openpns worker` have in common."""

    database: Annotated[
        str,
        text(
            "URL of the database: `sqlite:///relative.db`, `sqlite:////absolute.db` or "
            "`postgresql://user:password@host:port/name`.",
            allowed="sqlite:///relative.db, sqlite:////absolute.db or postgresql://…",
        ),
    ]
    admin_host: Annotated[
        str, text("Address of the admin port.", allowed="an address or name of this machine")
    ] = "127.0.0.1"
    admin_port: (
        Annotated[
            int,
            integer("Port of `/healthz`, `/readyz` and `/metrics`; off if not set.", 0, 65535),
        ]
        | None
    ) = None
    admin_hosts: (
        Annotated[
            str,
            text(
                "Names, separated by commas, that the header `Host` may have on the admin port "
                "besides `admin_host`, `localhost` and IP addresses.",
                allowed="names separated by commas",
            ),
        ]
        | None
    ) = None
    admin_connections_max: Annotated[
        int,
        integer(
            "Open connections of the admin port; if all are taken, a new one replaces one that "
            "sends no request.",
            1,
            10_000,
        ),
    ] = limits.ADMIN_CONNECTIONS_MAX
    idle_timeout_ms: Annotated[
        int,
        integer("Time until a connection without a request is closed, in ms.", 100, 3_600_000),
    ] = limits.IDLE_TIMEOUT_MS
    shutdown_grace_s: Annotated[
        int, integer("Time for requests in flight to finish when the server stops, in s.", 1, 3600)
    ] = limits.SHUTDOWN_GRACE_S
    storage_timeout_ms: Annotated[
        int,
        integer(
            "Time limit of a database statement, and of waiting to run it, in ms.", 100, 600_000
        ),
    ] = limits.STORAGE_TIMEOUT_MS
    postgres_connections_max: Annotated[
        int, integer("Largest number of PostgreSQL connections per worker.", 1, 1000)
    ] = limits.POSTGRES_CONNECTIONS_MAX
    log_format: Annotated[
        Literal["console", "json"], choice("Format of log lines.", "console", "json")
    ] = "console"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        choice("Lowest level that is logged.", "debug", "info", "warning", "error"),
    ] = "info"
    core_dumps: Annotated[
        Literal["off", "on"],
        choice(
            "Whether the system may write the memory of a process, which holds secrets, to a file.",
            "off",
            "on",
        ),
    ] = "off"

    def __repr__(self) -> str:
        """Return a text without the values that may contain a password."""
        shown = (
            f"{name}={'…' if name in SECRET_SETTINGS else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"{type(self).__name__}({', '.join(shown)})"
