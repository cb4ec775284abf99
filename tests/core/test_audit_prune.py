import pytest
from tests import direct
from tests.audit_trail import entries, faults, of_requests, refuse_entries
from tests.conftest import START_MS, FakeClock
from tests.groups.actions import Groups

from openpns.core import audit, audit_chain, audit_prune
from openpns.errors import WireError
from openpns.storage.store import Store

ROW = "VALUES ('cus_1', 7, 1, 'createGroup', NULL, 'key', NULL, NULL, '{}')"
APPEND_ONLY = "audit_entry is append-only"


@pytest.fixture(autouse=True)
def _operator_clock(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands have the time of the test, so that the creation of a customer is old, too."""
    monkeypatch.setattr(audit, "now_ms", clock)


async def test_prune_deletes_older_entries_and_adds_an_entry_for_it(
    store: Store, mine: Groups, theirs: Groups, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_prune, "PRUNED_AT_ONCE", 2)
    for groups_ in (mine, theirs, mine, mine):
        clock.now_ms += 1
        await groups_.create([1])
    assert await audit_prune.prune(store, START_MS + 4) == 5
    assert [entry.at_ms for entry in await of_requests(store)] == [START_MS + 4]
    pruning = await entries(store, action="audit.prune")
    assert sorted((entry.customer_id, entry.details["entries"]) for entry in pruning) == [
        ("cus_1", 1),
        ("cus_1", 2),
        ("cus_2", 2),
    ]
    assert {entry.details["beforeMs"] for entry in pruning} == {START_MS + 4}
    assert await audit_prune.prune(store, START_MS + 4) == 0
    assert len(await entries(store, action="audit.prune")) == 3


async def test_prune_ends_with_a_table_that_is_append_only_again(
    store: Store, mine: Groups, clock: FakeClock, database_url: str
) -> None:
    await mine.create([1])
    clock.now_ms += 1
    assert await audit_prune.prune(store, START_MS + 1) == 2
    assert await direct.query(database_url, "SELECT * FROM audit_pruning") == []
    await direct.run(database_url, f"INSERT INTO audit_entry {ROW}")
    with pytest.raises(Exception, match=APPEND_ONLY):
        await direct.run(database_url, "DELETE FROM audit_entry WHERE at_ms = 7")


async def test_prune_that_fails_deletes_nothing(
    store: Store, mine: Groups, clock: FakeClock, database_url: str
) -> None:
    await mine.create([1])
    clock.now_ms += 1
    await direct.run(database_url, refuse_entries(database_url))
    with pytest.raises(WireError):
        await audit_prune.prune(store, START_MS + 1)
    assert len(await of_requests(store)) == 1
    assert await direct.query(database_url, "SELECT * FROM audit_pruning") == []


async def test_prune_leaves_a_chain_that_begins_with_what_its_mark_names(
    store: Store, mine: Groups, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_prune, "PRUNED_AT_ONCE", 3)
    for _ in range(8):
        clock.now_ms += 1
        await mine.create([1])
    assert await audit_prune.prune(store, START_MS + 6) == 6
    assert await faults(store) == []
    marks = await entries(store, action="audit.prune")
    assert sorted(mark.details["seq"] for mark in marks) == [3, 6]
    clock.now_ms += 1
    await mine.create([1])
    await audit_chain.seal(store)
    assert await faults(store) == []


async def test_prune_of_every_entry_leaves_a_chain_that_goes_on(
    store: Store, mine: Groups, clock: FakeClock
) -> None:
    await mine.create([1])
    clock.now_ms += 1
    assert await audit_prune.prune(store, clock.now_ms) == 2
    await mine.create([2])
    await audit_chain.seal(store)
    heads = await audit_chain.heads(store)
    assert [(head.customer_id, head.seq) for head in heads] == [("cus_1", 4)]
    assert await faults(store, *heads) == []


async def test_prune_ends_at_the_first_entry_that_is_not_from_before_the_time(
    store: Store, mine: Groups, clock: FakeClock
) -> None:
    for moved_ms in (1, 9, 2):
        clock.now_ms = START_MS + moved_ms
        await mine.create([moved_ms])
        await audit_chain.seal(store)
    clock.now_ms = START_MS + 10
    assert await audit_prune.prune(store, START_MS + 5) == 2
    assert [entry.at_ms for entry in await of_requests(store)] == [START_MS + 2, START_MS + 9]
    assert await faults(store) == []


async def test_prune_of_an_older_version_is_refused(
    store: Store, mine: Groups, database_url: str
) -> None:
    await mine.create([1])
    for _ in range(2):  # before and after it is sealed
        with pytest.raises(Exception, match=APPEND_ONLY):
            await direct.run(
                database_url,
                f"INSERT INTO audit_pruning VALUES (1, {START_MS + 1}); "
                f"DELETE FROM audit_entry WHERE at_ms = {START_MS}; DELETE FROM audit_pruning",
            )
        await audit_chain.seal(store)
    assert len(await of_requests(store)) == 1
