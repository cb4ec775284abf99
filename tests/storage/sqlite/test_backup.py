import stat
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests.storage.conftest import add, ids_in

from openpns.errors import ConfigError, ReadFailed
from openpns.kit.atomic_file import publish
from openpns.storage import connect
from openpns.storage.sqlite import backup
from openpns.storage.sqlite.store import SQLiteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    """An open database of a few MiB with the customers cus_0 to cus_2."""
    url = f"sqlite:///{path}"
    opened = SQLiteStore(str(path), 1000, create=True)
    await connect.migrate(opened, url)
    await opened.write(add("cus_0", "cus_1", "cus_2"))
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(
            "CREATE TABLE ballast AS SELECT randomblob(1000) AS bytes "
            "FROM json_each('[' || rtrim(replace(hex(zeroblob(1000)), '0', '1,'), ',') || ']')"
        )
    yield opened
    await opened.close()


def _rows(file: Path) -> list[str]:
    with closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        return [row[0] for row in connection.execute("SELECT customer_id FROM customer")]


def _copy(source: Path, target: Path) -> None:
    with backup.draft_beside(target) as draft:
        backup.copy(source, draft)
        backup.seal(draft)
        publish(draft, target)


async def test_copy_of_an_open_database_is_one_private_file(
    store: SQLiteStore, path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copies" / "copy.db"
    target.parent.mkdir()
    _copy(path, target)
    assert [file.name for file in target.parent.iterdir()] == ["copy.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert backup.check_integrity(target) == []
    with closing(apsw.Connection(str(target))) as connection:
        assert connection.pragma("journal_mode") == "delete"
    assert _rows(target) == await ids_in(store)


async def test_copy_under_steady_writes_ends_and_blocks_none(
    store: SQLiteStore, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def write_between_steps() -> bool:
        nonlocal written
        with closing(apsw.Connection(str(path))) as connection:  # waits for no other
            connection.execute(
                "INSERT INTO customer VALUES (?, '', 1, NULL)", (f"late_{written:03}",)
            )
        written += 1
        return False

    monkeypatch.setattr(backup, "_go_on", write_between_steps)
    monkeypatch.setattr(backup, "_STEPS_EACH", 100)
    target = tmp_path / "copy.db"
    _copy(path, target)
    assert written > 10
    # The first writes come before the copy's snapshot.
    copied = _rows(target)
    assert copied == _rows(path)[: len(copied)]
    assert 3 <= len(copied) < 3 + written / 2
    assert len(await ids_in(store)) == 3  # the late ones have no counter, and are not shown
    assert len(_rows(path)) == 3 + written


async def test_failed_copy_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database" * 100)
    for source, text in (("text.db", "file is not a database"), ("gone.db", "no such file")):
        with pytest.raises(ConfigError, match=text):
            _copy(tmp_path / source, tmp_path / "copy.db")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["text.db"]


def test_copy_names_a_missing_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"cannot create .*missing/copy\.db: No such file"),
        backup.draft_beside(tmp_path / "missing" / "copy.db"),
    ):
        pass


async def test_check_integrity_finds_damaged_pages_and_lost_rows(
    store: SQLiteStore, path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy.db"
    _copy(path, target)
    with closing(apsw.Connection(str(target))) as connection:
        connection.execute("DELETE FROM customer WHERE customer_id = 'cus_1'")
    assert backup.check_integrity(target) == [
        "row of customer_state refers to a missing row of customer"
    ]
    data = bytearray(target.read_bytes())
    data[4096:40960] = b"\x5a" * 36864
    target.write_bytes(data)
    assert backup.check_integrity(target) != []


async def test_put_in_place_replaces_a_database_and_keeps_the_old_one(
    store: SQLiteStore, path: Path, tmp_path: Path
) -> None:
    target, aside = tmp_path / "copy.db", tmp_path / "aside.db"
    _copy(path, target)
    await store.write(add("cus_3"))
    await store.close()
    assert backup.put_in_place(target, path, aside)
    assert _rows(path) == ["cus_0", "cus_1", "cus_2"]
    assert _rows(aside) == ["cus_0", "cus_1", "cus_2", "cus_3"]
    assert not target.exists()


async def test_put_in_place_refuses_an_open_database(
    store: SQLiteStore, path: Path, tmp_path: Path
) -> None:
    target, aside = tmp_path / "copy.db", tmp_path / "aside.db"
    _copy(path, target)
    with pytest.raises(ConfigError, match="is open in another process; stop every server"):
        backup.put_in_place(target, path, aside)
    assert target.exists()
    assert not aside.exists()
    assert await store.write(add("cus_3")) == 1
    assert _rows(path)[-1] == "cus_3"


async def test_put_in_place_moves_the_old_log_away(
    store: SQLiteStore, path: Path, tmp_path: Path
) -> None:
    target, aside = tmp_path / "copy.db", tmp_path / "aside.db"
    _copy(path, target)
    log = Path(f"{path}-wal")
    await store.write(add("cus_3"))
    left = log.read_bytes()
    assert left
    await store.close()
    path.unlink()
    log.write_bytes(left)
    assert not backup.put_in_place(target, path, aside)
    assert _rows(path) == ["cus_0", "cus_1", "cus_2"]
    assert Path(f"{aside}-wal").read_bytes() == left


async def test_put_in_place_keeps_a_file_that_is_not_a_database(
    store: SQLiteStore, path: Path, tmp_path: Path
) -> None:
    target, aside = tmp_path / "copy.db", tmp_path / "aside.db"
    _copy(path, target)
    await store.close()
    path.write_text("no database" * 1000)
    assert backup.put_in_place(target, path, aside)
    assert _rows(path) == ["cus_0", "cus_1", "cus_2"]
    assert aside.read_text() == "no database" * 1000


def test_put_in_place_needs_no_old_database(tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    draft.touch()
    assert not backup.put_in_place(draft, tmp_path / "a.db", tmp_path / "aside")
    assert (tmp_path / "a.db").exists()


@pytest.mark.usefixtures("store")
def test_interrupt_ends_a_check_of_every_page(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(backup, "_go_on", interrupt)
    monkeypatch.setattr(backup, "_STEPS_EACH", 100)
    with pytest.raises(KeyboardInterrupt):
        backup.check_integrity(path)


@pytest.mark.usefixtures("store")
def test_copy_that_has_another_name_is_private_and_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.db"
    monkeypatch.setattr(backup, "sqlite_name", lambda _: str(other))
    with (
        backup.draft_beside(tmp_path / "copy.db") as draft,
        pytest.raises(ReadFailed, match="the copy is empty"),
    ):
        backup.copy(path, draft)
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
