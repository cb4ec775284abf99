"""The migrations: numbered, forward only, the same steps on both engines.

- `NNNN_name.ENGINE.sql`, up to 8: a `stop` step. All servers must be stopped.
- `NNNN_pre_name.ENGINE.sql`, from 9 on: adds what the new version needs and the old one ignores.
- `NNNN_post_name.ENGINE.sql`: removes or tightens what only the old version needs.

A module `NNNN_….py` with the name of an `.sql` file may have functions that run in the same
transaction: `before_ENGINE(connection)` before the SQL and `after_ENGINE(connection)` after it. On
PostgreSQL they are coroutine functions.

Source: docs/decisions/0024-pre-and-post-migrations.md.
"""

import hashlib
import importlib
import re
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, Final, Literal, cast

import msgspec

from openpns.errors import ConfigError
from openpns.storage.statements import Engine

Step = Literal["stop", "pre", "post"]

Mark = Literal["copying", "moved"]
"""What keeps servers away from a database: a copy into it that is not complete, or one of it."""

MARKS: Final[tuple[Mark, ...]] = ("copying", "moved")

STOP_LAST: Final = 8
"""The last migration that needs all servers stopped; it adds the record of applied steps."""

_STEPS: Final[tuple[Step, ...]] = ("stop", "pre", "post")
_FILE: Final = re.compile(r"(([0-9]{4})_(?:(pre|post)_)?[a-z0-9_]+)\.(sqlite|postgres)\.sql")


class Migration(msgspec.Struct, frozen=True):
    """One step of a migration, for one engine."""

    number: int
    sql: str
    step: Step = "stop"
    file: str = ""
    before: Callable[[Any], Any] | None = None
    after: Callable[[Any], Any] | None = None

    @property
    def key(self) -> tuple[int, Step]:
        """What a database records it under."""
        return self.number, self.step

    @property
    def label(self) -> str:
        """A text for people: "8", "9 pre"."""
        return str(self.number) if self.step == "stop" else f"{self.number} {self.step}"

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


class Applied(msgspec.Struct, frozen=True):
    """A step that was applied to a database."""

    number: int
    step: Step | Mark = "stop"
    checksum: str = ""
    """Empty before migration 8."""


def load_migrations(engine: Engine) -> list[Migration]:
    """Return every step of an engine, in order."""
    folder = resources.files(__package__)
    found = []
    for file in folder.iterdir():
        match = _FILE.fullmatch(file.name)
        if match is None or match[4] != engine:
            continue
        has_module = (folder / f"{match[1]}.py").is_file()
        module = importlib.import_module(f"{__package__}.{match[1]}") if has_module else None
        found.append(
            Migration(
                int(match[2]),
                file.read_text("utf-8"),
                cast("Step", match[3] or "stop"),
                file.name,
                getattr(module, f"before_{engine}", None),
                getattr(module, f"after_{engine}", None),
            )
        )
    return sorted(found, key=lambda one: (one.number, _STEPS.index(one.step)))


def newest() -> int:
    """Return the number of the newest migration that this version knows."""
    return load_migrations("sqlite")[-1].number


def find_missing(
    known: Sequence[Migration], applied: Sequence[Applied], *, with_post: bool
) -> list[Migration]:
    """Return the steps that a run has to apply, in order.

    An empty database gets all steps: no server of an older version can be running on it.

    Raises:
        ConfigError: The SQL of an applied step has changed since, or a copy keeps servers away.
    """
    refuse_marked(applied)
    checksums = {(one.number, one.step): one.checksum for one in applied}
    for one in known:
        if checksums.get(one.key, "") not in ("", one.checksum):
            raise ConfigError(
                f"database: migration {one.label} was applied with another text than that of "
                f"{one.file}; install the released file again"
            )
    with_post = with_post or not applied
    return [one for one in known if one.key not in checksums and (with_post or one.step != "post")]


def refuse_marked(applied: Sequence[Applied]) -> None:
    """Make sure that no copy keeps servers away from a database; `copy` alone can go on with it.

    Raises:
        ConfigError: One does.
    """
    for one in applied:
        if one.step == "copying":
            raise ConfigError(
                "database: a copy into it is not complete; run the same openpns copy again, or "
                "remove the database"
            )
        if one.step == "moved":
            raise ConfigError(
                "database: it was copied to another one, which has newer data since; use that one, "
                "or see openpns copy --cancel"
            )


def refuse_captured(missing: Sequence[Migration], *, is_captured: bool) -> None:
    """Make sure that no step is applied to the source of a copy, whose target would lack it.

    Args:
        is_captured: Whether the database has the table of such a source.

    Raises:
        ConfigError: A copy has not ended.
    """
    if missing and is_captured:
        raise ConfigError(
            "database: it is the source of an openpns copy that has not ended; migrate after its "
            "end, or end it with openpns copy --cancel first"
        )


def find_unknown(known: Sequence[Migration], applied: Sequence[Applied]) -> list[Applied]:
    """Return the applied steps with which this version cannot run: newer ones, but for `pre`."""
    keys = {one.key for one in known}
    return [one for one in applied if (one.number, one.step) not in keys and one.step != "pre"]


def recorded_by(migration: Migration, known: Sequence[Migration]) -> list[Migration]:
    """Return the steps to record after one was applied: migration 8 records those before, too."""
    if migration.number > STOP_LAST:
        return [migration]
    if migration.number == STOP_LAST:
        return [one for one in known if one.number <= STOP_LAST]
    return []
