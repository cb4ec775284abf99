"""Every connection is secured, also those of the writer, of streams and of backups."""

from pathlib import Path

import apsw
import pytest

from openpns.errors import ConfigError
from openpns.storage.sqlite.connections import open_file
from openpns.storage.sqlite.store import SQLiteStore


def check(connection: apsw.Connection) -> None:
    assert connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, -1) == 0
    assert connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, -1) == 1
    assert connection.pragma("cell_size_check") == 1
    assert connection.pragma("secure_delete") == 1


async def test_every_connection_is_secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(open_file(":memory:"))
    store = SQLiteStore(str(tmp_path / "a.db"), 1000, create=True)
    connection = store._connect()
    check(connection)
    connection.execute("PRAGMA writable_schema = ON")
    with pytest.raises(apsw.SQLError, match="may not be modified"):
        connection.execute("UPDATE sqlite_schema SET sql = ''")
    connection.close()
    await store.close()


def test_apsw_opens_files_here_only() -> None:
    """A connection that is opened elsewhere would not be secured."""
    source = Path(__file__).parents[3] / "src"
    found = {
        str(file.relative_to(source))
        for file in source.rglob("*.py")
        if "apsw.Connection(" in file.read_text("utf-8")
    }
    assert found == {"openpns/storage/sqlite/connections.py"}


def test_name_of_a_file_must_be_utf8(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the name of an SQLite file must be UTF-8"):
        open_file(str(tmp_path / "caf\udce9.db"), flags=apsw.SQLITE_OPEN_CREATE)
    assert list(tmp_path.iterdir()) == []


async def test_only_small_statements_keep_what_they_materialise_in_memory(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path / "a.db"), 1000, create=True)
    assert store._reader.pragma("temp_store") == 2
    for opened, where in ((store._writer._connect, 2), (store._connect_reading, 0)):
        connection = opened()
        assert connection.pragma("temp_store") == where
        connection.close()
    await store.close()
