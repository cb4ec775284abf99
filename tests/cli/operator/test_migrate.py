import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import direct
from tests.cli.conftest import Run

from openpns.clock import now_ms
from openpns.core import worker_ids
from openpns.storage import connect, migrations
from openpns.storage.migrations import Migration
from openpns.storage.postgres import serving_role

RIGHTS = """
SELECT c.relname, array_agg(p.held)
FROM pg_class AS c LEFT JOIN LATERAL (
    SELECT grantee, privilege_type AS held FROM aclexplode(c.relacl)
    UNION ALL
    SELECT o.grantee, o.privilege_type || ' (' || a.attname || ')'
    FROM pg_attribute AS a, aclexplode(a.attacl) AS o WHERE a.attrelid = c.oid
) AS p ON p.grantee = CAST('"{}"' AS regrole)
WHERE c.relkind = 'r' AND c.relnamespace = CAST('public' AS regnamespace)
GROUP BY c.relname
"""
"""The rights of a role on every table and on single columns."""

GIVE_AWAY = """
DO $$ DECLARE object text; BEGIN
    FOR object IN
        SELECT 'TABLE ' || CAST(oid AS regclass) FROM pg_class
        WHERE relkind = 'r' AND relnamespace = CAST('public' AS regnamespace)
        UNION ALL
        SELECT 'FUNCTION ' || CAST(oid AS regprocedure) FROM pg_proc
        WHERE pronamespace = CAST('public' AS regnamespace)
    LOOP
        EXECUTE 'ALTER ' || object || ' OWNER TO "{}"';
    END LOOP;
END $$
"""
"""Make a role the owner of every table and function."""


def test_migrate_check_fails_until_migrations_were_applied(run: Run, database_url: str) -> None:
    missing = run("migrate", "--check", code=1)
    assert missing.out == ""
    assert "openpns migrate" in missing.err
    applied = run("migrate").out
    known = migrations.load_migrations(connect.engine_of(database_url))
    assert applied == f"applied migrations: {', '.join(one.label for one in known)}\n"
    assert run("migrate").out == "nothing to do: the migrations are current\n"
    assert run("migrate", "--check").out == "nothing to do: the migrations are current\n"


async def make_version_7(url: str, *, lease_ends_ms: int) -> None:
    store = await connect.open_store(url, create=True)
    await store.migrate(migrations.load_migrations(connect.engine_of(url))[:7])
    await store.close()
    await direct.run(url, f"INSERT INTO node_lease VALUES (0, 'a worker', {lease_ends_ms})")


@pytest.mark.parametrize("held", [True, False])
def test_migrate_to_8_refuses_while_a_worker_holds_a_lease(
    run: Run, database_url: str, *, held: bool
) -> None:
    lease_ends_ms = now_ms() + 60_000 if held else now_ms() - 1
    asyncio.run(make_version_7(database_url, lease_ends_ms=lease_ends_ms))
    if held:
        done = run("migrate", code=2)
        assert "1 workers of an older version are running, or have crashed" in done.err
        run("migrate", "--check", code=1)
    done = run("migrate", *["--force"] * held)
    assert done.out.startswith("applied migrations: 8, 9 pre")


