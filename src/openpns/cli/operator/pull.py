"""`openpns pull`."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
import msgspec

from openpns.accounts import customers
from openpns.bindings.wire import AXB, AXG
from openpns.bulk.pull import KnownKind, Pull, Pulled
from openpns.cli.exit_codes import ExitCode
from openpns.cli.groups.database_transfer import services_for
from openpns.cli.lazy import FILE_NAME
from openpns.cli.options import ServerOptions, client_warnings, database_option, with_store
from openpns.cli.output import print_json
from openpns.cli.streams import change_result
from openpns.errors import ConfigError
from openpns.kit.plain_text import plain
from openpns.kit.text_file import decode_text
from openpns.storage.store import Store

_RETRIES: Final = 5
_TIMEOUT_MS: Final = 600_000
_NOTES_MAX: Final = 20
_COLUMNS: Final = ["bindId", "kind", "groupId"]


@click.command()
@click.option("--from", "profile", required=True, metavar="PROFILE", help="The other server.")
@click.option("--customer", "customer_id", required=True, help="Whose groups and bindings.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and change nothing.")
@click.option(
    "--assume-axb",
    is_flag=True,
    help="A binding with two phones and no digits binds two phones, not a group.",
)
@click.option(
    "--map",
    "map_file",
    type=FILE_NAME,
    metavar="FILE",
    help="CSV with the columns bindId, kind (axb or axg) and groupId.",
)
@click.option(
    "--allow-empty",
    is_flag=True,
    help="If the other server lists no binding, end all that were brought from it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@database_option
def pull(
    profile: str,
    customer_id: str,
    map_file: str | None,
    database: str,
    *,
    dry_run: bool,
    assume_axb: bool,
    allow_empty: bool,
    as_json: bool,
) -> None:
    """Copy number groups and live bindings from another server of this API.

    They keep their ids, order, virtual numbers and ends. Run it again to bring only what changed,
    or after an interruption. Bindings that have ended there end here, too.
    """
    known = {} if map_file is None else _read_map(map_file)
    notes = 0

    def note(text: str) -> None:
        nonlocal notes
        notes += 1
        if notes <= _NOTES_MAX:
            click.echo(plain(text), err=True)
        elif notes == _NOTES_MAX + 1:
            click.echo("more is left out, not shown", err=True)

    async def work(store: Store) -> Pulled:
        await customers.get(store, customer_id)
        async with ServerOptions(profile, None, None).async_client(_RETRIES) as client:
            run = Pull(
                services_for(store),
                client,
                customer_id,
                known=known,
                assume_axb=assume_axb,
                dry_run=dry_run,
                allow_empty=allow_empty,
                note=note,
            )
            return await run.run()

    with client_warnings():
        done = with_store(database, work, timeout_ms=_TIMEOUT_MS, label="pulling")
    with change_result():
        _print(done, customer_id, as_json=as_json)
    if dry_run:
        click.echo("dry run: nothing was changed", err=True)
    if done.left_out:
        raise SystemExit(ExitCode.FAILED)


def _print(done: Pulled, customer_id: str, *, as_json: bool) -> None:
    if as_json:
        names = msgspec.structs.asdict(done)
        print_json({_camel(name): value for name, value in names.items()})
        return
    click.echo(
        f"groups: {done.groups_new} new, {done.groups_changed} changed, {done.groups_same} the same"
    )
    click.echo(
        f"bindings: {done.bindings_new} new, {done.bindings_changed} changed, "
        f"{done.bindings_same} the same, {done.bindings_ended} ended"
    )
    if done.left_out:
        click.echo(f"left out: {done.left_out}")
    if done.missing_numbers:
        click.echo("virtual numbers that are not here; add them if they are yours:")
        for did in done.missing_numbers:
            click.echo(plain(f"openpns numbers add {did} --customer {customer_id}"))


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def _read_map(file: str) -> Mapping[str, KnownKind]:
    try:
        text, problem = decode_text(Path(file).read_bytes())
    except OSError as error:
        raise ConfigError(f"--map: {file}: cannot read it ({error.strerror})") from None
    if problem:
        raise ConfigError(f"--map: {file}: {problem}")
    rows = csv.DictReader(io.StringIO(text))
    if rows.fieldnames is None or not {*_COLUMNS[:2]} <= {*rows.fieldnames}:
        raise ConfigError(f"--map: {file}: the header must be {','.join(_COLUMNS)}")
    known = {}
    for row in rows:
        kind, group_id = row["kind"], row.get("groupId") or ""
        if kind not in (AXB, AXG) or (kind == AXG) != bool(group_id):
            raise ConfigError(
                f"--map: {file}: line {rows.line_num}: kind must be axb, or axg with a groupId"
            )
        known[row["bindId"]] = KnownKind(kind, group_id)
    return known
