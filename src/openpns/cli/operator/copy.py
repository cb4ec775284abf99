"""`openpns copy`."""

from pathlib import Path
from typing import Final

import click

from openpns.accounts import master_key
from openpns.accounts.secret_box import SecretBox, read_master_keys
from openpns.cli.lazy import FILE_NAME
from openpns.cli.options import json_option, master_key_variable, with_store
from openpns.cli.output import print_json, print_table
from openpns.cli.progress import progress
from openpns.cli.streams import change_result
from openpns.clock import now_ms
from openpns.copying import ends
from openpns.copying.rows import Secrets
from openpns.copying.run import Copied, Copy
from openpns.errors import ConfigError
from openpns.kit.interrupts import run_loop

_KEY_OPTION: Final = "--to-master-key-file"
_URLS: Final = "sqlite:///file.db or postgresql://…"


@click.command()
@click.option(
    "--from",
    "source",
    required=True,
    envvar="OPENPNS_DATABASE",
    metavar="URL",
    show_envvar=True,
    help=f"The database to copy: {_URLS}",
)
@click.option("--to", "target", metavar="URL", help="A new database; its tables are made.")
@click.option(
    _KEY_OPTION,
    "key_file",
    type=FILE_NAME,
    metavar="FILE",
    help="The master key of the target, if it has another one; secrets are encrypted again.",
)
@click.option(
    "--stopped",
    is_flag=True,
    help="All servers are stopped: copy without noting changes, and start none until the end.",
)
@click.option("--cancel", is_flag=True, help="End a copy: let servers write to the source again.")
@json_option
def copy(
    source: str,
    target: str | None,
    key_file: str | None,
    *,
    stopped: bool,
    cancel: bool,
    as_json: bool,
) -> None:
    """Copy a database to another one, row by row, and move there.

    Servers may use the source meanwhile. Every row that is written is read back and compared. At
    the end writes to the source wait for a moment, until what has changed is copied as well; from
    then on the source takes no writes, and no call is connected there: start servers with the
    target. If a run is interrupted, the same command goes on.
    """
    if cancel:
        if target is not None or key_file is not None or stopped:
            raise click.UsageError(f"--cancel excludes --to, {_KEY_OPTION} and --stopped")
        _cancel(source)
        return
    if target is None:
        raise click.UsageError("Missing option '--to'.")
    key = None if key_file is None else _read_key(key_file)
    with progress("copying") as shown:

        def on_rows(done: int, total: int) -> None:
            shown.done, shown.total = done, total

        async def work() -> Copied:
            async with ends.opened(source, target, now_ms, is_stopped=stopped) as both:
                secrets = None if key is None else await _secrets(source, key)
                return await Copy(both, now_ms, secrets, on_rows).run()

        done = run_loop(work())
    with change_result():
        _print(done, as_json=as_json)
    if key is None:
        _print_key_mistake(target)


def _read_key(file: str) -> SecretBox:
    return SecretBox(read_master_keys(master_key.read_file(Path(file), _KEY_OPTION), _KEY_OPTION))


async def _secrets(source: str, target_key: SecretBox) -> Secrets | None:
    """Return the secret boxes of both databases; None if the source has no secret yet."""
    from openpns.storage import connect

    store = await connect.open_store(source)
    try:
        box = await master_key.find_secret_box(store, source, master_key_variable())
    finally:
        await store.close()
    return None if box is None else Secrets(box, target_key)


def _cancel(source: str) -> None:
    role = run_loop(ends.cancel(source))
    with change_result():
        click.echo(
            {
                "none": "nothing to do: it is the source of no copy",
                "capturing": "the copy has ended; remove its target",
                "moved": "servers can write to it again, and do not know what the target has since",
            }[role]
        )
    if role == "moved":
        click.echo(
            "calls are held: end what has ended in the target meanwhile with openpns bindings end, "
            "then run openpns bindings confirm",
            err=True,
        )


def _print(done: Copied, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    rows = [(name, str(table.rows), table.digest) for name, table in done.tables.items()]
    print_table(("TABLE", "ROWS", "DIGEST"), rows, "")
    rate = f" ({done.copied_rows / done.seconds:.0f} a second)" if done.seconds else ""
    click.echo(f"copied and compared: {done.rows} rows, in this run {done.copied_rows}{rate}")
    click.echo(
        f"writes waited for {done.window_ms} ms, in which {done.window_changes} changes were copied"
    )


def _print_key_mistake(target: str) -> None:
    """Print what the target lacks before a server can use it."""
    try:
        mistake = with_store(
            target, lambda store: master_key.find_mistake(store, target, master_key_variable())
        )
    except ConfigError as error:
        mistake = str(error)
    if mistake is not None:
        click.echo(f"before a server can use it: {mistake}", err=True)
