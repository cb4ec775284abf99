"""A service of libpq: parameters of a connection, in a file, under a name."""

import os
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

from openpns.errors import ConfigError


def read_service(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a service, read as libpq reads them.

    The file is `PGSERVICEFILE`, else `~/.pg_service.conf`.

    Raises:
        ConfigError: The file cannot be read, is not one of services, or does not have this one.
    """
    file = environ.get("PGSERVICEFILE") or os.path.expanduser("~/.pg_service.conf")  # noqa: PTH111
    found = _find_section(_read_lines(file), f"[{name}]")
    if found is None:
        raise ConfigError(
            f"database: there is no service {name!r} in {file}; PGSERVICEFILE names the file"
        )
    parameters: dict[str, str] = {}
    for line in found:
        key, equals, value = line.partition("=")
        if not equals:
            raise _not_services(file)
        parameters.setdefault(key, value)  # the first one counts
    if "service" in parameters:
        raise ConfigError(f"database: service {name!r} in {file} may not name another service")
    return parameters


def _read_lines(file: str) -> list[str]:
    try:
        text = Path(file).read_text("utf-8")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"database: cannot read {file} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _not_services(file) from None
    lines = map(str.strip, text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _find_section(lines: list[str], head: str) -> list[str] | None:
    """Return the lines of the first section with a head; None if there is none."""
    if head not in lines:
        return None
    after = lines[lines.index(head) + 1 :]
    return [*takewhile(lambda line: not line.startswith("["), after)]


def _not_services(file: str) -> ConfigError:
    return ConfigError(f"database: {file} is not a file of PostgreSQL services")
