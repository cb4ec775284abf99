"""Where a client's settings come from: argument, then environment, then a named profile.

A secret is wrapped before anything can fail, so that no frame of a traceback holds it in clear.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from openpns import limits
from openpns.errors import ConfigError
from openpns.protocol import signing

API_PATH: Final = "/api/pns/"
"""The path of the API, where the base URL names none."""

DEFAULT_PROFILE: Final = "default"

_REQUIRED: Final = ("base_url", "access_key", "access_secret")
_KEYS: Final = (*_REQUIRED, "algorithm", "retry_creates")
_SWITCH: Final = {"true": True, "false": False}


class Secret:
    """A secret text that shows itself only when asked to.

    Args:
        text: The secret.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret."""
        return self._text

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return "Secret(…)"


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where to call, as whom, and how patiently.

    Attributes:
        url: The whole URL of the API.
        access_key: The access key.
        access_secret: Its secret.
        algorithm: "md5" or "sha256".
        timeout_s: How long connecting, sending or waiting for data may take, in seconds.
        retries: How often a call is sent again where that is safe.
        retry_creates: Whether createGroup is sent again, under a client token, after its answer
            was lost. For servers that know client tokens, as openpns does; another one might create
            two groups.
    """

    url: str
    access_key: str
    access_secret: Secret
    algorithm: str = "md5"
    timeout_s: float = limits.CLIENT_TIMEOUT_S
    retries: int = limits.CLIENT_RETRIES
    retry_creates: bool = True


def load_config(
    base_url: str | None = None,
    access_key: str | None = None,
    access_secret: str | Secret | None = None,
    *,
    algorithm: str | None = None,
    profile: str | None = None,
    timeout_s: float = limits.CLIENT_TIMEOUT_S,
    retries: int = limits.CLIENT_RETRIES,
    retry_creates: bool | None = None,
    environ: Mapping[str, str] | None = None,
) -> ClientConfig:
    """Put a client's settings together.

    The profile is read only where it was named or a setting is missing.

    Args:
        base_url: The server, e.g. `https://pns.example.com`; with a path, the API's whole URL.
        access_key: The access key.
        access_secret: Its secret.
        algorithm: "md5" or "sha256"; md5 where nothing says otherwise.
        profile: A profile of the configuration file; OPENPNS_PROFILE or "default" where None.
        timeout_s: In seconds.
        retries: How often a call is sent again where that is safe.
        retry_creates: Whether createGroup is sent again, under a client token, after its answer was
            lost; it is where nothing says otherwise.
        environ: The environment; the process's own where None.

    Raises:
        ConfigError: Something is missing or not allowed; the text never holds the secret.
    """
    access_secret = _wrapped(access_secret)
    found = _from_environ(os.environ if environ is None else environ)
    switch = None if retry_creates is None else str(retry_creates).lower()
    arguments = (base_url, access_key, access_secret, algorithm, switch)
    found |= {
        name: given for name, given in zip(_KEYS, arguments, strict=True) if given is not None
    }
    wanted = profile or _profile_name(environ)
    if wanted is not None or any(name not in found for name in _REQUIRED):
        found = load_profile(wanted, environ) | found
    _require(found, wanted, environ)
    chosen = found.get("algorithm", "md5")
    if chosen not in signing.ALGORITHMS:
        raise ConfigError("algorithm: allowed are md5 and sha256")
    if found.get("retry_creates", "true") not in _SWITCH:
        raise ConfigError("retry_creates: allowed are true and false")
    if not timeout_s > 0:
        raise ConfigError("timeout_s: allowed is a number of seconds above 0")
    if retries < 0:
        raise ConfigError("retries: allowed is 0 or more")
    return ClientConfig(
        url=api_url(found["base_url"]),
        access_key=_checked("access_key", found["access_key"]),
        access_secret=_checked("access_secret", found["access_secret"]),
        algorithm=chosen,
        timeout_s=timeout_s,
        retries=retries,
        retry_creates=_SWITCH[found.get("retry_creates", "true")],
    )


