"""`openpns groups import|export`: in bulk, through the API or straight at the database.

The option --customer selects the database, and nothing else does: an OPENPNS_DATABASE that
stands in the environment for other commands must not change where groups are written.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from openpns.cli.group_file import form_of, open_source, open_target, row_writer
from openpns.cli.profile import Target, client_options, open_client

if TYPE_CHECKING:
    from openpns.cli.group_report import Importer

_CONCURRENCY: Final = 8
_CONCURRENCY_MAX: Final = 64
_STATE_SUFFIX: Final = ".openpns-import"

customer_option = click.option(
    "--customer", "customer_id", help="Work straight at the database, for this customer."
)
database_option = click.option(
    "--database",
    envvar="OPENPNS_DATABASE",
    show_envvar=True,
    metavar="URL",
    help="The database; used with --customer only.",
)
format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    help="CSV or JSON lines; else as the file's name ends (.jsonl), else CSV.",
)


@click.command("import")
@click.argument("file")
@format_option
@click.option("--dry-run", is_flag=True, help="Check every row, show what would be done.")
@click.option("--keep-going", is_flag=True, help="Leave bad rows out and write the others.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, _CONCURRENCY_MAX),
    default=_CONCURRENCY,
    show_default=True,
    help="How many calls at once.",
)
@click.option("--resume", is_flag=True, help="Go on where an earlier import was cut off.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=f"Where to note what is done; FILE{_STATE_SUFFIX} where not given.",
)
@client_options
@customer_option
@database_option
@click.pass_context
def import_(
    context: click.Context,
    file: str,
    form: str | None,
    concurrency: int,
    state: Path | None,
    target: Target,
    customer_id: str | None,
    database: str | None,
    *,
    dry_run: bool,
    keep_going: bool,
    resume: bool,
) -> None:
    """Import groups from a FILE (- for stdin) with columns groupId, groupName, phones, remark.

    Every row is checked first: one bad row, and nothing is written. A row without groupId
    becomes a new group; one with groupId replaces the numbers of that group. At the database
    (--customer) every row becomes a new group.
    """
    importer = _importer(context, file, customer_id, database, target, concurrency, state, resume)
    from openpns.cli.group_report import GroupFile, run_import

    with open_source(file) as source:
        run_import(
            importer,
            GroupFile(source, file, form_of(file, form)),
            dry_run=dry_run,
            keep_going=keep_going,
        )


@click.command()
@click.argument("file", default="-")
@format_option
@client_options
@customer_option
@database_option
@click.pass_context
def export(
    context: click.Context,
    file: str,
    form: str | None,
    target: Target,
    customer_id: str | None,
    database: str | None,
) -> None:
    """Export all groups to a FILE (- for stdout), oldest first, as import reads them.

    Straight at the database (--customer) the file is one snapshot.
    """
    url = _database_url(context, customer_id, database, target)
    if url and customer_id:
        from openpns.cli.group_database import export_database

        count = export_database(file, form_of(file, form), url, customer_id)
    else:
        count = _export_api(file, form_of(file, form), target)
    click.echo(f"exported {count} groups", err=True)


def _export_api(file: str, form: str, target: Target) -> int:
    from openpns.cli.group_list import as_row

    count = 0
    with open_client(target) as client, open_target(file) as out:
        write = row_writer(out, form)
        for group in client.groups.iterate():
            write(as_row(group))
            count += 1
    return count


def _importer(
    context: click.Context,
    file: str,
    customer_id: str | None,
    database: str | None,
    target: Target,
    concurrency: int,
    state: Path | None,
    resume: bool,
) -> "Importer":
    url = _database_url(context, customer_id, database, target)
    if url and customer_id:
        for name in ("concurrency", "resume", "state"):
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name} does not go with --customer.")
        from openpns.cli.group_database import DatabaseImporter

        return DatabaseImporter(url, customer_id)
    if resume and file == "-" and state is None:
        raise click.UsageError("--resume from stdin needs --state.")
    if state is None and file != "-":
        state = Path(file + _STATE_SUFFIX)
    from openpns.cli.group_import import ApiImporter

    return ApiImporter(target, concurrency, state, resume=resume)


def _database_url(
    context: click.Context, customer_id: str | None, database: str | None, target: Target
) -> str | None:
    """Return the database to work at; None for the API."""
    if customer_id is None:
        if context.get_parameter_source("database") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--database goes with --customer.")
        return None
    if target.is_given:
        raise click.UsageError("--customer works at the database, without a profile or server.")
    if not database:
        raise click.UsageError("Missing option '--database' (env var: 'OPENPNS_DATABASE').")
    return database
