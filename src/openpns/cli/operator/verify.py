"""`openpns verify`, and the check that backup and restore run too."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import click

from openpns.api.registry import CHECKS, JUDGED_CHECKS
from openpns.cli.options import database_option, json_option, with_store
from openpns.cli.output import print_json
from openpns.cli.progress import progress
from openpns.core import audit_check
from openpns.core.verify import Check
from openpns.core.verify import verify as run_checks
from openpns.kit.plain_text import plain
from openpns.storage import connect
from openpns.storage.sqlite import backup
from openpns.storage.store import Store, database_path

_SHOWN_MAX: Final = 20
_TIMEOUT_MS: Final = 600_000


@click.command()
@database_option
@click.option(
    "--audit-heads",
    "heads_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also check that these heads, from openpns audit head, are in the audit trail.",
)
@json_option
def verify(database: str, heads_file: Path | None, *, as_json: bool) -> None:
    """Check the schema and every row of a database; exit with 1 if something is wrong.

    Servers may run meanwhile. Tables, triggers and so on must be those that the migrations make;
    if they are not, no row is read. Totals must match the rows, and listGroup must show each
    group's phones in their order. Each entry of the audit trail must be the one that was sealed.
    An SQLite file is also checked page by page.
    """
    checks = [*CHECKS, *JUDGED_CHECKS]
    if heads_file is not None:
        checks.append(partial(audit_check.check_heads, audit_check.read_heads(heads_file)))
    counts = read_every_row(database, checks)
    if as_json:
        print_json(counts)
    require_sound(counts)
    if not as_json:
        click.echo(f"verified: {format_counts(counts)}")


def read_every_row(
    database: str, checks: Sequence[Check] = CHECKS, *, accept_newer: bool = False
) -> Mapping[str, int]:
    """Check the schema and every row, and every page of an SQLite file; print the first problems.

    No row is read if the schema is not the one that the migrations make.

    Args:
        accept_newer: Steps of a newer version are not a problem, although what they added cannot be
            checked.
    """
    path = database_path(database)
    problems = 0

    def report(text: str) -> None:
        nonlocal problems
        problems += 1
        if problems <= _SHOWN_MAX:
            click.echo(plain(text), err=True)

    async def check(store: Store) -> Mapping[str, int]:
        found = await connect.find_schema_differences(store, database)
        for line in found.notes:
            click.echo(plain(f"note: {line}"), err=True)
        for line in found.faults:
            report(line)
        if found.newer and not accept_newer:
            report(f"migration {', '.join(found.newer)} is of a newer version; use that one here")
        return {} if problems else await run_checks(store, checks, report)

    counts = with_store(database, check, timeout_ms=_TIMEOUT_MS, label="reading every row")
    with progress("reading every page"):
        wrong_pages = [*backup.check_integrity(Path(path))] if path else []
    for line in wrong_pages:
        report(line)
    return {**counts, "wrong": problems}


def require_sound(counts: Mapping[str, int]) -> None:
    """End the command with exit code 1 if a check found problems."""
    if counts["wrong"]:
        read = format_counts(counts)
        place = f"in {read}" if read else "in the schema; no row was read"
        raise click.ClickException(f"wrong: {counts['wrong']}, {place}")


def format_counts(counts: Mapping[str, int]) -> str:
    """Return what a check has read, as text."""
    words = {name: re.sub("[A-Z]", lambda upper: f" {upper[0].lower()}", name) for name in counts}
    return ", ".join(f"{words[name]} {count}" for name, count in counts.items() if name != "wrong")
