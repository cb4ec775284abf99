"""`openpns groups import|export`, through the API or on the database.

Only --customer selects the database: an OPENPNS_DATABASE that is set for other commands must not
change where groups are written.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from openpns.bulk.api_import import RETRIES, ApiImport
from openpns.bulk.files import form_of, open_rows, open_source, open_target, row_writer
from openpns.bulk.report import Report
from openpns.cli.exit_codes import ExitCode
from openpns.cli.groups.printing import as_row
from openpns.cli.lazy import FILE_NAME
from openpns.cli.options import ServerOptions, client_warnings, server_options
from openpns.cli.progress import progress
from openpns.cli.streams import change_result
from openpns.groups.rows import RawRow
from openpns.kit.interrupts import run_loop
from openpns.kit.plain_text import plain

if TYPE_CHECKING:
    from openpns.cli.groups.database_transfer import DatabaseImporter

_CONCURRENCY: Final = 8
_CONCURRENCY_MAX: Final = 64
_STATE_SUFFIX: Final = ".openpns-import"

customer_option = click.option(
    "--customer", "customer_id", help="Work on the database, for this customer."
)
database_option = click.option(
    "--database",
    envvar="OPENPNS_DATABASE",
    show_envvar=True,
    metavar="URL",
    help="The database; only with --customer.",
)
format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    help="CSV or JSON; if not given, by the extension (.jsonl, .ndjson, .json), else CSV.",
)


class GroupFile:
    """A file of groups that is read more than once."""

    def __init__(self, source: IO[bytes], name: str, form: str, *, is_guarded: bool) -> None:
        self.name = name
        self._source = source
        self._form = form
        self._is_guarded = is_guarded

    @contextmanager
    def read(self, label: str) -> Iterator[Iterator[RawRow]]:
        """Read the rows from the beginning, and show the progress."""
        size = self._source.seek(0, io.SEEK_END)
        with (
            open_rows(self._source, self.name, self._form, is_guarded=self._is_guarded) as rows,
            progress(label) as shown,
        ):
            shown.total = size

            def with_progress() -> Iterator[RawRow]:
                for row in rows:
                    yield row
                    shown.done = self._source.tell()

            yield with_progress()


class ApiImporter:
    """Imports through the API."""

    def __init__(self, server: ServerOptions, concurrency: int, run: ApiImport) -> None:
        self._server = server
        self._concurrency = concurrency
        self._import = run

    def check(self, file: GroupFile, *, show: bool) -> str:
        """Check all rows, also against the existing groups; return what would be done."""
        with self._server.open() as client, file.read("checking") as rows:
            self._import.check(client, rows)
        if not show:
            return ""
        with file.read("comparing") as rows:
            self._import.preview(rows, lambda line: click.echo(plain(line)))
        return self._import.tally.text("import", "change")

    def write(self, file: GroupFile) -> None:
        """Send all good rows that are not done yet, and print what was done."""
        run = self._import
        run.open()

        async def send(rows: Iterator[RawRow]) -> None:
            async with self._server.async_client(RETRIES) as client:
                await run.send(client, rows, self._concurrency)

        try:
            with file.read("importing") as rows, client_warnings():
                run_loop(send(rows))
        finally:
            is_left = run.close()
            journal = run.journal
            if journal.done:
                click.echo(f"{len(journal.done)} rows were done before", err=True)
            for line in sorted(run.unknown):
                run.report.note(line, "unknown: sent, no response")
            if run.failed:
                click.echo(f"failed rows: {run.failed}", err=True)
            if is_left and journal.path is not None:
                click.echo(
                    plain(
                        f"progress is stored in {journal.path}; fix the errors and rerun with "
                        "--resume"
                    ),
                    err=True,
                )
            with change_result():
                click.echo(run.tally.text("imported", "changed"))
        if run.error:
            raise run.error
        if run.failed or run.unknown:
            sys.exit(ExitCode.FAILED)


@click.command("import")
@click.argument("file", type=FILE_NAME, metavar="FILE")
@format_option
@click.option("--dry-run", is_flag=True, help="Check all rows and print what would be done.")
@click.option("--keep-going", is_flag=True, help="Skip bad rows and write the others.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, _CONCURRENCY_MAX),
    default=_CONCURRENCY,
    show_default=True,
    help="Requests in flight at once.",
)
@click.option("--resume", is_flag=True, help="Continue an interrupted import.")
@click.option(
    "--spreadsheet",
    "--guard-formulas",
    "is_guarded",
    is_flag=True,
    help="Read CSV that export --spreadsheet wrote.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=f"Where to store the progress; FILE{_STATE_SUFFIX} if not given.",
)
@server_options
@customer_option
@database_option
@click.pass_context
def import_(
    context: click.Context,
    file: str,
    form: str | None,
    concurrency: int,
    state: Path | None,
    server: ServerOptions,
    customer_id: str | None,
    database: str | None,
    *,
    dry_run: bool,
    keep_going: bool,
    resume: bool,
    is_guarded: bool,
) -> None:
    """Import groups from a FILE (- for stdin) with the columns groupId, groupName, phones, remark.

    All rows are checked first; if one is bad, nothing is written. A row without groupId becomes a
    new group; one with groupId replaces the phones of that group. With --customer, every row
    becomes a new group.
    """
    report = Report(file, lambda text: click.echo(plain(text), err=True))
    url = _database_url(context, customer_id, database, server)
    importer: ApiImporter | DatabaseImporter
    if url and customer_id:
        for name in ("concurrency", "resume", "state"):
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name} cannot be combined with --customer.")
        from openpns.cli.groups import database_transfer  # needs server packages

        importer = database_transfer.DatabaseImporter(url, customer_id, report)
    else:
        if resume and file == "-" and state is None:
            raise click.UsageError("--resume from stdin needs --state.")
        if state is None and file != "-":
            state = Path(file + _STATE_SUFFIX)
        run = ApiImport(state, report, resume=resume)
        importer = ApiImporter(server, concurrency, run)
    form = _form(file, form, is_guarded=is_guarded)
    with open_source(file) as source:
        group_file = GroupFile(source, file, form, is_guarded=is_guarded)
        would = importer.check(group_file, show=dry_run)
        if dry_run:
            click.echo(f"would {would}")
        elif report.bad_lines and not keep_going:
            click.echo("nothing was imported", err=True)
        else:
            importer.write(group_file)
    if report.bad_lines:
        click.echo(f"bad rows: {len(report.bad_lines)}", err=True)
        sys.exit(ExitCode.FAILED)


@click.command()
@click.argument("file", type=FILE_NAME, metavar="[FILE]", default="-")
@format_option
@click.option(
    "--spreadsheet",
    "--guard-formulas",
    "guard",
    is_flag=True,
    help="Write CSV that a spreadsheet opens without running formulas or changing numbers; for "
    "import --spreadsheet.",
)
@server_options
@customer_option
@database_option
@click.pass_context
def export(
    context: click.Context,
    file: str,
    form: str | None,
    server: ServerOptions,
    customer_id: str | None,
    database: str | None,
    *,
    guard: bool,
) -> None:
    """Export all groups to a FILE (- for stdout), oldest first, as import reads them.

    With --customer, the file is one snapshot of the database.
    """
    url = _database_url(context, customer_id, database, server)
    form = _form(file, form, is_guarded=guard)
    if url and customer_id:
        from openpns.cli.groups.database_transfer import export_database  # needs server packages

        count = export_database(file, form, url, customer_id, guard=guard)
    else:
        count = _export_api(file, form, server, guard=guard)
    click.echo(f"exported {count} groups", err=True)


def _form(file: str, form: str | None, *, is_guarded: bool) -> str:
    form = form_of(file, form)
    if is_guarded and form != "csv":
        raise click.UsageError("--spreadsheet is for CSV only.")
    return form


def _export_api(file: str, form: str, server: ServerOptions, *, guard: bool) -> int:
    with server.open() as client, open_target(file) as out, progress("exporting") as shown:
        write = row_writer(out, form, guard=guard)
        for group in client.groups.iterate():
            write(as_row(group))
            shown.done += 1
    return shown.done


def _database_url(
    context: click.Context, customer_id: str | None, database: str | None, server: ServerOptions
) -> str | None:
    """Return the database to work on; None for the API."""
    if customer_id is None:
        if context.get_parameter_source("database") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--database needs --customer.")
        return None
    if server.is_given:
        raise click.UsageError("--customer works on the database, without a profile or server.")
    if not database:
        raise click.UsageError("Missing option '--database' (env var: 'OPENPNS_DATABASE').")
    return database
