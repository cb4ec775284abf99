"""`openpns quickstart`: create a database, serve it, and send one signed listGroup."""

import http.client
import os
import textwrap
import threading
import time
from contextlib import suppress
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final

import click

from openpns.accounts import access_keys, customers, master_key
from openpns.accounts.access_keys import NewSecret
from openpns.accounts.secret_box import SecretBox
from openpns.bulk.files import read_csv
from openpns.cli.groups.database_transfer import services_for
from openpns.cli.operator.key_printing import undone_if_not_shown
from openpns.cli.options import DatabaseFile, master_key_variable, with_store
from openpns.cli.output import format_curl
from openpns.cli.streams import OutputFailed
from openpns.clock import now_ms
from openpns.errors import ConfigError
from openpns.groups import transfer
from openpns.kit.plain_text import plain
from openpns.numbers import service as numbers
from openpns.protocol.headers import PATH, host_in_url, signed_headers
from openpns.server.config import load_settings
from openpns.server.run import run
from openpns.server.settings import Settings
from openpns.storage import connect
from openpns.storage.store import Store, database_url
from openpns.transport.sockets import listen

_CUSTOMER_ID: Final = "cus_1"
_LABEL: Final = "quickstart"
_DIDS: Final = ("85200000001", "85200000002")
"""Sample virtual numbers: none that a network could have given to anybody."""
_BODY: Final = '{"limit":3,"offset":0}'
_START_S: Final = 30


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, help="The port; 0 picks a free one.")
@click.option(
    "--data",
    type=DatabaseFile(is_folder=True),
    default=Path("var"),
    show_default=True,
    help="The folder for the database.",
)
def quickstart(host: str, port: int, data: Path) -> None:
    """Create a database with a sample customer, serve it, and send one signed listGroup."""
    _make_folder(data)
    url = database_url(data.absolute() / "openpns.db")
    settings = load_settings({"database": url, "host": host, "port": port}, os.environ)
    listen("port", settings.host, settings.port).close()  # before the secret is shown, only once
    key, is_new = with_store(url, lambda store: _prepare(store, url), create=True, migrated=False)
    disable = partial(access_keys.disable, access_key=key.access_key, now_ms=now_ms())
    with undone_if_not_shown(
        lambda: with_store(url, disable) if is_new else None,
        done=f"the access key {key.access_key} is disabled now" if is_new else "not started",
        left=f"disable the access key {key.access_key}",
    ):
        click.echo(plain(f"database       {data / 'openpns.db'}"))
        click.echo(f"customer       {key.customer_id}")
        click.echo(f"access key     {key.access_key}")
        if is_new:
            click.echo(f"access secret  {key.access_secret}")
            click.echo("               (shown only once; openpns keys rotate creates a new one)")

    def started(final: Settings) -> None:
        # in a thread: the server uses the main one
        threading.Thread(target=_send, args=(final, key), name="first request", daemon=True).start()

    run(settings, started=started)


def _make_folder(data: Path) -> None:
    try:
        for folder in (*reversed(data.parents), data):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        probe = data / f".openpns-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"--data: cannot write in the folder {data} ({error.strerror}); give a folder that "
            "this user may write"
        ) from None


async def _prepare(store: Store, url: str) -> tuple[NewSecret, bool]:
    """Create what is missing: tables, customer, sample groups, key; return whether it is new."""
    await connect.migrate(store, url)
    await connect.check_current(store, url)
    secret_box = await master_key.open_secret_box(store, url, master_key_variable())
    known = {c.customer_id: c for c in await customers.list_customers(store)}
    if _CUSTOMER_ID not in known:
        await customers.create(store, now_ms, _CUSTOMER_ID, "Quickstart")
        with suppress(ConfigError):  # a database of an older version may have them later
            await numbers.add(store, now_ms, _CUSTOMER_ID, _DIDS)
    if _CUSTOMER_ID not in known or known[_CUSTOMER_ID].group_count == 0:
        await _import_sample(store)
    return await _find_or_create_key(store, secret_box)


async def _import_sample(store: Store) -> None:
    def refuse(row: transfer.BadRow) -> None:
        raise ConfigError(f"{sample}: line {row.line}: {row.why}")

    sample = _sample()
    with sample.open(encoding="utf-8", newline="") as file:
        done = await transfer.import_rows(
            services_for(store),
            _CUSTOMER_ID,
            read_csv(file, str(sample)),
            on_bad=refuse,
            on_batch=lambda: None,
            dry_run=False,
        )
    click.echo(
        f"loaded {done.groups} sample groups with {done.phones} phones; the virtual numbers are "
        f"{' and '.join(_DIDS)}"
    )


def _sample() -> Path:
    """Return the sample file of the installed package, or of the checkout."""
    packaged = Path(str(resources.files("openpns"))) / "samples" / "groups.csv"
    checkout = Path(__file__).parents[4] / "samples" / "groups.csv"
    return packaged if packaged.exists() else checkout


async def _find_or_create_key(store: Store, secret_box: SecretBox) -> tuple[NewSecret, bool]:
    for known in await access_keys.list_keys(store, _CUSTOMER_ID):
        found = await access_keys.find(store, known.access_key)
        if known.label == _LABEL and found is not None and found.is_active(now_ms()):
            secret = await access_keys.get_secret(store, secret_box, known.access_key)
            return NewSecret(known.access_key, secret, _CUSTOMER_ID), False
    return await access_keys.create(store, secret_box, now_ms, _CUSTOMER_ID, label=_LABEL), True


def _send(settings: Settings, key: NewSecret) -> None:
    """Send one request as soon as the server answers, and print both."""
    address = "127.0.0.1" if settings.host in ("0.0.0.0", "") else settings.host  # noqa: S104
    headers = signed_headers(
        key.access_key, "listGroup", now_ms(), _BODY.encode(), key.access_secret
    )
    response = _post(address, settings.port, headers)
    curl = format_curl(f"http://{host_in_url(address)}:{settings.port}{PATH}", headers, _BODY)
    with suppress(OutputFailed):  # the command says so at its end
        click.echo("\nOne signed listGroup, as a command (its signature is valid for 60 s):\n")
        click.echo(textwrap.indent(curl, "  "))
        click.echo(f"\nand its response:\n\n{response}\n")
        click.echo("Serving until Ctrl-C.")


def _post(address: str, port: int, headers: dict[str, str]) -> str:
    end = time.monotonic() + _START_S
    while True:
        connection = http.client.HTTPConnection(address, port, timeout=_START_S)
        try:
            connection.request("POST", PATH, _BODY, headers)
            return connection.getresponse().read().decode()
        except OSError as error:
            if time.monotonic() > end:
                return f"none: the server cannot be reached ({error})"
            time.sleep(0.05)
        finally:
            connection.close()
