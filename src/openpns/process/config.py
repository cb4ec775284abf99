"""Load settings: from arguments, environment variables and a TOML file."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import msgspec

from openpns.errors import ConfigError
from openpns.kit.environment import PREFIX, find_unknown
from openpns.kit.networks import Networks
from openpns.kit.private_file import check_private
from openpns.kit.text_file import parse_toml
from openpns.kit.utc_offset import parse_utc_offset
from openpns.process.settings import SECRET_SETTINGS, ProcessSettings
from openpns.protocol.fields import describe

SettingsT = TypeVar("SettingsT", bound=ProcessSettings)

CONFIG_VARIABLE: Final = f"{PREFIX}CONFIG"
_PASSWORD: Final = re.compile(r"://[^/?#]*:[^/?#]*@|[?&](ssl)?password=")
"""What a database URL with a password contains."""

_OTHER_VARIABLES: Final = (
    *("CONFIG", "DEBUG", "MASTER_KEY", "MASTER_KEY_FILE"),
    *("BASE_URL", "ACCESS_KEY", "ACCESS_SECRET", "ALGORITHM", "PROFILE"),
    "WEBHOOK_SECRET",
)
"""Variables besides the settings, those of a client included."""

_CHECKS: Final[dict[str, Callable[[str], object]]] = {
    "trusted_proxies": Networks,
    "webhook_networks_allowed": Networks,
    "webhook_time_zone": parse_utc_offset,
}
"""What raises ValueError for a text that is not allowed."""


def load(
    kind: type[SettingsT],
    arguments: Mapping[str, Any],
    environ: Mapping[str, str],
    config: str | None = None,
    *,
    of_others: Iterable[str] = (),
) -> SettingsT:
    """Return the settings, each from the first source that has it: argument, variable, file.

    Args:
        arguments: By the name of the setting; None if not given.
        config: A TOML file; None for the file that OPENPNS_CONFIG names, if any.
        of_others: Names that the file may have, too: the settings of other commands.

    Raises:
        ConfigError: A value is not allowed, or others can read a file with a password. The text
            contains the setting, the source, what is allowed, and the value, except that of
            `database`: it may contain a password.
    """
    fields = msgspec.structs.fields(kind)
    file = config or environ.get(CONFIG_VARIABLE)
    names = [*dict.fromkeys([*(field.name for field in fields), *of_others])]
    from_file = _read_file(file, names) if file else {}
    values = {}
    for field in fields:
        found = _find(field.name, arguments, environ, from_file, file)
        if found is not None:
            values[field.name] = _convert(field, *found)
        elif field.required:
            allowed, _ = describe(field)
            raise ConfigError(
                f"{field.name}: is not set; give --{field.name.replace('_', '-')} or "
                f"{PREFIX}{field.name.upper()}; allowed is {allowed}"
            )
    return kind(**values)


def unknown_variables(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str | None]:
    """Return variables that nothing reads, each with the one that is probably meant.

    `names` are those of all settings.
    """
    return find_unknown(environ, [*(name.upper() for name in names), *_OTHER_VARIABLES])


def _find(
    name: str,
    arguments: Mapping[str, Any],
    environ: Mapping[str, str],
    from_file: Mapping[str, Any],
    file: str | None,
) -> tuple[Any, str] | None:
    """Return a setting's value and its source."""
    if arguments.get(name) is not None:
        return arguments[name], f"--{name.replace('_', '-')}"
    variable = PREFIX + name.upper()
    if environ.get(variable):  # an empty one counts as not set
        value = environ[variable]
        if name == "database":  # in UTF-8, as an argument and the file are
            value = os.fsencode(value).decode("utf-8", "surrogateescape")
        return value, variable
    if name in from_file:
        return from_file[name], str(file)
    return None


def _convert(field: msgspec.structs.FieldInfo, value: Any, source: str) -> Any:
    try:
        converted = msgspec.convert(value, field.type, strict=False)
        if field.name in _CHECKS:
            _CHECKS[field.name](converted)
        return converted
    except ValueError:  # also msgspec.ValidationError
        shown = "the value" if field.name in SECRET_SETTINGS else repr(value)
        allowed, _ = describe(field)
        raise ConfigError(
            f"{field.name}: {shown} (from {source}) is not allowed; allowed is {allowed}"
        ) from None


def _read_file(file: str, names: Sequence[str]) -> dict[str, Any]:
    try:
        with Path(file).open("rb") as opened:
            values, problem = parse_toml(opened.read())
            url = str(values.get("database"))
            if _PASSWORD.search(url) or _PASSWORD.search(unquote(url)):  # names may be encoded
                check_private(file, opened.fileno(), "a database password")
    except OSError as error:
        raise ConfigError(f"{file}: cannot read the settings ({error.strerror})") from None
    if problem:
        raise ConfigError(f"{file}: {problem}")
    for name in values:
        if name not in names:
            raise ConfigError(f"{file}: unknown setting {name!r}; allowed are {', '.join(names)}")
    return values
