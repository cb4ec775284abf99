"""`openpns migrate`."""

import asyncio

import click

from openpns.cli.database import database_option
from openpns.errors import ConfigError


@click.command()
@database_option
@click.option("--check", is_flag=True, help="Change nothing; exit 1 where migrations are missing.")
@click.option("--sql", is_flag=True, help="Change nothing; print every migration's SQL.")
@click.option("--force", is_flag=True, help="Go on although workers seem to be running.")
def migrate(database: str, *, check: bool, sql: bool, force: bool) -> None:
    """Bring a database's tables up to date; an SQLite file is made where it is missing.

    Stop every server first: one of the older version would go on writing as its tables were, and
    what it wrote would not agree with what the newer one reads. Workers that are running hold
    worker numbers, and while any is held nothing is migrated. One that crashed holds its number
    for ten minutes.
    """
    from openpns.clock import now_ms
    from openpns.core import worker_ids
    from openpns.storage import connect, migrations

    if sql and check:
        raise click.UsageError("--check and --sql exclude each other")
    if sql:
        click.echo("-- to be read; openpns migrate applies it and keeps note of what it applied")
        for number, script in migrations.load_migrations(connect.engine_of(database)):
            click.echo(f"-- migration {number}\n{script}")
        return

    newest = migrations.newest(connect.engine_of(database))

    async def run() -> list[int]:
        store = await connect.open_store(database, create=not check)
        try:
            if not check and not force and 0 < await store.schema_version() < newest:
                await worker_ids.require_none(store, now_ms)
            applied = [] if check else await connect.migrate(store, database)
            await connect.check_current(store, database)
            return applied
        finally:
            await store.close()

    try:
        applied = asyncio.run(run())
    except ConfigError as error:
        if not check:
            raise
        raise click.ClickException(str(error)) from None  # exit code 1
    if applied:
        click.echo(f"applied migrations: {', '.join(map(str, applied))}")
    else:
        click.echo("nothing to do: the migrations are current")