def add_pair(url: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Give this version a pair of pre and post migrations; return their number."""
    number = migrations.newest() + 1
    known = [
        *migrations.load_migrations(connect.engine_of(url)),
        Migration(number, "CREATE TABLE extra (a text)", "pre", "pre.sql"),
        Migration(number, "DROP TABLE extra", "post", "post.sql"),
    ]
    monkeypatch.setattr(migrations, "load_migrations", lambda _: known)
    return number


def take_lease(url: str) -> None:
    async def take() -> None:
        store = await connect.open_store(url)
        await worker_ids.take(store, now_ms, "a worker")
        await store.close()

    asyncio.run(take())


def test_migrate_applies_pre_while_older_workers_run_and_post_after_them(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("migrate")
    take_lease(database_url)
    number = add_pair(database_url, monkeypatch)
    assert f"missing: {number} pre, {number} post" in run("migrate", "--check", code=1).err
    assert run("migrate").out == f"applied migrations: {number} pre\n"
    assert "run: openpns migrate --post" in run("migrate", "--check", code=1).err
    assert "1 workers of an older version are running" in run("migrate", "--post", code=2).err
    assert run("migrate", "--post", "--force").out == f"applied migrations: {number} post\n"
    run("migrate", "--check")


def test_migrate_applies_post_while_workers_of_this_version_run(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("migrate")
    number = add_pair(database_url, monkeypatch)
    run("migrate")
    take_lease(database_url)
    assert run("migrate", "--post").out == f"applied migrations: {number} post\n"


def test_migrate_refuses_a_changed_file(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("migrate")
    first, *others = migrations.load_migrations(connect.engine_of(database_url))
    changed = Migration(1, first.sql + " ", file=first.file)
    monkeypatch.setattr(migrations, "load_migrations", lambda _: [changed, *others])
    assert f"migration 1 was applied with another text than that of {first.file}" in (
        run("migrate", code=2).err
    )


def test_migrate_sql_prints_every_step_and_changes_nothing(run: Run) -> None:
    text = run("migrate", "--sql").out
    assert "-- migration 1\n" in text
    assert "CREATE TABLE customer" in text
    run("migrate", "--check", code=1)


def test_migrate_refuses_check_with_sql(run: Run) -> None:
    assert "--check and --sql exclude each other" in run("migrate", "--check", "--sql", code=2).err


def test_migrate_distributes_on_citus_only(run: Run, database_url: str) -> None:
    refused = run("migrate", "--distribute", code=2).err
    lacks = {"sqlite": "SQLite has no nodes", "postgres": "does not have the extension citus"}
    assert lacks[connect.engine_of(database_url)] in refused
    assert "--distribute excludes" in run("migrate", "--distribute", "--check", code=2).err
    assert "openpns migrate" in run("migrate", "--check", code=1).err  # nothing was applied


@pytest.fixture
def role(postgres_url: str) -> Iterator[str]:
    """A PostgreSQL role without rights."""
    name = f"serving-{secrets.token_hex(4)}"
    asyncio.run(direct.run(postgres_url, f'CREATE ROLE "{name}"'))
    yield name
    asyncio.run(direct.run(postgres_url, f'DROP OWNED BY "{name}"; DROP ROLE "{name}"'))


def test_migrate_grants_a_serving_role_what_a_server_needs(
    run_anywhere: Run, postgres_url: str, role: str
) -> None:
    url = ("--database", postgres_url)
    done = run_anywhere("migrate", *url, "--serving-role", role)
    assert done.out.endswith(f"granted to {role}: what a server needs\n")
    again = run_anywhere("migrate", *url, "--serving-role", role)
    assert again.out.startswith("nothing to do")
    rights = asyncio.run(direct.query(postgres_url, RIGHTS.format(role)))
    assert {table: {*held} - {None} for table, held in rights} == {
        table: {each for right in held for each in by_column(right)}
        for table, held in serving_role.RIGHTS.items()
    }


def by_column(right: str) -> list[str]:
    """Return a right on several columns as one for each."""
    name, _, columns = right.partition(" ")
    return [f"{name} ({one})" for one in columns.strip("()").split(", ")] if columns else [name]


def test_migrate_refuses_a_role_with_further_rights(
    run_anywhere: Run, postgres_url: str, role: str
) -> None:
    url = ("--database", postgres_url)
    run_anywhere("migrate", *url)
    asyncio.run(direct.run(postgres_url, "GRANT DELETE ON audit_entry TO PUBLIC"))
    done = run_anywhere("migrate", *url, "--serving-role", role, code=2)
    assert f"'{role}' would still have DELETE on audit_entry" in done.err
    ((owner,),) = asyncio.run(direct.query(postgres_url, "SELECT CAST(current_user AS text)"))
    done = run_anywhere("migrate", *url, "--serving-role", owner, code=2)
    assert f"'{owner}' owns access_key, is a member of its owner or a superuser" in done.err
    missing = run_anywhere("migrate", *url, "--serving-role", "nobody-here", code=2)
    assert "there is no role 'nobody-here'" in missing.err


def test_migrate_refuses_a_role_with_further_rights_on_a_column(
    run_anywhere: Run, postgres_url: str, role: str
) -> None:
    url = ("--database", postgres_url)
    run_anywhere("migrate", *url)
    sql = "GRANT UPDATE (next_seq, group_quota) ON customer_state TO PUBLIC"
    asyncio.run(direct.run(postgres_url, sql))
    done = run_anywhere("migrate", *url, "--serving-role", role, code=2)
    assert f"'{role}' would still have UPDATE on customer_state (group_quota)" in done.err


def test_migrate_refuses_the_owner_and_its_members_as_serving_role(
    run_anywhere: Run, postgres_url: str, role: str
) -> None:
    url = ("--database", postgres_url)
    run_anywhere("migrate", *url)
    asyncio.run(direct.run(postgres_url, GIVE_AWAY.format(role)))
    member = f"{role}-member"
    sql = f'CREATE ROLE "{member}" NOINHERIT IN ROLE "{role}"'
    asyncio.run(direct.run(postgres_url, sql))
    try:
        for refused in (role, member):
            done = run_anywhere("migrate", *url, "--serving-role", refused, code=2)
            assert f"'{refused}' owns access_key, is a member of its owner" in done.err
    finally:
        asyncio.run(direct.run(postgres_url, f'DROP ROLE "{member}"'))
    sql = f"SELECT has_table_privilege('{role}', 'access_key', 'DELETE')"
    assert asyncio.run(direct.query(postgres_url, sql)) == [(True,)]


def test_migrate_refuses_a_role_that_can_become_one_with_further_rights(
    run_anywhere: Run, postgres_url: str, role: str
) -> None:
    url = ("--database", postgres_url)
    run_anywhere("migrate", *url)
    sql = f'ALTER ROLE "{role}" NOINHERIT; GRANT pg_read_all_data TO "{role}"'
    asyncio.run(direct.run(postgres_url, sql))
    done = run_anywhere("migrate", *url, "--serving-role", role, code=2)
    assert f"'{role}' would still have SELECT on audit_pruning" in done.err


def test_migrate_refuses_a_serving_role_on_sqlite_and_with_other_options(
    run_anywhere: Run, tmp_path: Path
) -> None:
    url = ("--database", f"sqlite:///{tmp_path / 'a.db'}", "--serving-role", "any")
    assert "SQLite has no roles" in run_anywhere("migrate", *url, code=2).err
    assert "excludes --check and --sql" in run_anywhere("migrate", *url, "--sql", code=2).err


def test_other_commands_refuse_a_database_without_migrations(run: Run) -> None:
    done = run("customers", "list", code=2)
    assert "openpns migrate" in done.err


def test_migrate_leaves_a_newer_database_alone(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("migrate")
    known = migrations.load_migrations(connect.engine_of(database_url))
    older = [one for one in known if one.step != "post"]
    monkeypatch.setattr(migrations, "load_migrations", lambda _: older)
    done = run("migrate", code=2)
    assert "a newer openpns has been here" in done.err
    assert done.out == ""


def test_migrate_names_a_missing_folder(run_anywhere: Run) -> None:
    done = run_anywhere("migrate", "--database", "sqlite:////no/such/folder/a.db", code=2)
    assert "cannot create /no/such/folder/a.db" in done.err
