"""Options that several commands share: server, access key, database."""

import functools
import os
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from openpns import limits
from openpns.cli.lazy import FILE_NAME, UTF8_TEXT
from openpns.cli.progress import progress
from openpns.kit.interrupts import run_loop
from openpns.kit.plain_text import plain

if TYPE_CHECKING:
    from openpns.client.config import ClientConfig
    from openpns.client.http import AsyncClient, Client
    from openpns.storage.store import Store

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
ResultT = TypeVar("ResultT")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
limit_option = click.option(
    "--limit", type=click.IntRange(min=0), help="At most this many; all if not given."
)
phones_file_option = click.option(
    "--phones-file",
    type=FILE_NAME,
    metavar="FILE",
    help="Also read phones from a file; - for stdin.",
)
_database_option = functools.partial(
    click.option,
    "--database",
    envvar="OPENPNS_DATABASE",
    metavar="URL",
    show_envvar=True,
    help="sqlite:///file.db or postgresql://…",
)
database_option = _database_option(required=True)
optional_database_option = _database_option()


class DatabaseFile(click.Path):
    """The path of an SQLite file, which must be UTF-8."""

    def __init__(self, *, is_folder: bool = False) -> None:
        super().__init__(file_okay=not is_folder, dir_okay=is_folder, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, for `os`: in Latin-1 its text is another one than that of the UTF-8."""
        UTF8_TEXT.convert(value, param, ctx)
        return super().convert(value, param, ctx)


class ServerOptions(msgspec.Struct, frozen=True):
    """The command line's server and access key.

    The secret has no option: other users of the machine can read arguments.
    """

    profile: str | None
    base_url: str | None
    access_key: str | None

    @property
    def is_given(self) -> bool:
        """Whether any option is given."""
        return any((self.profile, self.base_url, self.access_key))

    def load(self) -> "ClientConfig":
        """Return the client's settings; see `load_config` for the errors."""
        from openpns.client.config import load_config

        return load_config(**msgspec.structs.asdict(self))

    @contextmanager
    def open(self) -> "Iterator[Client]":
        """Open a client; each of its warnings is one line on stderr."""
        from openpns.client.http import Client

        with client_warnings(), Client(**msgspec.structs.asdict(self)) as client:
            yield client

    def async_client(self, retries: int) -> "AsyncClient":
        """Return a client for concurrent requests, after `open` has given its warnings."""
        from openpns.client.config import PlainHttpWarning
        from openpns.client.http import AsyncClient

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PlainHttpWarning)
            return AsyncClient(**msgspec.structs.asdict(self), retries=retries)


def add_options(*options: Callable[[Any], Any]) -> Callable[[CommandT], CommandT]:
    """Return a decorator that adds options to a command, in the order of its help."""

    def decorate(command: CommandT) -> CommandT:
        decorated: Any = command
        for option in reversed(options):
            decorated = option(decorated)
        made: CommandT = decorated
        return made

    return decorate


def format_options(**helps: str) -> Callable[[CommandT], CommandT]:
    """Return a decorator that adds options for formats; the command gets the chosen one as `form`.

    Without any of them it is "table". Two of them exclude each other.

    Args:
        helps: The help of each option by the name of its format: "json", "csv", …; that of "ids"
            is --quiet.
    """
    flags = {form: ("-q", "--quiet") if form == "ids" else (f"--{form}",) for form in helps}

    def decorate(command: CommandT) -> CommandT:
        @functools.wraps(command)
        def with_form(*args: Any, **options: Any) -> Any:
            chosen = [form for form in helps if options.pop(f"is_{form}")]
            if len(chosen) > 1:
                names = " and ".join(flags[form][-1] for form in chosen[:2])
                raise click.UsageError(f"{names} exclude each other.")
            return command(*args, form=chosen[0] if chosen else "table", **options)

        decorated: Any = add_options(
            *(
                click.option(*flags[form], f"is_{form}", is_flag=True, help=text)
                for form, text in helps.items()
            )
        )(with_form)
        made: CommandT = decorated
        return made

    return decorate


def server_options(command: CommandT) -> CommandT:
    """Add the options that select the server; the command gets them as `server`."""

    @functools.wraps(command)
    def with_server(
        *args: Any, profile: str | None, base_url: str | None, access_key: str | None, **others: Any
    ) -> Any:
        return command(*args, server=ServerOptions(profile, base_url, access_key), **others)

    decorated: Any = add_options(
        click.option("--profile", metavar="NAME", help="A profile of the configuration file."),
        click.option("--base-url", metavar="URL", help="The server, e.g. https://pns.example.com."),
        click.option("--access-key", metavar="KEY", help="The access key; never its secret."),
    )(with_server)
    made: CommandT = decorated
    return made


@contextmanager
def client_warnings() -> Iterator[None]:
    """Print each warning of a client as one line on stderr, once."""
    from openpns.client.config import PlainHttpWarning
    from openpns.client.timestamps import ClockSkewWarning

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        click.echo(plain(f"openpns: {message}"), err=True)

    with warnings.catch_warnings():
        for kind in (ClockSkewWarning, PlainHttpWarning):
            warnings.simplefilter("once", kind)
        warnings.showwarning = show
        yield


def with_store(
    database: str,
    work: Callable[["Store"], Awaitable[ResultT]],
    *,
    timeout_ms: int = limits.STORAGE_TIMEOUT_MS,
    create: bool = False,
    migrated: bool = True,
    label: str | None = None,
) -> ResultT:
    """Run `work` on an open database.

    Args:
        timeout_ms: How long one statement may take.
        create: Create a missing SQLite file.
        migrated: First check that the migrations are current.
        label: What a terminal shows if this takes long.
    """
    from openpns.storage import connect

    async def run() -> ResultT:
        store = await connect.open_store(database, create=create, timeout_ms=timeout_ms)
        try:
            if migrated:
                await connect.check_current(store, database)
            return await work(store)
        finally:
            await store.close()

    with connect.explained_refusals(), progress(label) if label else nullcontext():
        return run_loop(run())


def master_key_variable() -> str | None:
    """Return the master keys that the environment gives; None if it does not."""
    from openpns.accounts.master_key import find_variable

    return find_variable(os.environ)


def format_time(ms: int | None) -> str:
    """Return a time in ms since 1970 as text, in UTC; "-" for None, "?" after the year 9999."""
    if ms is None:
        return "-"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # of a damaged row
        return "?"
