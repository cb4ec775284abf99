"""A client's settings: from the argument, else the environment, else a profile.

A secret is wrapped before anything can fail, so that no frame of a traceback holds it in clear.
"""

import math
import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from platformdirs.unix import Unix

from openpns.errors import ConfigError
from openpns.kit.private_file import check_private
from openpns.kit.text_file import parse_toml
from openpns.protocol import signing
from openpns.protocol.headers import PATH

TIMEOUT_S: Final = 30.0
DEADLINE_S: Final = 300.0
RESPONSE_BYTES_MAX: Final = 256 * 1024 * 1024
"""More than the largest page by default: 1000 groups of 10 000 phones have up to 164 MB."""
CLOCK_SKEW_S_MAX: Final = 300.0
RETRIES: Final = 2
DEFAULT_PROFILE: Final = "default"

_REQUIRED: Final = ("base_url", "access_key", "access_secret")
_TEXTS: Final = (*_REQUIRED, "algorithm", "retry_writes")
_SWITCH: Final = {"true": True, "false": False}


class _Number(msgspec.Struct, frozen=True):
    """A setting that is a number: its default and its bounds."""

    default: float
    at_least: float
    at_most: float
    unit: str

    @property
    def allowed(self) -> str:
        return f"allowed is a number of {self.unit} from {self.at_least:g} to {self.at_most:.0f}"


_DAY_S: Final = 86_400
_NUMBERS: Final = {
    "timeout_s": _Number(TIMEOUT_S, 0.001, _DAY_S, "seconds"),
    "deadline_s": _Number(DEADLINE_S, 0.001, _DAY_S, "seconds"),
    "response_bytes_max": _Number(RESPONSE_BYTES_MAX, 1, 2**40, "bytes"),
    "clock_skew_s_max": _Number(CLOCK_SKEW_S_MAX, 0, 10**9, "seconds"),
}
_TOML_TYPES: Final = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "an array",
    dict: "a table",
}
_KEYS: Final = (*_TEXTS, *_NUMBERS)


class PlainHttpWarning(UserWarning):
    """Requests go to another machine by plain HTTP: anybody on the way can read and change them."""


class Secret:
    """A text that is shown by `reveal` only."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a client, as in `openpns.Client`; `url` is the whole URL of the API."""

    url: str
    access_key: str
    access_secret: Secret
    algorithm: str = "md5"
    timeout_s: float = TIMEOUT_S
    deadline_s: float = DEADLINE_S
    response_bytes_max: int = RESPONSE_BYTES_MAX
    clock_skew_s_max: float = CLOCK_SKEW_S_MAX
    retries: int = RETRIES
    retry_writes: bool = True

    @property
    def is_exposed(self) -> bool:
        """Whether requests go to another machine by plain HTTP."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def load_config(
    base_url: str | None = None,
    access_key: str | None = None,
    access_secret: str | Secret | None = None,
    *,
    algorithm: str | None = None,
    profile: str | None = None,
    timeout_s: float | None = None,
    deadline_s: float | None = None,
    response_bytes_max: int | None = None,
    clock_skew_s_max: float | None = None,
    retries: int = RETRIES,
    retry_writes: bool | None = None,
) -> ClientConfig:
    """Return the settings of a client; the arguments are those of `openpns.Client`.

    The configuration file is read only if a profile is named or a setting is missing.

    Raises:
        ConfigError: A setting is missing or not allowed; the text never holds the secret.
    """
    access_secret = wrapped(access_secret)
    found = _from_environ()
    switch = None if retry_writes is None else str(retry_writes).lower()
    texts = (base_url, access_key, access_secret, algorithm, switch)
    numbers = (timeout_s, deadline_s, response_bytes_max, clock_skew_s_max)
    arguments = zip(_KEYS, (*texts, *numbers), strict=True)
    found |= {name: given for name, given in arguments if given is not None}
    name = profile or _profile_name()
    if name is not None or any(key not in found for key in _REQUIRED):
        found = load_profile(name) | found
    _require(found, name)
    chosen = found.get("algorithm", "md5")
    if chosen not in signing.SCHEMES:
        raise ConfigError(f"algorithm: allowed are {', '.join(signing.SCHEMES)}")
    if found.get("retry_writes", "true") not in _SWITCH:
        raise ConfigError("retry_writes: allowed are true and false")
    if type(retries) is not int or retries < 0:
        raise ConfigError("retries: allowed is an integer, 0 or more")
    return ClientConfig(
        url=api_url(found["base_url"]),
        access_key=_checked("access_key", found["access_key"]),
        access_secret=_checked("access_secret", found["access_secret"]),
        algorithm=chosen,
        timeout_s=_number("timeout_s", found),
        deadline_s=_number("deadline_s", found),
        response_bytes_max=int(_number("response_bytes_max", found)),
        clock_skew_s_max=_number("clock_skew_s_max", found),
        retries=retries,
        retry_writes=_SWITCH[found.get("retry_writes", "true")],
    )


def api_url(base_url: str) -> str:
    """Return the whole URL of the API: base_url, with the API's path if it has no path.

    Raises:
        ConfigError: It is not an http or https URL, or has a user, a query or a fragment.
    """
    try:
        parts = urlsplit(base_url)
        has_address = bool(parts.hostname) and parts.port != 0
    except (ValueError, AttributeError, TypeError):  # or it is not a text
        parts, has_address = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not has_address or base_url != base_url.strip():
        raise ConfigError(
            "base_url: allowed is an http or https URL such as https://pns.example.com"
        )
    if "@" in parts.netloc or "?" in base_url or "#" in base_url:
        raise ConfigError("base_url: a user, a password, a query or a fragment is not allowed")
    return base_url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}{PATH}"


def host_and_path(url: str) -> tuple[str, str]:
    """Return the header Host and the path with which httpx2 sends a request for a URL."""
    import httpx2  # noqa: PLC0415 - reading a configuration need not load it

    sent = httpx2.URL(url)
    return sent.netloc.decode(), sent.raw_path.decode()


def _is_loopback(host: str) -> bool:
    """Return whether a host of a URL is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def config_file() -> Path:
    """Return the path of the configuration file: in XDG_CONFIG_HOME or ~/.config, on any system.

    Raises:
        ConfigError: This user has no home directory.
    """
    try:
        return Unix("openpns").user_config_path / "config.toml"
    except RuntimeError:
        raise ConfigError("profiles: no home directory; set XDG_CONFIG_HOME") from None


