"""`openpns verify`, and the reading of every row that backup and restore do as well."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from openpns.cli.database import database_option, with_store
from openpns.cli.output import json_option, print_json

_SHOWN_MAX: Final = 20
_TIMEOUT_MS: Final = 600_000


@click.command()
@database_option
@json_option
def verify(database: str, *, as_json: bool) -> None:
    """Read every row and check that all of them agree; exit 1 where something is wrong.

    A server may be running. Totals must equal rows, and what listGroup shows must be each group's
    numbers in their order. An SQLite file is checked page by page as well.
    """
    counts = read_every_row(database)
    if as_json:
        print_json(counts)
    require_sound(counts)
    if not as_json:
        click.echo(f"verified: {in_words(counts)}")


def read_every_row(database: str) -> Mapping[str, int]:
    """Read every row of a database, and every page where it is SQLite's; tell what is wrong.

    Args:
        database: Its URL.

    Raises:
        ConfigError: The database cannot be opened, or its migrations are not current.
        ReadFailed: It is too damaged to be read.
    """
    from openpns.api.registry import CHECKS
    from openpns.core.verify import verify as run_checks
    from openpns.storage.sqlite import backup
    from openpns.storage.store import database_path

    path = database_path(database)
    told = 0

    def tell(text: str) -> None:
        nonlocal told
        told += 1
        if told <= _SHOWN_MAX:
            click.echo(text, err=True)

    counts = with_store(
        database, lambda store: run_checks(store, CHECKS, tell), timeout_ms=_TIMEOUT_MS
    )
    for line in backup.check_integrity(Path(path)) if path else []:
        tell(line)
    return counts | {"wrong": told}


def require_sound(counts: Mapping[str, int]) -> None:
    """End the command with exit code 1 where something is wrong.

    Args:
        counts: What was read.

    Raises:
        click.ClickException: Something is.
    """
    if counts["wrong"]:
        raise click.ClickException(f"wrong: {counts['wrong']}, in {in_words(counts)}")


def in_words(counts: Mapping[str, int]) -> str:
    """Return for people what a check has read.

    Args:
        counts: What it has read.
    """
    words = {name: re.sub("[A-Z]", lambda upper: f" {upper[0].lower()}", name) for name in counts}
    return ", ".join(f"{words[name]} {count}" for name, count in counts.items() if name != "wrong")
