import asyncio
import itertools
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests import direct
from tests.cli.conftest import Run
from tests.helpers import on_sqlite_only
from tests.processes import OPENPNS, Start

from openpns.storage import migrations
from openpns.storage.migrations import Migration
from openpns.storage.sqlite import backup
from openpns.storage.store import database_path

PHONES = b"groupName,phones\na,85211111114\nb,85235753351\n"
READ = (
    "every row checked: customers 1, access keys 0, groups 2, phones 2, virtual numbers 0, "
    "bindings 0, customers held 0, call records 0, webhooks 0, deliveries 0, "
    "audit entries 2, audit unsealed 2"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup.db"


@pytest.fixture
def target(tmp_path: Path) -> str:
    """The URL of a database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'restored.db'}"


@pytest.fixture
def filled(openpns: Run, database_url: str) -> Run:
    openpns("groups", "import", "-", "--customer", "cus_1", stdin=PHONES)
    return openpns


@on_sqlite_only
def test_restore_returns_what_was_backed_up(filled: Run, file: Path, target: str) -> None:
    done = filled("backup", "--to", str(file))
    assert done.out == f"backed up to {file}: {file.stat().st_size} bytes, {READ}\n"
    assert "the master key (OPENPNS_MASTER_KEY) is not in it" in done.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not list(file.parent.glob("backup.db?*"))
    done = filled("restore", "--from", str(file), "--database", target)
    assert done.out == f"restored {database_path(target)}; {READ}\n"
    assert done.err == ""
    assert filled("groups", "export", "-", "--customer", "cus_1").out == (
        filled("groups", "export", "-", "--customer", "cus_1", "--database", target).out
    )


@on_sqlite_only
def test_backup_overwrites_only_with_force(filled: Run, file: Path) -> None:
    file.write_text("other")
    assert "--force replaces it" in filled("backup", "--to", str(file), code=2).err
    assert file.read_text() == "other"
    filled("backup", "--to", str(file), "--force")
    assert backup.check_integrity(file) == []


@on_sqlite_only
def test_backup_refuses_an_inconsistent_database(
    filled: Run, file: Path, database_url: str
) -> None:
    asyncio.run(direct.query(database_url, "UPDATE number_group SET phones = ''"))
    done = filled("backup", "--to", str(file), code=1)
    assert "what listGroup shows is not its phones" in done.err
    assert not list(file.parent.glob("backup.db*"))


@on_sqlite_only
def test_restore_keeps_an_existing_database(
    filled: Run, file: Path, database_url: str, tmp_path: Path
) -> None:
    filled("backup", "--to", str(file))
    filled("customers", "create", "cus_2")
    refused = filled("restore", "--from", str(file), code=2)
    assert "exists; --force renames it first" in refused.err
    done = filled("restore", "--from", str(file), "--force")
    (aside,) = tmp_path.glob("test.db.2*")
    assert f"the old database is now {aside}" in done.out
    assert "cus_2" not in filled("customers", "list").out
    assert "cus_2" in filled("customers", "list", "--database", f"sqlite:///{aside}").out


@on_sqlite_only
def test_restore_refuses_a_damaged_backup_and_another_file(
    filled: Run, file: Path, target: str, tmp_path: Path
) -> None:
    filled("backup", "--to", str(file))
    sound = file.read_bytes()
    file.write_bytes(sound[:4096] + b"\x5a" * (len(sound) - 4096))
    done = filled("restore", "--from", str(file), "--database", target, code=6)
    assert "the storage is damaged" in done.err
    file.write_bytes(b"text" * 5000)
    done = filled("restore", "--from", str(file), "--database", target, code=2)
    assert "file is not a database" in done.err
    file.write_bytes(b"")
    done = filled("restore", "--from", str(file), "--database", target, code=2)
    assert "is not a database of openpns" in done.err
    done = filled("restore", "--from", f"{file}.missing", "--database", target, code=2)
    assert "there is no such file" in done.err
    assert not list(tmp_path.glob("restored.db*"))


@on_sqlite_only
def test_restore_reports_a_missing_master_key(
    filled: Run, file: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled("keys", "create", "--customer", "cus_1")
    filled("backup", "--to", str(file))
    monkeypatch.setenv("OPENPNS_MASTER_KEY", "ICECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    done = filled("restore", "--from", str(file), "--database", target)
    assert "before a server can use it: OPENPNS_MASTER_KEY: not the master key" in done.err
    monkeypatch.delenv("OPENPNS_MASTER_KEY")
    done = filled("restore", "--from", str(file), "--database", target, "--force")
    assert f"{database_path(target)}.key: cannot read the master key" in done.err
    assert not Path(f"{database_path(target)}.key").exists()


def test_backup_refuses_postgresql(run_anywhere: Run, file: Path) -> None:
    url = "postgresql://openpns:hunter22@127.0.0.1/openpns"
    for arguments in (("backup", "--to"), ("restore", "--from")):
        done = run_anywhere(*arguments, str(file), "--database", url, code=2)
        assert "for PostgreSQL use its own tools" in done.err
        assert "hunter22" not in done.err


@on_sqlite_only
def test_backup_of_an_older_version_is_checked_in_a_migrated_copy(
    filled: Run, file: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = migrations.newest()
    newer = Migration(newest + 1, "CREATE TABLE extra (a TEXT)", "pre", "pre.sql")
    known = [*migrations.load_migrations("sqlite"), newer]
    monkeypatch.setattr(migrations, "load_migrations", lambda _: known)
    assert filled("backup", "--to", str(file)).out.endswith(f"{READ}\n")
    done = filled("restore", "--from", str(file), "--database", target)
    assert done.out.endswith(f"{READ}\n")
    assert f"before a server can use it: database: lacks migration {newest + 1} pre" in done.err
    with apsw.Connection(str(database_path(target))) as restored:
        assert restored.execute("SELECT max(number) FROM schema_migration").get == newest


@pytest.fixture
def steady_writes() -> Iterator[threading.Event]:
    stop = threading.Event()
    yield stop
    stop.set()


@on_sqlite_only
def test_backup_works_under_writes_and_restore_refuses_an_open_database(
    start: Start, served_url: str, file: Path, run_anywhere: Run, steady_writes: threading.Event
) -> None:
    server = start("serve", "--database", served_url, "--port", "0", "--workers", "2")
    before = [server.call("createGroup", {"phones": f"8521111111{n}"}) for n in range(5)]
    codes: list[int] = []
    numbers = itertools.count()

    def write() -> None:
        connection = server.connect()
        for number in numbers:
            if steady_writes.is_set():
                break
            body = {"phones": f"8521{number:07}"}
            codes.append(server.call("createGroup", body, connection=connection)["code"])
        connection.close()

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for _ in range(3):
        done = run_anywhere("backup", "--database", served_url, "--to", str(file), "--force")
        assert "every row checked: customers 2, access keys 2" in done.out
        refused = run_anywhere(
            *("restore", "--from", str(file), "--database", served_url, "--force"), code=2
        )
        assert "is open in another process; stop every server" in refused.err
    steady_writes.set()
    for writer in writers:
        writer.join(30)
    assert set(codes) == {0}
    with apsw.Connection(str(file)) as copy:
        restored = {row[0] for row in copy.execute("SELECT group_id FROM number_group")}
    assert {answer["groupId"] for answer in before} <= restored
    assert server.stop() == 0


THIEF = """
DROP TRIGGER audit_entry_no_delete;
CREATE TRIGGER t1 AFTER INSERT ON number_group WHEN NEW.customer_id = 'victim' BEGIN
  INSERT INTO number_group SELECT 'evil', NEW.group_id, 0, NEW.group_name, NEW.remark, 0, 0,
    NEW.created_ms, NEW.updated_ms, NEW.phones, NEW.folded_name, 0;
END;
CREATE TRIGGER t2 AFTER INSERT ON audit_entry BEGIN
  DELETE FROM audit_entry WHERE entry_id = NEW.entry_id;
END;
"""
"""Triggers that give an attacker each new group of a victim, and leave no audit entry."""


@on_sqlite_only
def test_restore_refuses_a_backup_with_foreign_triggers(
    filled: Run, file: Path, target: str, tmp_path: Path
) -> None:
    filled("backup", "--to", str(file))
    with closing(apsw.Connection(str(file))) as connection:
        connection.execute(THIEF)
    for database in (target, f"sqlite:///{tmp_path / 'test.db'}"):
        before = filled("groups", "export", "-", "--customer", "cus_1").out
        done = filled("restore", "--from", str(file), "--database", database, "--force", code=1)
        assert done.err.splitlines() == [
            "trigger audit_entry_no_delete on audit_entry is missing",
            "trigger t1 on number_group is not made by openpns",
            "trigger t2 on audit_entry is not made by openpns",
            "openpns: wrong: 3, in the schema; no row was read",
        ]
        assert filled("groups", "export", "-", "--customer", "cus_1").out == before
    assert not list(tmp_path.glob("restored.db*"))
    assert not list(tmp_path.glob("test.db.2*"))


@on_sqlite_only
def test_restore_does_not_run_the_triggers_of_an_older_backup(
    filled: Run, file: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled("backup", "--to", str(file))
    with closing(apsw.Connection(str(file))) as connection:
        connection.execute(THIEF)
    sql = "INSERT INTO number_group SELECT 'victim', '', 9, '', '', 0, 0, 0, 0, '', '', 0"
    newer = Migration(migrations.newest() + 1, sql, "pre", "pre.sql")
    known = [*migrations.load_migrations("sqlite"), newer]
    monkeypatch.setattr(migrations, "load_migrations", lambda _: known)
    done = filled("restore", "--from", str(file), "--database", target, code=2)
    assert "trigger audit_entry_no_delete on audit_entry is missing (and 2 more)" in done.err


@on_sqlite_only
def test_restore_refuses_a_backup_of_a_newer_version_and_backup_makes_one(
    filled: Run, file: Path, target: str, database_url: str
) -> None:
    asyncio.run(
        direct.run(database_url, "INSERT INTO schema_migration VALUES (99, 'pre', 'x', 'x', 0)")
    )
    filled("backup", "--to", str(file))
    done = filled("restore", "--from", str(file), "--database", target, code=1)
    assert "migration 99 pre is of a newer version; use that one here" in done.err


@on_sqlite_only
def test_restore_does_not_write_to_its_source(filled: Run, file: Path, target: str) -> None:
    filled("backup", "--to", str(file))
    before = file.read_bytes()
    file.chmod(0o400)
    filled("restore", "--from", str(file), "--database", target)
    assert file.read_bytes() == before
    assert [one.name for one in file.parent.glob("backup.db*")] == ["backup.db"]


@on_sqlite_only
def test_names_are_utf8_in_the_c_locale(filled: Run, database_url: str, tmp_path: Path) -> None:
    c_locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    copy = tmp_path / "caf\xe9"
    copy.mkdir()
    url = f"sqlite:///{copy}/\u9500.db"
    for command in (
        ["backup", "--to", str(copy / "b.db")],
        ["restore", "--from", str(copy / "b.db"), "--database", url],
        ["verify", "--database", url],
    ):
        subprocess.run([*OPENPNS, *command], env=os.environ | c_locale, check=True)
    assert sorted(file.name for file in copy.iterdir()) == ["b.db", "\u9500.db"]
    assert filled("groups", "export", "-", "--customer", "cus_1", "--database", url).out == (
        filled("groups", "export", "-", "--customer", "cus_1").out
    )