def api_url(base_url: str) -> str:
    """Return the API's whole URL.

    Args:
        base_url: A server's URL; the API's path is added where it names none.

    Raises:
        ConfigError: It is no http or https URL, or has a part that has no place here.
    """
    try:
        parts = urlsplit(base_url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, is_whole = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not is_whole or base_url != base_url.strip():
        raise ConfigError(
            "base_url: allowed is an http or https URL such as https://pns.example.com"
        )
    if "@" in parts.netloc or "?" in base_url or "#" in base_url:
        raise ConfigError("base_url: a user, a password, a query or a fragment is not allowed")
    return base_url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}{API_PATH}"


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return the configuration file: in XDG_CONFIG_HOME, or ~/.config.

    Args:
        environ: The environment; the process's own where None.

    Raises:
        ConfigError: This user has no home.
    """
    given = (os.environ if environ is None else environ).get("XDG_CONFIG_HOME")
    try:
        home = Path(given) if given else Path.home() / ".config"
    except RuntimeError:
        raise ConfigError("profiles: this user has no home; set XDG_CONFIG_HOME") from None
    return home / "openpns" / "config.toml"


def load_profile(name: str | None, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the settings of a profile; none where no file is there and no name was given.

    Args:
        name: Its name; None for OPENPNS_PROFILE or "default".
        environ: The environment; the process's own where None.

    Returns:
        Texts, and a `Secret` under access_secret.

    Raises:
        ConfigError: The file is no TOML, or has no such profile or setting.
    """
    wanted = name or _profile_name(environ)
    file = config_file(environ)
    profiles = _read(file)
    profile = profiles.get(wanted or DEFAULT_PROFILE)
    if profile is None and wanted is None:
        return {}
    if not isinstance(profile, dict):
        there = ", ".join(name for name in profiles if isinstance(profiles[name], dict))
        raise ConfigError(f"profile {wanted!r}: not in {file}; there are {there or 'none'}")
    switch = profile.get("retry_creates")
    if isinstance(switch, bool):
        profile = profile | {"retry_creates": str(switch).lower()}
    for key, value in profile.items():
        if key not in _KEYS or not isinstance(value, str | Secret):
            raise ConfigError(
                f"{file}: profile {wanted or DEFAULT_PROFILE}: {key}: allowed are the texts "
                f"{', '.join(_KEYS)}"
            )
    return profile


def _profile_name(environ: Mapping[str, str] | None) -> str | None:
    return (os.environ if environ is None else environ).get("OPENPNS_PROFILE") or None


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the environment sets; an empty variable sets nothing."""
    found = {name: environ.get(f"OPENPNS_{name.upper()}") for name in _KEYS}
    return {
        name: _wrapped(value) if name == "access_secret" else value
        for name, value in found.items()
        if value
    }


def _wrapped(secret: str | Secret | None) -> Secret | None:
    return Secret(secret) if isinstance(secret, str) else secret


def _require(found: dict[str, Any], wanted: str | None, environ: Mapping[str, str] | None) -> None:
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        variables = ", ".join(f"OPENPNS_{name.upper()}" for name in missing)
        raise ConfigError(
            f"{', '.join(missing)}: not set; give it as an argument, as {variables}, or in the "
            f"profile {wanted or DEFAULT_PROFILE!r} of {config_file(environ)}"
        )


def _checked(name: str, value: Any) -> Any:
    """Return a setting that can be sent; a line break from a file would only fail later."""
    problem = _problem(value.reveal() if isinstance(value, Secret) else value)
    if problem:
        raise ConfigError(f"{name}: {problem}")
    return value


def _problem(text: str) -> str | None:
    if not text:
        return "it is empty"
    if text != text.strip():
        return "white space at its begin or end is not allowed"
    if not (text.isascii() and text.isprintable()):
        return "allowed are printable ASCII characters"
    return None


def _read(file: Path) -> dict[str, Any]:
    """Return the file's profiles, secrets wrapped; none where there is no file."""
    try:
        return {name: _with_secret(table) for name, table in _parse(file).items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        problem = f"cannot read it ({error.strerror})"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        problem = "it is no TOML file"
    # Raised out here, so that it does not hold the parser's error: its frames hold the text.
    raise ConfigError(f"{file}: {problem}")


def _parse(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text("utf-8"))


def _with_secret(table: Any) -> Any:
    if not isinstance(table, dict) or "access_secret" not in table:
        return table
    secret = table["access_secret"]
    return table | {"access_secret": Secret(secret) if isinstance(secret, str) else None}
