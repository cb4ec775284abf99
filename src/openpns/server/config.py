"""Load the server's settings."""

from collections.abc import Mapping
from typing import Any

from openpns.process import config as sources
from openpns.server.settings import FIELDS, Settings


def load_settings(
    arguments: Mapping[str, Any], environ: Mapping[str, str], config: str | None = None
) -> Settings:
    """Return the settings of a server; see `process.config.load`."""
    return sources.load(Settings, arguments, environ, config)


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return variables that nothing reads, each with the one that is probably meant."""
    return sources.unknown_variables(environ, [field.name for field in FIELDS])
