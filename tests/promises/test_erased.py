"""Deleted phones, names and remarks are gone from the database's files and from backups."""

from pathlib import Path

from tests import direct
from tests.groups.actions import Groups, phone
from tests.helpers import on_sqlite_only

from openpns.core.context import Context
from openpns.storage.sqlite import backup
from openpns.storage.store import Store, database_path

NUMBERS = range(700, 750)
LEFT = range(900, 903)
TEXTS = ("Secret-Name", "Secret-Remark")


def found_in(*files: Path) -> set[str]:
    """Return which phones and texts of the deleted groups the files hold."""
    data = b"".join(file.read_bytes() for file in files if file.exists())
    return {text for text in (*map(phone, NUMBERS), *TEXTS) if text.encode() in data}


@on_sqlite_only
async def test_deleted_phones_are_gone_from_file_log_and_backup(
    context: Context, store: Store, database_url: str, tmp_path: Path
) -> None:
    groups = Groups(context)
    file = Path(str(database_path(database_url)))
    log = Path(f"{file}-wal")
    await groups.create(range(50), "kept")
    everything = await groups.create(NUMBERS, *TEXTS)
    replaced = await groups.create(NUMBERS)
    reduced = await groups.create([*NUMBERS, *LEFT])
    await store.truncate_log()
    assert len(found_in(file)) == len(NUMBERS) + len(TEXTS)
    await groups.drop(everything)
    await groups.replace(replaced, *LEFT)
    await groups.delete(reduced, *NUMBERS)
    assert found_in(log)  # until the log is truncated
    await store.truncate_log()
    assert found_in(file, log) == set()
    copy = tmp_path / "copy.db"
    copy.touch()
    backup.copy(file, copy)
    assert found_in(copy) == set()
    assert phone(LEFT[0]).encode() in copy.read_bytes()


@on_sqlite_only
async def test_backup_leaves_out_what_was_deleted_without_being_erased(
    context: Context, store: Store, database_url: str, tmp_path: Path
) -> None:
    file, copy = Path(str(database_path(database_url))), tmp_path / "copy.db"
    await Groups(context).create(NUMBERS, *TEXTS)
    await direct.run(database_url, "DELETE FROM group_member; DELETE FROM number_group")
    await store.truncate_log()
    assert len(found_in(file)) == len(NUMBERS) + len(TEXTS)
    copy.touch()
    backup.copy(file, copy)
    assert found_in(copy) == set()
