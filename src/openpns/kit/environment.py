"""The variables of openpns in an environment that others write, too."""

import difflib
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Final

PREFIX: Final = "OPENPNS_"

_LINK: Final = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?|ENV_\w+)"
)
"""Variables that Kubernetes sets for a Service whose name begins with `openpns`, and Docker for a
link of that name."""
_LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*")
"""The value of their `…_PORT`, which looks like a setting."""
_LINK_NAME: Final = re.compile(rf"{PREFIX}(\w+_)?NAME")


def tidy(environ: MutableMapping[str, str]) -> None:
    """Remove the variables that Kubernetes and Docker set for a service, and those without a value.

    White space around the others' values is removed: it is the end of the line of a file.
    """
    for name, value in tuple(environ.items()):
        if not name.startswith(PREFIX):
            continue
        stripped = value.strip()
        if not stripped or _is_link(name, stripped):
            del environ[name]
        elif stripped != value:
            environ[name] = stripped


def find_unknown(environ: Mapping[str, str], known: Iterable[str]) -> dict[str, str | None]:
    """Return the variables of openpns that are not `known`, each with the most similar of these."""
    names = [name.removeprefix(PREFIX) for name in known]
    unknown: dict[str, str | None] = {}
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX)
        if name != variable and name not in names:
            similar = difflib.get_close_matches(name, names, 1)
            unknown[variable] = PREFIX + similar[0] if similar else None
    return unknown


def _is_link(name: str, value: str) -> bool:
    if _LINK.fullmatch(name) is not None:
        return True
    if _LINK_NAME.fullmatch(name) is not None:
        return value.startswith("/")
    return name.endswith("_PORT") and _LINK_VALUE.fullmatch(value) is not None
