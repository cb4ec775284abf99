"""`openpns migrate`."""

from collections.abc import Sequence

import click

from openpns.cli.options import database_option, with_store
from openpns.cli.streams import change_result
from openpns.clock import now_ms
from openpns.core import worker_ids
from openpns.errors import ConfigError, DatabaseUnavailable
from openpns.kit.interrupts import run_loop
from openpns.storage import connect, migrations
from openpns.storage.migrations import Migration
from openpns.storage.store import Store

_CURRENT = "nothing to do: the migrations are current"
_DISTRIBUTED = "distributed the tables over the nodes of Citus"
_CAN_DISTRIBUTE = (
    "the extension citus is there: openpns migrate --distribute spreads the tables over its nodes"
)


@click.command()
@database_option
@click.option("--post", is_flag=True, help="Apply post steps, too: no older server is left.")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if a step is missing.")
@click.option("--sql", is_flag=True, help="Change nothing; print the SQL of every step.")
@click.option("--force", is_flag=True, help="Go on although older workers seem to run.")
@click.option("--distribute", is_flag=True, help="Spread the tables over the nodes of Citus.")
@click.option(
    "--serving-role", metavar="ROLE", help="Grant this PostgreSQL role what a server needs, only."
)
def migrate(
    database: str,
    serving_role: str | None,
    *,
    post: bool,
    check: bool,
    sql: bool,
    force: bool,
    distribute: bool,
) -> None:
    """Bring a database's tables up to date; creates a missing SQLite file.

    Servers of the older version may go on running, unless the database is older than migration 8.
    Once all of them are restarted with the new version, run it again with --post: that removes
    what only the older version needs. It refuses to while a worker of an older version holds a
    lease. A worker that crashed holds its lease for ten minutes.

    With --distribute, which needs all servers stopped, a database of Citus is divided by customer.
    Later migrations need not repeat it.
    """
    if sql and check:
        raise click.UsageError("--check and --sql exclude each other")
    if serving_role is not None and (sql or check):
        raise click.UsageError("--serving-role excludes --check and --sql")
    if distribute and (sql or check):
        raise click.UsageError("--distribute excludes --check and --sql")
    if sql:
        _print_sql(database)
    elif check:
        _check(database)
    else:
        lines = with_store(
            database,
            lambda store: _migrate(store, database, distribute, post=post, force=force),
            create=True,
            migrated=False,
            label="migrating",
        )
        with change_result():
            click.echo("\n".join(lines))
        if serving_role is not None:
            run_loop(connect.grant_serving_role(database, serving_role))
            with change_result():
                click.echo(f"granted to {serving_role}: what a server needs")


def _print_sql(database: str) -> None:
    click.echo("-- for reading: openpns migrate applies it and records what it applied")
    for one in migrations.load_migrations(connect.engine_of(database)):
        click.echo(f"-- migration {one.label}\n{one.sql}")


def _check(database: str) -> None:
    try:
        missing = with_store(database, lambda store: _find_missing(store, database), migrated=False)
    except DatabaseUnavailable:
        raise
    except ConfigError as error:
        raise click.ClickException(str(error)) from None  # exit code 1
    if missing:
        is_post = all(one.step == "post" for one in missing)
        raise click.ClickException(
            f"migrations are missing: {', '.join(one.label for one in missing)}; run: openpns "
            f"migrate{' --post' if is_post else ''}"
        )
    click.echo(_CURRENT)


async def _find_missing(store: Store, database: str) -> Sequence[Migration]:
    known = migrations.load_migrations(connect.engine_of(database))
    missing = migrations.find_missing(known, await store.applied_migrations(), with_post=True)
    if not missing:
        await connect.check_current(store, database)
    return missing


async def _migrate(
    store: Store, database: str, distribute: bool, *, post: bool, force: bool
) -> list[str]:
    """Return what was done; a line of text for each."""
    if distribute:
        await connect.check_distribution(store, database)
    guard = None if force else worker_ids.guard_migrations(now_ms)
    done = await connect.migrate(store, database, with_post=post, guard=guard)
    lines = [f"applied migrations: {', '.join(one.label for one in done)}"] if done else []
    if distribute:
        guard = None if force else worker_ids.guard_distribution(now_ms)
        if await connect.distribute(store, database, guard):
            lines.append(_DISTRIBUTED)
    elif await connect.can_distribute(store, database):
        lines.append(_CAN_DISTRIBUTE)
    await connect.check_current(store, database)
    return lines if done or _DISTRIBUTED in lines else [_CURRENT, *lines]
