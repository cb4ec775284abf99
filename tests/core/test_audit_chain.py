import asyncio
import hashlib
from typing import Any

import asyncpg
import pytest
from tests import direct
from tests.audit_trail import entries, faults, row
from tests.conftest import FakeClock
from tests.groups.actions import Groups

from openpns.core import audit, audit_chain
from openpns.core.audit_chain import digest_of
from openpns.storage import connect, migrations
from openpns.storage.store import Store, Transaction

CHAIN = """
SELECT s.seq, e.subject FROM audit_seal AS s JOIN audit_entry AS e
    ON e.customer_id = s.customer_id AND e.at_ms = s.at_ms AND e.entry_id = s.entry_id
WHERE s.customer_id = 'cus_1' AND e.access_key IS NOT NULL ORDER BY s.seq
"""
COUNTS = "SELECT (SELECT count(*) FROM audit_seal), (SELECT count(*) FROM audit_unsealed)"
KEY = ("customer_id", "at_ms", "entry_id", "added_ms")
OLD = "DELETE FROM audit_unsealed; INSERT INTO audit_backlog VALUES (1, '', -1, -1)"
"""Makes all entries as those from before the chain."""


async def counts(url: str) -> tuple[int, int]:
    """Return how many entries are sealed, and how many are not."""
    ((sealed, unsealed),) = await direct.query(url, COUNTS)
    return sealed, unsealed


def test_digest_is_that_of_the_documented_text() -> None:
    content = ("cus_1", 7, 2**63 - 1, "createGroup", None, "key", None, "\x01/é", '{"é":1}', 8)
    text = (
        '["openpns-audit-1","abcd",12,"cus_1",7,9223372036854775807,"createGroup",null,"key",null,'
        '"\\u0001/é","{\\"é\\":1}",8]'
    )
    expected = hashlib.sha256(text.encode()).digest()
    assert digest_of(b"\xab\xcd", 12, content) == expected


def test_digest_depends_on_every_value_and_on_where_it_ends() -> None:
    content: list[Any] = ["a", 1, 2, "b", None, "c", "d", "e", "f", 3]
    digests = {
        digest_of(b"x", 1, content),
        digest_of(b"y", 1, content),
        digest_of(b"x", 2, content),
    }
    for place, value in enumerate(content):
        changed = [*content]
        for other in (str(value) + "x", "", None if value is not None else "-"):
            changed[place] = other
            digests.add(digest_of(b"x", 1, changed))
    moved = [*content]
    moved[5:7] = ["cd", ""]
    digests.add(digest_of(b"x", 1, moved))
    assert len(digests) == 3 + 3 * len(content) + 1


