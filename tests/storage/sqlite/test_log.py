"""The write-ahead log is emptied, except while a read needs it."""

from pathlib import Path

from tests.storage.conftest import add

from openpns.storage import connect
from openpns.storage.sqlite import log
from openpns.storage.sqlite.connections import open_file
from openpns.storage.sqlite.store import SQLiteStore

ROWS = "SELECT customer_id FROM customer"


async def test_truncate_empties_the_log_once_no_read_needs_it(tmp_path: Path) -> None:
    path, wal = str(tmp_path / "a.db"), tmp_path / "a.db-wal"
    store = SQLiteStore(path, 1000, create=True)
    await connect.migrate(store, f"sqlite:///{path}")
    await store.write(add("cus_1", "cus_2"))
    reader = open_file(path)
    cursor = reader.execute(ROWS)
    assert cursor.fetchone() == ("cus_1",)  # keeps its snapshot
    await store.write(add("cus_3"))
    assert not await store.truncate_log()
    assert store.sizes() == ((tmp_path / "a.db").stat().st_size, wal.stat().st_size)
    assert wal.stat().st_size > 0
    cursor.close()
    assert await store.truncate_log()
    assert wal.stat().st_size == 0
    assert reader.execute(ROWS).fetchall() == [("cus_1",), ("cus_2",), ("cus_3",)]
    reader.close()
    await store.close()
    assert log.truncate(path)
    assert log.sizes(path)[1] == log.sizes(str(tmp_path / "none.db")).database == 0
