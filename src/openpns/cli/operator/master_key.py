"""`openpns master-key`."""

import click

from openpns.accounts import master_key as keys
from openpns.accounts.secret_box import new_master_key
from openpns.api.registry import SECRETS
from openpns.cli.options import database_option, master_key_variable, with_store
from openpns.cli.streams import change_result


@click.group("master-key")
def master_key() -> None:
    """Create and rotate the key that encrypts access secrets and webhook secrets."""


@master_key.command()
def new() -> None:
    """Print a new master key for OPENPNS_MASTER_KEY."""
    click.echo(new_master_key())


@master_key.command()
@database_option
def rotate(database: str) -> None:
    """Encrypt every access secret and webhook secret under a new master key.

    With the key file of an SQLite database, this creates the key and replaces the file. With
    OPENPNS_MASTER_KEY, first set it to NEW,OLD for this command and all servers; afterwards set it
    to NEW.
    """
    counts = with_store(
        database,
        lambda store: keys.rotate(store, database, master_key_variable(), SECRETS),
        label="encrypting",
    )
    with change_result():
        click.echo(f"access secrets encrypted again: {counts['accessKeys']}")
        if counts["webhooks"]:
            click.echo(f"webhook secrets encrypted again: {counts['webhooks']}")
