"""`openpns emulator`."""

import os
from pathlib import Path

import click

from openpns.bulk.files import open_target
from openpns.cli.lazy import FILE_NAME
from openpns.core import logs
from openpns.errors import ConfigError
from openpns.kit.plain_text import plain
from openpns.kit.stop_signals import catch_stop_signals, ignore_stop_signals
from openpns.testing.emulator import Emulator
from openpns.testing.state_file import to_text


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    default=0,
    type=click.IntRange(0, 65535),
    help="The port; 0, the default, picks a free one.",
)
@click.option(
    "--load",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Start with what this JSON file has: customers, keys, groups, bindings, webhooks.",
)
@click.option(
    "--dump",
    type=FILE_NAME,
    metavar="FILE",
    help="Write the same to this JSON file at the end.",
)
@click.option(
    "--webhook",
    metavar="URL",
    help="Deliver the customer's events to this URL, and print the secret that signs them.",
)
def emulator(
    host: str, port: int, load: Path | None, dump: str | None, webhook: str | None
) -> None:
    """Serve from memory, for tests in any language, until Ctrl-C or SIGTERM."""
    if dump is not None and not os.access(Path(dump).resolve().parent, os.W_OK):
        raise ConfigError(f"--dump: cannot write in the folder of {dump}")
    if dump is not None and Path(dump).is_fifo():
        raise ConfigError(f"--dump: {dump} is a FIFO, which may have no reader; allowed is a file")
    logs.configure("console", "info")
    with Emulator(host=host, port=port, state=load, delivers_by_itself=True) as pns:
        try:
            webhook_secret = None if webhook is None else pns.set_webhook(webhook)
        except ConfigError as error:
            raise ConfigError(f"--webhook: {error}") from None
        click.echo(f"base URL       {pns.base_url}")
        click.echo(f"API            {pns.base_url}/api/pns/")
        click.echo(f"access key     {pns.access_key}")
        click.echo(f"access secret  {pns.access_secret}")
        click.echo(f"customer       {pns.customer_id}")
        if webhook_secret is not None:
            click.echo(f"webhook secret {webhook_secret}")
        # Before, a signal interrupts: stdout may have no reader.
        wait_for_stop = catch_stop_signals()
        click.echo("Serving until Ctrl-C.")
        wait_for_stop()
        if dump is not None:
            with open_target(dump) as out:
                out.write(to_text(pns.dump()))
            click.echo(plain(f"wrote {dump}"))
    ignore_stop_signals()