async def test_seal_returns_what_is_left(
    store: Store, mine: Groups, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await mine.create([number])
    await direct.run(database_url, "UPDATE audit_unsealed SET added_ms = place")
    monkeypatch.setattr(audit_chain, "SEALED_AT_ONCE", 1)
    monkeypatch.setattr(audit_chain, "_TRANSACTIONS_MAX", 2)
    monkeypatch.setattr(audit_chain, "COUNTED_MAX", 2)
    waiting = await direct.query(database_url, "SELECT place FROM audit_unsealed ORDER BY place")
    for done in range(2, len(waiting), 2):
        assert await audit_chain.seal(store) == (min(len(waiting) - done, 2), waiting[done][0])
    assert await audit_chain.seal(store) == (0, None)
    assert await audit_chain.seal(store) == (0, None)


async def test_seal_gives_each_chain_its_own_sequence(
    store: Store, mine: Groups, theirs: Groups, clock: FakeClock, database_url: str
) -> None:
    ids = []
    for _ in range(3):
        clock.now_ms += 1
        ids.append(await mine.create([1]))
        await theirs.create([1])
    await audit.record(store, "database.restore", {})
    await audit_chain.seal(store)
    heads = await audit_chain.heads(store)
    assert [(head.customer_id, head.seq) for head in heads] == [
        (None, 1),
        ("cus_1", 4),
        ("cus_2", 4),
    ]
    found = await direct.query(database_url, CHAIN)
    assert [subject for _, subject in found] == ids
    assert await counts(database_url) == (9, 0)
    assert await faults(store, *heads) == []


async def test_entries_are_sealed_in_the_order_of_their_commits(
    store: Store, mine: Groups, database_url: str
) -> None:
    await mine.create([1])
    await direct.run(database_url, row(at_ms=7))  # of a node whose clock is behind
    group = await mine.create([2])
    await audit_chain.seal(store)
    found = [subject for _, subject in await direct.query(database_url, CHAIN)]
    assert found[1:] == [None, group]
    assert await faults(store) == []


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_entry_of_an_open_transaction_is_sealed_after_its_commit(
    store: Store, mine: Groups, database_url: str
) -> None:
    opened, going_on = asyncio.Event(), asyncio.Event()

    async def write_slowly() -> None:
        connection = await asyncpg.connect(database_url)
        async with connection.transaction():
            await connection.execute(row(at_ms=7))
            opened.set()
            await going_on.wait()
        await connection.close()

    writing = asyncio.create_task(write_slowly())
    await opened.wait()
    await mine.create([1])
    await audit_chain.seal(store)
    assert await counts(database_url) == (2, 0)
    going_on.set()
    await writing
    assert await counts(database_url) == (2, 1)
    await audit_chain.seal(store)
    assert await counts(database_url) == (3, 0)
    assert await faults(store) == []


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_entries_with_the_same_place_are_all_sealed(
    store: Store,
    mine: Groups,
    theirs: Groups,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_chain, "SEALED_AT_ONCE", 3)
    for number in range(4):
        await mine.create([number])
        await theirs.create([number])
    keys = await direct.query(database_url, f"SELECT {', '.join(KEY)} FROM audit_unsealed")
    await direct.run(database_url, "DELETE FROM audit_unsealed")
    for customer_id, at_ms, entry_id, added_ms in keys:
        await direct.run(
            database_url,
            f"INSERT INTO audit_unsealed ({', '.join(KEY)}, place) OVERRIDING SYSTEM VALUE "
            f"VALUES ('{customer_id}', {at_ms}, {entry_id}, {added_ms}, 7)",
        )
    await audit_chain.seal_all(store)
    assert await counts(database_url) == (len(keys), 0)
    assert await faults(store) == []


async def test_sealers_at_once_seal_each_entry_once(
    store: Store, mine: Groups, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_chain, "SEALED_AT_ONCE", 3)
    stores = [await connect.open_store(database_url) for _ in range(3)]

    async def write() -> None:
        for number in range(20):
            await mine.create([number])

    async def seal_often(own: Store) -> None:
        for _ in range(20):
            await audit_chain.seal(own)

    await asyncio.gather(write(), *map(seal_often, stores))
    await audit_chain.seal_all(store)
    assert await counts(database_url) == (21, 0)
    assert await faults(store) == []
    for own in stores:
        await own.close()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_seal_does_nothing_while_another_process_seals_and_writes_go_on(
    store: Store, mine: Groups, database_url: str
) -> None:
    lock = "SELECT pg_advisory_xact_lock(31367303361752693)"
    async with direct.holding(database_url, lock):
        await mine.create([1])  # writes do not wait for it
        await audit_chain.seal(store)
        assert await counts(database_url) == (0, 2)
    await audit_chain.seal(store)
    assert await counts(database_url) == (2, 0)


async def test_seal_that_fails_leaves_the_entries_for_the_next_one(
    store: Store, mine: Groups, database_url: str
) -> None:
    await mine.create([1])

    def fail() -> Transaction[None]:
        yield from audit_chain._seal_some("audit_seal_lock")
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await store.write(fail)
    assert await counts(database_url) == (0, 2)
    await audit_chain.seal(store)
    assert await counts(database_url) == (2, 0)


async def test_entries_from_before_the_chain_are_sealed_in_their_order_in_bounded_batches(
    store: Store,
    mine: Groups,
    theirs: Groups,
    clock: FakeClock,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_chain, "SEALED_AT_ONCE", 2)
    ids = []
    for number in range(5):
        clock.now_ms += 1
        ids.append(await mine.create([number]))
        await theirs.create([number])
    await direct.run(database_url, OLD)
    assert await faults(store) == []
    await store.write(lambda: audit_chain._seal_some("audit_seal_lock"))
    assert await counts(database_url) == (2, 0)
    clock.now_ms += 1
    ids.append(await mine.create([9]))  # while older ones are not sealed
    assert await faults(store) == []
    await audit_chain.seal_all(store)
    assert await counts(database_url) == (13, 0)
    sealed_before = "SELECT count(*) FROM audit_seal WHERE added_ms IS NULL"
    assert await direct.query(database_url, sealed_before) == [(12,)]
    assert [subject for _, subject in await direct.query(database_url, CHAIN)] == ids
    assert await direct.query(database_url, "SELECT * FROM audit_backlog") == []
    assert await faults(store) == []


async def test_batch_of_old_entries_is_bounded(
    store: Store, mine: Groups, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_chain, "SEALED_AT_ONCE", 2)
    monkeypatch.setattr(audit_chain, "_TRANSACTIONS_MAX", 3)
    for number in range(9):
        await mine.create([number])
    await direct.run(database_url, OLD)
    await audit_chain.seal(store)
    assert await counts(database_url) == (6, 0)


async def test_migration_leaves_existing_entries_to_be_sealed(database_url: str) -> None:
    known = migrations.load_migrations(connect.engine_of(database_url))
    store = await connect.open_store(database_url, create=True)
    await store.migrate([one for one in known if one.number < 10])
    for customer_id in ("cus_1", "cus_2"):
        await direct.run(
            database_url,
            f"INSERT INTO customer (customer_id, name, created_ms) VALUES ('{customer_id}', '', 1)",
        )
    for number in range(3):
        await direct.run(database_url, row(entry_id=number))
    assert [one.label for one in await store.migrate(known)][:1] == ["10 pre"]
    await direct.run(database_url, row(entry_id=9))  # as a server of the older version adds it
    assert await faults(store) == []
    assert await counts(database_url) == (0, 1)
    await audit_chain.seal(store)
    assert await counts(database_url) == (5, 0)
    assert await faults(store) == []
    (begin,) = await entries(store, customer_id="cus_2")
    assert (begin.action, begin.actor) == ("audit.begin", "operator:openpns")
    await store.close()