def load_profile(name: str | None) -> dict[str, Any]:
    """Return the settings of a profile: texts, numbers, and a `Secret` as access_secret.

    `name` is None for OPENPNS_PROFILE or "default"; a default profile may be missing.

    Raises:
        ConfigError: The file is not TOML, has no such profile or setting, or holds a secret that
            others can read.
    """
    name = name or _profile_name()
    file = config_file()
    profiles = _read(file)
    profile = profiles.get(name or DEFAULT_PROFILE)
    if profile is None and name is None:
        return {}
    if not isinstance(profile, dict):
        names = ", ".join(found for found in profiles if isinstance(profiles[found], dict))
        raise ConfigError(
            f"profile {name or DEFAULT_PROFILE!r}: not in {file}; there are {names or 'none'}"
        )
    switch = profile.get("retry_writes")
    if isinstance(switch, bool):
        profile = profile | {"retry_writes": str(switch).lower()}
    for key, value in profile.items():
        problem = _type_problem(key, value)
        if problem:
            raise ConfigError(f"{file}: profile {name or DEFAULT_PROFILE}: {key}: {problem}")
    return profile


def _type_problem(key: str, value: Any) -> str | None:
    """Return what is wrong with a setting of a profile, apart from its value."""
    found = value if isinstance(value, type) else type(value)
    if key in _NUMBERS:
        is_right, wanted = found in (int, float), "a number"
    elif key == "retry_writes":
        is_right, wanted = found is str, "true or false"
    elif key in _TEXTS:
        is_right, wanted = found in (str, Secret), 'a text, in quotes ("…")'
    else:
        texts, numbers = ", ".join(_TEXTS), ", ".join(_NUMBERS)
        return f"is not a setting; allowed are the texts {texts} and the numbers {numbers}"
    return (
        None
        if is_right
        else f"is {_TOML_TYPES.get(found, 'a date or a time')}; allowed is {wanted}"
    )


def _profile_name() -> str | None:
    return os.environ.get("OPENPNS_PROFILE") or None


def _from_environ() -> dict[str, Any]:
    """Return what the environment sets; an empty variable sets nothing."""
    found = {name: os.environ.get(f"OPENPNS_{name.upper()}") for name in _KEYS}
    return {
        name: wrapped(value) if name == "access_secret" else value
        for name, value in found.items()
        if value
    }


def wrapped(secret: Any) -> Secret | None:
    """Return a secret so that no traceback shows it, also if it is not a text; None for None."""
    return secret if secret is None or isinstance(secret, Secret) else Secret(secret)


def _require(found: dict[str, Any], profile: str | None) -> None:
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        variables = ", ".join(f"OPENPNS_{name.upper()}" for name in missing)
        raise ConfigError(
            f"{', '.join(missing)}: not set; give it as an argument, as {variables}, or in the "
            f"profile {profile or DEFAULT_PROFILE!r} of {config_file()}"
        )


def _number(name: str, found: dict[str, Any]) -> float:
    """Return a number that was given as one or as a text, or its default."""
    number = _NUMBERS[name]
    given = found.get(name, number.default)
    try:
        value = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not number.at_least <= value <= number.at_most:
        raise ConfigError(f"{name}: {number.allowed}")
    return value


def _checked(name: str, value: Any) -> Any:
    """Return a setting that can be sent in a header."""
    problem = _problem(value.reveal() if isinstance(value, Secret) else value)
    if problem:
        raise ConfigError(f"{name}: {problem}")
    return value


def _problem(text: Any) -> str | None:
    if not isinstance(text, str):
        return f"allowed is a text, not {type(text).__name__}"
    if not text:
        return "it is empty"
    if text != text.strip():
        return "white space at its beginning or end is not allowed"
    if not (text.isascii() and text.isprintable()):
        return "allowed are printable ASCII characters"
    return None


def _read(file: Path) -> dict[str, Any]:
    """Return the file's profiles with wrapped secrets; none if there is no file."""
    try:
        return _parse(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{file}: cannot read it ({error.strerror})") from None


def _parse(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        profiles, problem = _profiles(opened.read())
        if problem:
            raise ConfigError(f"{file}: {problem}")
        if any(isinstance(table, dict) and "access_secret" in table for table in profiles.values()):
            check_private(file, opened.fileno(), "an access secret")
    return profiles


def _profiles(content: bytes) -> tuple[dict[str, Any], str | None]:
    values, problem = parse_toml(content)
    return {name: _with_secret(table) for name, table in values.items()}, problem


def _with_secret(table: Any) -> Any:
    if not isinstance(table, dict) or "access_secret" not in table:
        return table
    secret = table["access_secret"]
    # A secret that is not a text is kept only as its type: that is what the error names.
    return table | {"access_secret": Secret(secret) if isinstance(secret, str) else type(secret)}
