"""The migrations: numbered, forward only, the same numbers on both engines."""

import re
from importlib import resources
from typing import Final

from openpns.storage.statements import Engine

_FILE: Final = re.compile(r"([0-9]{4})_[a-z0-9_]+\.(sqlite|postgres)\.sql")


def load_migrations(engine: Engine) -> list[tuple[int, str]]:
    """Return number and SQL of every migration of an engine, in order.

    Args:
        engine: "sqlite" or "postgres".
    """
    found = []
    for file in resources.files(__package__).iterdir():
        match = _FILE.fullmatch(file.name)
        if match and match[2] == engine:
            found.append((int(match[1]), file.read_text("utf-8")))
    return sorted(found)


def newest(engine: Engine) -> int:
    """Return the number of the newest migration: the schema that this version works with.

    Args:
        engine: "sqlite" or "postgres".
    """
    return load_migrations(engine)[-1][0]
