import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import direct
from tests.cli.conftest import Run
from tests.databases import PostgresDatabases
from tests.processes import Start

from openpns.accounts.secret_box import new_master_key
from openpns.copying import run as copying
from openpns.storage.copying import Done
from openpns.storage.postgres.copying import PostgresEndpoint

GROUPS = b"groupName,phones\na,85211111114\nb,85235753351\n"


@pytest.fixture
def target(
    request: pytest.FixtureRequest, database_url: str, postgres_databases: PostgresDatabases
) -> Iterator[str]:
    """The URL of an empty database of the other engine."""
    if database_url.startswith("postgres"):
        folder: Path = request.getfixturevalue("tmp_path")
        yield f"sqlite:///{folder / 'target.db'}"
        return
    url = postgres_databases.create()
    yield url
    postgres_databases.drop(url)


@pytest.fixture
def filled(openpns: Run) -> Run:
    openpns("groups", "import", "-", "--customer", "cus_1", stdin=GROUPS)
    openpns("keys", "create", "--customer", "cus_1")
    return openpns


def begin(openpns: Run, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a copy that ends before its window."""

    async def end(_: object) -> None:
        raise copying.RowsDiffer("ended by the test")

    with monkeypatch.context() as patch:
        patch.setattr(copying.Copy, "_move", end)
        assert "ended by the test" in openpns("copy", "--to", target, code=1).err


def test_copy_prints_what_was_compared(filled: Run, target: str, database_url: str) -> None:
    done = filled("copy", "--to", target)
    lines = done.out.splitlines()
    assert lines[0].split() == ["TABLE", "ROWS", "DIGEST"]
    rows = dict(line.split()[:2] for line in lines[1:-2])
    assert (rows["group_member"], rows["access_key"], rows["binding"]) == ("2", "1", "0")
    assert lines[-2].startswith(f"copied and compared: {sum(map(int, rows.values()))} rows, ")
    assert lines[-1].startswith("writes waited for ")
    assert done.err == ""
    sold = filled("groups", "export", "-", "--customer", "cus_1", "--database", target).out
    assert "85235753351" in sold
    assert "verified: " in filled("verify", "--database", target).out
    assert "it was copied to another one" in filled("verify", code=2).err


def test_copy_refuses_what_it_cannot_copy(
    filled: Run, target: str, database_url: str, tmp_path: Path
) -> None:
    assert "--from, --to: are the same" in filled("copy", "--to", database_url, code=2).err
    assert "Missing option '--to'" in filled("copy", code=2).err
    assert "--cancel excludes --to" in filled("copy", "--cancel", "--to", target, code=2).err
    missing = f"sqlite:///{tmp_path / 'missing.db'}"
    assert "--from: " in filled("copy", "--from", missing, "--to", target, code=2).err
    filled("migrate", "--database", target)
    filled("customers", "create", "cus_1", "--database", target)
    refused = filled("copy", "--to", target, code=2).err
    assert "--to: is not empty: there are rows in customer, customer_state, audit_entry" in refused
    indexes = "DROP INDEX binding_extension_a; DROP INDEX binding_extension_b; "
    step = "DELETE FROM schema_migration WHERE number = 13 AND step = 'post'"
    asyncio.run(direct.run(database_url, indexes + step))
    refused = filled("copy", "--to", target, code=2).err
    assert "--from: lacks migration 13 post, which --to has; run: openpns migrate --post" in refused
    assert "nothing to do" in filled("copy", "--cancel").out


def test_copy_encrypts_secrets_for_another_master_key(
    filled: Run, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_master_key()
    file = tmp_path / "target.key"
    file.write_text(key)
    refused = filled("copy", "--to", target, "--to-master-key-file", str(file), code=2).err
    assert "chmod" in refused
    file.chmod(0o600)
    filled("keys", "rotate", filled("keys", "list", "--json").json[0]["accessKey"])
    filled("webhooks", "set", "--customer", "cus_1", "--url", "https://example.com/hook")
    filled("copy", "--to", target, "--to-master-key-file", str(file))
    asked = ("master-key", "rotate", "--database", target)
    assert "not the master key that this database" in filled(*asked, code=2).err
    # Decrypts every secret: with the old key there would be one that it cannot decrypt.
    monkeypatch.setenv("OPENPNS_MASTER_KEY", f"{new_master_key()},{key}")
    out = filled(*asked).out
    assert "access secrets encrypted again: 1" in out
    assert "webhook secrets encrypted again: 1" in out


def test_cancel_lets_servers_write_again(
    filled: Run, target: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asyncio.run(direct.query(database_url, "SELECT count(*) FROM group_member"))
    begin(filled, target, monkeypatch)
    # Servers may be started meanwhile, and see that a copy has begun.
    done = filled("verify")
    assert "note: openpns copy has not ended" in done.err
    assert "a copy into it is not complete" in filled("verify", "--database", target, code=2).err
    assert "a copy into it is not complete" in filled("migrate", "--database", target, code=2).err
    used = filled("copy", "--from", target, "--to", database_url, code=2).err
    assert "--from: a copy into it is not complete" in used
    assert "the copy has ended; remove its target" in filled("copy", "--cancel").out
    assert filled("verify").err == ""
    belongs = filled("copy", "--to", target, code=2).err
    assert "--to: belongs to another copy" in belongs
    assert asyncio.run(direct.query(database_url, "SELECT count(*) FROM group_member")) == before


def test_cancel_after_the_move_holds_calls(filled: Run, target: str, database_url: str) -> None:
    filled("copy", "--to", target)
    refused = filled("customers", "create", "cus_2", code=2).err
    assert "it was copied to another one" in refused
    assert "was copied already" in filled("copy", "--to", target, code=2).err
    done = filled("copy", "--cancel")
    assert "calls are held" in done.err
    held = "SELECT count(*) FROM customer_state WHERE bindings_held_ms IS NOT NULL"
    assert asyncio.run(direct.query(database_url, held)) == [(1,)]
    filled("customers", "create", "cus_2")
    assert filled("verify").err == ""
    assert asyncio.run(direct.query(target, held)) == [(0,)]


def test_copy_of_a_stopped_source_refuses_writes(
    filled: Run, target: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = "INSERT INTO worker_lease VALUES (1, 'worker', 9000000000000, 17)"
    asyncio.run(direct.run(database_url, lease))
    refused = filled("copy", "--to", target, "--stopped", code=2).err
    assert "--from: 1 workers are running" in refused
    asyncio.run(direct.run(database_url, "UPDATE worker_lease SET expires_ms = 1"))
    original = copying.Copy._copy_pages

    async def write_late(self: copying.Copy) -> None:
        """Write as a command does that began before the copy."""
        with pytest.raises(Exception, match="was copied to another one and takes no writes"):
            await direct.run(database_url, "UPDATE customer_state SET group_quota = 5")
        await original(self)
        await direct.run(target, "DELETE FROM group_member")

    with monkeypatch.context() as patch:
        patch.setattr(copying.Copy, "_copy_pages", write_late)
        differing = filled("copy", "--to", target, "--stopped", code=1).err
    assert "group_member: the source has 2 rows, the target 0" in differing
    assert "; end the copy with openpns copy --cancel, and begin again" in differing
    assert "it was copied to another one" in filled("customers", "list", code=2).err
    assert "calls are held" in filled("copy", "--cancel").err
    assert filled("verify").err == ""
    filled("customers", "create", "cus_2")


def test_copy_of_a_stopped_source(filled: Run, target: str) -> None:
    done = filled("copy", "--to", target, "--stopped")
    assert "writes waited for 0 ms" in done.out
    assert "verified: " in filled("verify", "--database", target).out
    assert "it was copied to another one" in filled("customers", "list", code=2).err
    assert "was copied already" in filled("copy", "--to", target, "--stopped", code=2).err


def test_copy_notices_other_rows(
    filled: Run, target: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(filled, target, monkeypatch)
    # A row that only the target has: nothing but the numbers of rows shows it.
    extra = "INSERT INTO idempotency_record VALUES ('cus_1', 'key', '', 0, '', 1)"
    asyncio.run(direct.run(target, extra))
    refused = filled("copy", "--to", target, code=1).err
    assert "idempotency_record: the source has 0 rows, the target 1" in refused
    asyncio.run(direct.run(target, "DELETE FROM idempotency_record"))
    # A trigger changes what is written.
    if target.startswith("sqlite"):
        return
    asyncio.run(
        direct.run(
            target,
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.phone := '85200000000'; RETURN NEW; END $$; "
            "CREATE TRIGGER t BEFORE INSERT ON group_member FOR EACH ROW EXECUTE FUNCTION f()",
        )
    )
    filled(
        "groups", "import", "-", "--customer", "cus_1", stdin=b"groupName,phones\nc,85211111199\n"
    )
    refused = filled("copy", "--to", target, code=1).err
    assert "group_member: the row with the key (cus_1, 2, 85211****99)" in refused


def test_target_that_stops_answering_does_not_keep_the_source_frozen(
    filled: Run, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if target.startswith("sqlite"):
        pytest.skip("a file always answers")
    begin(filled, target, monkeypatch)
    filled(
        "groups", "import", "-", "--customer", "cus_1", stdin=b"groupName,phones\nc,85211111199\n"
    )

    async def leave_changes(_: object) -> None:
        """Leave what has changed to the window."""

    save = PostgresEndpoint.save

    async def save_unheard(self: PostgresEndpoint, table: str, done: Done) -> None:
        self._db._transport.pause_reading()  # as if the server had stopped
        await save(self, table, done)

    with monkeypatch.context() as patch:
        patch.setattr(copying.Copy, "_catch_up", leave_changes)
        patch.setattr(copying, "WINDOW_S_MAX", 1)
        patch.setattr(PostgresEndpoint, "save", save_unheard)
        refused = filled("copy", "--to", target, code=6).err
    assert "could not be copied within 1 s, so servers can write" in refused
    filled("customers", "create", "cus_2")
    filled("copy", "--to", target)
    assert "cus_2" in filled("customers", "list", "--database", target).out


def test_source_is_not_migrated_while_it_is_copied(
    filled: Run, target: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(filled, target, monkeypatch)
    # As if an older version had migrated it: that does not refuse to.
    step = "INSERT INTO schema_migration VALUES (13, 'later', '', '', 1)"
    original = copying.Copy._move

    async def move(self: copying.Copy) -> tuple[float, int]:
        await direct.run(database_url, step)
        return await original(self)

    with monkeypatch.context() as patch:
        patch.setattr(copying.Copy, "_move", move)
        refused = filled("copy", "--to", target, code=2).err
    assert "--from: was migrated since the copy began; end the copy with" in refused
    indexes = "DROP INDEX binding_extension_a; DROP INDEX binding_extension_b; "
    steps = "DELETE FROM schema_migration WHERE number = 13 AND step IN ('post', 'later')"
    asyncio.run(direct.run(database_url, indexes + steps))
    refused = filled("migrate", "--post", code=2).err
    assert "it is the source of an openpns copy that has not ended" in refused
    filled("copy", "--cancel")
    assert "13 post" in filled("migrate", "--post").out


def test_copy_notices_that_a_database_was_restored(
    filled: Run, target: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What identifies a database stays if its file or volume is restored in place."""
    sides = (
        (database_url, "openpns_copy", "round", "only_row = 1"),
        (target, "openpns_copy_progress", "digest", "table_name = ''"),
    )

    def read() -> list[str]:
        return [
            asyncio.run(direct.query(url, f"SELECT {column} FROM {table} WHERE {row}"))[0][0]
            for url, table, column, row in sides
        ]

    begin(filled, target, monkeypatch)
    backups = read()
    begin(filled, target, monkeypatch)
    for (url, table, column, row), backup, newest in zip(sides, backups, read(), strict=True):
        change = f"UPDATE {table} SET {column} = '{{}}' WHERE {row}"
        asyncio.run(direct.run(url, change.format(backup)))
        refused = filled("copy", "--to", target, code=2).err
        assert "--from, --to: one was restored since it began; end the copy" in refused
        asyncio.run(direct.run(url, change.format(newest)))
    filled("copy", "--to", target)


def test_server_starts_while_a_copy_runs(
    filled: Run,
    start: Start,
    target: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin(filled, target, monkeypatch)
    server = start("serve", "--database", database_url, "--port", "0")
    assert server.stop() == 0
    noted = "SELECT DISTINCT table_name FROM openpns_copy_change"
    assert ("worker_lease",) in asyncio.run(direct.query(database_url, noted))
    name = "openpns_copy_seat" + ("_insert" if database_url.startswith("sqlite") else "")
    where = " ON seat" if database_url.startswith("postgres") else ""
    asyncio.run(direct.run(database_url, f"DROP TRIGGER {name}{where}"))
    make = (
        f"CREATE TRIGGER {name} AFTER INSERT ON seat BEGIN SELECT 1; END"
        if database_url.startswith("sqlite")
        else f"CREATE TRIGGER {name} AFTER INSERT ON seat FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
    asyncio.run(direct.run(database_url, make))
    assert f"trigger {name} on seat is not made by openpns" in filled("verify", code=1).err
