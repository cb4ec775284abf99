import asyncio

import pytest
from tests.cli.conftest import Run

from openpns.clock import now_ms
from openpns.core import worker_ids
from openpns.storage import connect, migrations


def test_check_fails_until_migrations_were_applied(run: Run, database_url: str) -> None:
    missing = run("migrate", "--check", code=1)
    assert missing.out == ""
    assert "openpns migrate" in missing.err
    newest = migrations.newest(connect.engine_of(database_url))
    applied = run("migrate").out
    assert applied.startswith("applied migrations: 1")
    assert applied.rstrip().endswith(str(newest))
    assert run("migrate").out == "nothing to do: the migrations are current\n"
    assert run("migrate", "--check").out == "nothing to do: the migrations are current\n"


def test_while_workers_run_nothing_is_migrated_unless_told_to(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("migrate")

    async def take_number() -> None:
        store = await connect.open_store(database_url)
        await worker_ids.take(store, now_ms, "a worker")
        await store.close()

    asyncio.run(take_number())
    newest = migrations.newest(connect.engine_of(database_url)) + 1
    scripts = [
        *migrations.load_migrations(connect.engine_of(database_url)),
        (newest, "CREATE TABLE extra (a text)"),
    ]
    assert run("migrate").out == "nothing to do: the migrations are current\n"
    monkeypatch.setattr(migrations, "load_migrations", lambda _: scripts)
    done = run("migrate", code=2)
    assert "1 workers are running, or have crashed" in done.err
    run("migrate", "--check", code=1)
    assert run("migrate", "--force").out == f"applied migrations: {newest}\n"


def test_sql_prints_every_migration_and_changes_nothing(run: Run) -> None:
    text = run("migrate", "--sql").out
    assert "-- migration 1\n" in text
    assert "CREATE TABLE customer" in text
    run("migrate", "--check", code=1)


def test_check_and_sql_exclude_each_other(run: Run) -> None:
    assert "--check and --sql exclude each other" in run("migrate", "--check", "--sql", code=2).err


def test_other_commands_refuse_a_database_without_migrations(run: Run) -> None:
    done = run("customers", "list", code=2)
    assert "openpns migrate" in done.err


def test_a_newer_openpns_database_is_left_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("migrate")
    monkeypatch.setattr(migrations, "newest", lambda _: 0)
    monkeypatch.setattr(migrations, "load_migrations", lambda _: [])
    done = run("migrate", code=2)
    assert "a newer openpns has been here" in done.err
    assert done.out == ""


def test_a_folder_that_is_not_there_is_a_clear_line(run_anywhere: Run) -> None:
    done = run_anywhere("migrate", "--database", "sqlite:////no/such/folder/a.db", code=2)
    assert "cannot create /no/such/folder/a.db" in done.err
