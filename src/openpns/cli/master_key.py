"""`openpns master-key`."""

import click

from openpns.cli.database import database_option, master_key_variable, with_store


@click.group("master-key")
def master_key() -> None:
    """Make and rotate the key under which access secrets are stored."""


@master_key.command()
def new() -> None:
    """Print a new master key for OPENPNS_MASTER_KEY."""
    from openpns.accounts.secret_box import new_master_key

    click.echo(new_master_key())


@master_key.command()
@database_option
def rotate(database: str) -> None:
    """Store every access secret anew under a new master key.

    With the key file beside an SQLite database, the new key is made and put there. With
    OPENPNS_MASTER_KEY, set it to NEW,OLD for this command and for every server first; once this
    command is done, set it to NEW.
    """
    from openpns.accounts import master_key

    count = with_store(
        database, lambda store: master_key.rotate(store, database, master_key_variable())
    )
    click.echo(f"access keys stored anew: {count}")
