"""`openpns quickstart`: from nothing to an answered listGroup, in one command."""

import http.client
import os
import threading
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from openpns.clock import now_ms
from openpns.errors import ConfigError
from openpns.protocol import signing

if TYPE_CHECKING:
    from openpns.accounts.access_keys import NewSecret
    from openpns.accounts.secret_box import SecretBox
    from openpns.server.config import Settings
    from openpns.storage.store import Store

_CUSTOMER_ID: Final = "cus_1"
_LABEL: Final = "quickstart"
_PATH: Final = "/api/pns/"
_BODY: Final = '{"limit":3,"offset":0}'
_START_S: Final = 30
_BIZ_TYPE: Final = "5"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, help="The port; 0 picks a free one.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var"),
    show_default=True,
    help="The folder for the database.",
)
def quickstart(host: str, port: int, data: Path) -> None:
    """Make a database with a sample customer, serve it, and send one signed listGroup."""
    import asyncio

    from openpns.server.config import load_settings
    from openpns.server.run import free_port, run

    _make_folder(data)
    url = f"sqlite:///{data.absolute() / 'openpns.db'}"
    settings = load_settings({"database": url, "host": host, "port": port}, os.environ)
    free_port("port", settings.host, settings.port)  # before the secret is shown, this once
    key, is_new = asyncio.run(_prepare(url))
    click.echo(f"database       {data / 'openpns.db'}")
    click.echo(f"customer       {key.customer_id}")
    click.echo(f"access key     {key.access_key}")
    if is_new:
        click.echo(f"access secret  {key.access_secret}")
        click.echo("               (shown this once; openpns keys rotate gives a new one)")
    run(settings, started=lambda final: _call_when_up(final, key))


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
            f"--data: cannot write in the folder {data} ({error.strerror}); allowed is a folder "
            "that this user may write"
        ) from None


async def _prepare(url: str) -> tuple["NewSecret", bool]:
    """Bring the database to where a call can be answered; a second run changes nothing."""
    from openpns.accounts import customers, master_key
    from openpns.storage import connect

    store = await connect.open_store(url, create=True)
    try:
        await connect.migrate(store, url)
        await connect.check_current(store, url)
        secret_box = await master_key.open_secret_box(
            store, url, os.environ.get(master_key.VARIABLE) or None
        )
        known = {c.customer_id: c for c in await customers.list_customers(store)}
        if _CUSTOMER_ID not in known:
            await customers.create(store, now_ms, _CUSTOMER_ID, "Quickstart")
        if _CUSTOMER_ID not in known or known[_CUSTOMER_ID].group_count == 0:
            await _import_sample(store)
        return await _find_or_create_key(store, secret_box)
    finally:
        await store.close()


async def _import_sample(store: "Store") -> None:
    from openpns.cli.group_database import services_for
    from openpns.cli.group_file import read_csv
    from openpns.groups import transfer

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
    click.echo(f"loaded {done.groups} sample groups with {done.phones} numbers")


def _sample() -> Path:
    """Return the sample file: in the installed package, or in the checkout it is run from."""
    packaged = Path(str(resources.files("openpns"))) / "samples" / "groups.csv"
    checkout = Path(__file__).parents[3] / "samples" / "groups.csv"
    return packaged if packaged.exists() else checkout


async def _find_or_create_key(store: "Store", secret_box: "SecretBox") -> tuple["NewSecret", bool]:
    from openpns.accounts import access_keys

    for known in await access_keys.list_keys(store, _CUSTOMER_ID):
        found = await access_keys.find(store, known.access_key)
        if known.label == _LABEL and found is not None and found.is_active(now_ms()):
            secret = secret_box.decrypt(found.secret_ciphertext, known.access_key).decode()
            return access_keys.NewSecret(known.access_key, secret, _CUSTOMER_ID), False
    return await access_keys.create(store, secret_box, now_ms, _CUSTOMER_ID, label=_LABEL), True


def _call_when_up(settings: "Settings", key: "NewSecret") -> None:
    """Send one call once the server answers, in a thread: the server has the main one."""
    threading.Thread(target=_call, args=(settings, key), name="first call", daemon=True).start()


def _call(settings: "Settings", key: "NewSecret") -> None:
    address = "127.0.0.1" if settings.host in ("0.0.0.0", "") else settings.host  # noqa: S104
    headers = _signed_headers(key)
    answer = _send(address, settings.port, headers)
    curl = [f"curl -sS http://{_in_url(address)}:{settings.port}{_PATH}"]
    curl += [f"-H '{name}: {value}'" for name, value in headers.items()]
    curl.append(f"--data-raw '{_BODY}'")
    click.echo("\nOne signed listGroup, as a command (its signature is good for 60 s):\n")
    click.echo("  " + " \\\n    ".join(curl))
    click.echo(f"\nand its answer:\n\n{answer}\n")
    click.echo("Serving until Ctrl-C.")


def _signed_headers(key: "NewSecret") -> dict[str, str]:
    ts = str(now_ms())
    signature = signing.sign(
        key.access_key, "listGroup", _BIZ_TYPE, ts, _BODY.encode(), key.access_secret
    )
    return {
        "accessKey": key.access_key,
        "action": "listGroup",
        "bizType": _BIZ_TYPE,
        "ts": ts,
        "sign": signature,
        "Content-Type": "application/json",
    }


def _send(address: str, port: int, headers: dict[str, str]) -> str:
    end = time.monotonic() + _START_S
    while True:
        connection = http.client.HTTPConnection(address, port, timeout=_START_S)
        try:
            connection.request("POST", _PATH, _BODY, headers)
            return connection.getresponse().read().decode()
        except OSError as error:
            if time.monotonic() > end:
                return f"none: the server cannot be reached ({error})"
            time.sleep(0.05)
        finally:
            connection.close()


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
