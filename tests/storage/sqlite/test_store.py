import asyncio
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import Mock

import apsw
import pytest
from tests import direct
from tests.storage.conftest import add, ids_in

from openpns.errors import (
    ConfigError,
    GroupNotFound,
    InternalError,
    ReadFailed,
    ServiceUnavailable,
)
from openpns.storage import connect
from openpns.storage.migrations import Migration
from openpns.storage.sqlite.store import SQLiteStore
from openpns.storage.store import BatchKey, Statement, Transaction

NOBODY = 65_534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
async def store(path: Path, url: str) -> AsyncIterator[SQLiteStore]:
    """A store with one customer and a short timeout that has not written yet."""
    made = await connect.open_store(url, create=True)
    await connect.migrate(made, url)
    await made.write(add("cus_1"))
    await made.close()
    opened = SQLiteStore(str(path), timeout_ms=100)
    yield opened
    await opened.close()


def change_writer(store: SQLiteStore, change: Callable[[apsw.Connection], None]) -> None:
    """Change the connection of the writer, before its first write."""
    plain = store._writer._connect

    def connect_and_change() -> apsw.Connection:
        connection = plain()
        change(connection)
        return connection

    store._writer._connect = connect_and_change


def leave_pages(count: int) -> Callable[[apsw.Connection], None]:
    """Let the database grow by this many pages only, like a disk that is nearly full."""

    def change(connection: apsw.Connection) -> None:
        connection.pragma("max_page_count", connection.pragma("page_count") + count)

    return change


def add_group(group_id: str, phones: str) -> Callable[[], Transaction[None]]:
    """Return the step that stores a group with this text as its phones."""
    row = {
        "customer_id": "cus_1",
        "group_id": group_id,
        "group_seq": int(group_id, 16),
        "group_name": "",
        "folded_name": "",
        "remark": "",
        "phone_count": 1,
        "now_ms": 1,
        "phones": phones,
    }

    def steps() -> Transaction[None]:
        yield Statement("group_create", row)

    return steps


async def group_ids(store: SQLiteStore) -> list[str]:
    return [row[0] for row in await store.fetch("group_export", {"customer_id": "cus_1"})]


def refuse_if_there(customer_id: str) -> Callable[[], Transaction[None]]:
    """Return steps that fail if another write has stored a customer."""

    def steps() -> Transaction[None]:
        if (yield Statement("customer_list", {"customer_id": customer_id})):
            raise GroupNotFound

    return steps


async def write_together(
    store: SQLiteStore,
    *writes: Callable[[], Transaction[object]],
    then_close: bool = False,
    batch_key: BatchKey | None = None,
) -> list[object | BaseException]:
    """Block the writer until all writes wait, so that it takes them as one batch."""
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> Transaction[None]:
        begun.set()
        go_on.wait(10)
        yield Statement("customer_list", {"customer_id": None})

    first = asyncio.ensure_future(store.write(wait))
    await asyncio.to_thread(begun.wait, 10)
    rest = [asyncio.ensure_future(store.write(steps, batch_key=batch_key)) for steps in writes]
    await asyncio.sleep(0)
    if then_close:
        rest.append(asyncio.ensure_future(store.close()))
        # The queue is a thread's: it has no event to wait for.
        while not store._writer._is_ending:  # noqa: ASYNC110
            await asyncio.sleep(0)
    go_on.set()
    return (await asyncio.gather(first, *rest, return_exceptions=True))[1:]


@pytest.fixture
async def read_only(store: SQLiteStore) -> AsyncIterator[str]:
    """A database file that this process may only read, in a folder of its own."""
    await store.close()
    folder = Path(tempfile.mkdtemp(prefix="openpns-read-only-"))
    file = folder / "test.db"
    shutil.copy(store._path, file)
    file.chmod(0o444)
    folder.chmod(0o777)
    try:
        with without_root():
            yield str(file)
    finally:
        shutil.rmtree(folder)


@contextmanager
def without_root() -> Iterator[None]:
    """Drop the rights of root, who can write read-only files, for the block."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


async def test_new_file_and_side_files_are_private(store: SQLiteStore, path: Path) -> None:
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.parametrize("create", [True, False])
async def test_open_refuses_file_in_missing_folder(tmp_path: Path, *, create: bool) -> None:
    url = f"sqlite:///{tmp_path / 'missing' / 'test.db'}"
    with pytest.raises(ConfigError, match=r"missing/test\.db"):
        await connect.open_store(url, create=create)


async def test_open_refuses_and_keeps_a_file_that_is_not_a_database(path: Path, url: str) -> None:
    text = "groupId,groupName,phones,remark\n" * 100
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"cannot open .*test\.db: file is not a database"):
        await connect.open_store(url, create=True)
    assert path.read_text() == text


async def test_open_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot open"):
        await connect.open_store(f"sqlite:///{tmp_path}")


async def test_connections_sync_each_commit_to_disk(store: SQLiteStore) -> None:
    assert store._connect().pragma("synchronous") == 2  # full
    assert store._reader.pragma("journal_mode") == "wal"


async def test_write_raises_service_unavailable_while_database_is_locked(
    store: SQLiteStore, url: str
) -> None:
    async with direct.holding(url, "UPDATE customer SET name = 'changed'"):
        with pytest.raises(ServiceUnavailable, match="nothing was written") as caught:
            await store.write(add("cus_2"))
        assert isinstance(caught.value.__cause__, apsw.BusyError)
        with pytest.raises(ServiceUnavailable):
            await store.migrate([Migration(99, "CREATE TABLE t (a)")])
        assert await ids_in(store) == ["cus_1"]
    assert await store.write(add("cus_2")) == 1


async def test_full_disk_refuses_only_what_does_not_fit(store: SQLiteStore) -> None:
    change_writer(store, leave_pages(2))
    with pytest.raises(ServiceUnavailable, match="nothing was written") as caught:
        await store.write(add_group("1", "8" * 100_000))
    assert isinstance(caught.value.__cause__, apsw.FullError)
    assert await group_ids(store) == []
    await store.write(add_group("2", "85211111114"))
    assert await group_ids(store) == ["2"]


async def test_writes_of_a_batch_fail_alone(store: SQLiteStore) -> None:
    results = await write_together(
        store,
        add("cus_2"),
        add("cus_3", then=GroupNotFound()),
        add("cus_4", "cus_4"),
        add("cus_5", then=ValueError("a bug")),
        add("cus_6"),
    )
    assert [type(result) for result in results] == [
        *(int, GroupNotFound, InternalError, ValueError, int)
    ]
    assert await ids_in(store) == ["cus_1", "cus_2", "cus_6"]


@pytest.mark.parametrize(
    ("bad", "runs"),
    [(refuse_if_there("cus_1"), 1), (add("cus_3", then=GroupNotFound()), 2)],
    ids=["before a change", "after a change"],
)
async def test_writes_with_a_batch_key_run_again_if_one_fails_after_a_change(
    store: SQLiteStore, bad: Callable[[], Transaction[object]], runs: int
) -> None:
    good = Mock(side_effect=add("cus_2"))
    results = await write_together(store, good, bad, batch_key=BatchKey("a", ("b",)))
    assert ([*map(type, results)], good.call_count) == ([int, GroupNotFound], runs)
    assert await ids_in(store) == ["cus_1", "cus_2"]


async def test_writes_of_a_batch_see_each_other_in_order(store: SQLiteStore) -> None:
    results = await write_together(store, add("cus_2"), refuse_if_there("cus_2"))
    assert [type(result) for result in results] == [int, GroupNotFound]


async def test_close_lets_waiting_writes_finish(store: SQLiteStore, path: Path) -> None:
    results = await write_together(store, add("cus_2"), add("cus_3"), then_close=True)
    assert results == [1, 1, None]
    again = SQLiteStore(str(path), 100)
    assert await ids_in(again) == ["cus_1", "cus_2", "cus_3"]
    await again.close()


async def test_full_disk_rolls_the_whole_batch_back(store: SQLiteStore) -> None:
    change_writer(store, leave_pages(2))
    results = await write_together(
        store,
        add("cus_2"),
        # Refused because of the write before it, which is rolled back: that must not be the reason.
        refuse_if_there("cus_2"),
        add_group("1", "8" * 100_000),
        add("cus_3"),  # in the batch after it
    )
    assert [type(result) for result in results] == [*[ServiceUnavailable] * 3, int]
    assert await ids_in(store) == ["cus_1", "cus_3"]
    assert await store.write(add("cus_2")) == 1


async def test_failed_commit_rolls_the_whole_batch_back(store: SQLiteStore) -> None:
    refuse = threading.Event()
    change_writer(store, lambda connection: connection.set_commit_hook(refuse.is_set))
    refuse.set()
    results = await write_together(store, add("cus_2"), add("cus_3", then=GroupNotFound()))
    assert [type(result) for result in results] == [InternalError] * 2
    refuse.clear()
    assert await ids_in(store) == ["cus_1"]
    assert await store.write(add("cus_2")) == 1


async def test_writer_connects_again_after_a_failure(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store._path = store._path, "/missing/test.db"
    with pytest.raises(ServiceUnavailable):
        await store.write(add("cus_2"))
    with pytest.raises(ServiceUnavailable):
        await anext(store.stream("customer_list", {"customer_id": None}, 1))
    store._path = path
    assert await store.write(add("cus_2")) == 1


def test_writer_outlives_a_caller_whose_loop_has_ended(path: Path, url: str) -> None:
    stores: list[SQLiteStore] = []
    left: list[object] = []
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> Transaction[None]:
        begun.set()
        go_on.wait(10)
        yield from add("cus_1")()

    async def leave() -> None:
        stores.append(SQLiteStore(str(path), 100, create=True))
        await connect.migrate(stores[0], url)
        left.append(asyncio.ensure_future(stores[0].write(slowly)))
        await asyncio.to_thread(begun.wait, 10)

    async def come_back() -> list[str]:
        go_on.set()
        await stores[0].write(add("cus_2"))
        shown = await ids_in(stores[0])
        await stores[0].close()
        return shown

    asyncio.run(leave())
    assert asyncio.run(come_back()) == ["cus_1", "cus_2"]


async def test_read_only_file_can_be_read_and_not_written(read_only: str) -> None:
    store = SQLiteStore(read_only, 100)
    with pytest.raises(ServiceUnavailable, match="nothing was written") as caught:
        await store.write(add("cus_2"))
    assert isinstance(caught.value.__cause__, apsw.ReadOnlyError)
    assert await ids_in(store) == ["cus_1"]
    await store.close()


async def test_open_cannot_create_a_file_in_a_read_only_folder(path: Path) -> None:
    path.parent.chmod(0o555)
    expected = r"cannot create .*: Permission denied; allowed is"
    with without_root(), pytest.raises(ConfigError, match=expected):
        SQLiteStore(str(path), 100, create=True)


async def test_damaged_file_raises_read_failed(path: Path, store: SQLiteStore) -> None:
    await store.close()
    with closing(apsw.Connection(str(path))) as connection:
        tables = connection.execute("SELECT rootpage FROM sqlite_schema WHERE rootpage > 0")
        pages = [row[0] for row in tables]
    data = bytearray(path.read_bytes())
    for page in pages:
        data[(page - 1) * 4096 : page * 4096] = b"\x5a" * 4096
    path.write_bytes(data)
    damaged = SQLiteStore(str(path), 100)
    with pytest.raises(ReadFailed, match="the storage is damaged"):
        await damaged.fetch("customer_list", {"customer_id": None})
    with pytest.raises(ReadFailed):
        await anext(damaged.stream("customer_list", {"customer_id": None}, 1))
    with pytest.raises(ReadFailed):
        await damaged.write(add("cus_2"))
    await damaged.close()
