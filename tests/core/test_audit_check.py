"""Each way to change the audit trail past openpns is found by its check."""

from pathlib import Path

import pytest
from tests import direct
from tests.audit_trail import deletion, faults, row, tamper
from tests.conftest import FakeClock
from tests.groups.actions import Groups
from tests.helpers import on_sqlite_only

from openpns.accounts.check import check_accounts
from openpns.clock import now_ms
from openpns.core import audit_chain, audit_check, audit_prune
from openpns.core.audit_check import WAIT_MS_MAX, check_audit, check_audit_times, read_heads
from openpns.errors import ConfigError
from openpns.storage.store import Store

MINE = "audit trail of customer cus_1"
KEY = "(SELECT at_ms FROM audit_seal WHERE customer_id = 'cus_1' AND seq = {})"
KEY_CHANGES = {"customer_id": "'cus_9'", "at_ms": "at_ms + 1", "entry_id": "entry_id + 1"}
CHANGES = {
    "action": "'deleteGroup'",
    "operator": "'root@host'",
    "access_key": "'other'",
    "subject": "'other'",
    "request_id": "'1'",
    "details": "'{}'",
}
"""Another value for each column of an entry: of its key, and of the others."""


@pytest.fixture
async def trail(store: Store, mine: Groups, theirs: Groups, clock: FakeClock) -> Store:
    """A database with six sealed entries of cus_1 and some of cus_2; the first is an operator's."""
    for number in range(5):
        clock.now_ms += 1
        await mine.create([number])
        await theirs.create([number])
    await audit_chain.seal(store)
    assert await faults(store) == []
    return store


async def at(url: str, seq: int) -> int:
    """Return the time of a sealed entry of cus_1."""
    ((at_ms,),) = await direct.query(url, KEY.format(seq)[1:-1])
    return int(at_ms)


async def test_every_column_of_an_entry_has_a_change(store: Store, database_url: str) -> None:
    await direct.run(database_url, row())
    names = "name FROM pragma_table_info('audit_entry')"
    if not database_url.startswith("sqlite"):
        names = "column_name FROM information_schema.columns WHERE table_name = 'audit_entry'"
    found = await direct.query(database_url, f"SELECT {names}")
    assert {name for (name,) in found} == {*KEY_CHANGES, *CHANGES}


async def test_changed_entry_is_named(trail: Store, database_url: str) -> None:
    for seq, (column, value) in enumerate(CHANGES.items(), 1):
        await tamper(
            database_url,
            f"UPDATE audit_entry SET {column} = {value} "
            f"WHERE customer_id = 'cus_1' AND at_ms = {await at(database_url, seq)}",
        )
        assert await faults(trail) == [
            f"{MINE}, entry {number}: is not the one that was sealed"
            for number in range(1, seq + 1)
        ]


@pytest.mark.parametrize("column", KEY_CHANGES)
async def test_entry_whose_key_was_changed_is_named(
    trail: Store, database_url: str, column: str
) -> None:
    where = f"customer_id = 'cus_1' AND at_ms = {await at(database_url, 2)}"
    change = f"UPDATE audit_entry SET {column} = {KEY_CHANGES[column]} WHERE {where}"
    await tamper(database_url, change)
    found = await faults(trail)
    assert f"{MINE}, entry 2: was deleted" in found
    assert "is not sealed and does not wait for it" in "".join(found)


@pytest.mark.parametrize("column", ["digest", "added_ms"])
async def test_changed_seal_is_named(trail: Store, database_url: str, column: str) -> None:
    value = "added_ms + 1"
    if column == "digest":
        value = "(SELECT digest FROM audit_seal WHERE customer_id = 'cus_1' AND seq = 1)"
    where = "customer_id = 'cus_1' AND seq = 6"
    await tamper(database_url, f"UPDATE audit_seal SET {column} = {value} WHERE {where}")
    assert await faults(trail) == [f"{MINE}, entry 6: is not the one that was sealed"]


async def test_deleted_entries_are_named(trail: Store, database_url: str) -> None:
    for seq in (2, 6):
        where = f"customer_id = 'cus_1' AND at_ms = {await at(database_url, seq)}"
        await tamper(database_url, f"DELETE FROM audit_entry WHERE {where}")
    assert await faults(trail) == [
        f"{MINE}, entry 2: was deleted",
        f"{MINE}, entry 6: was deleted",
    ]


async def test_entry_that_was_deleted_with_its_seal_is_named(
    trail: Store, database_url: str
) -> None:
    await tamper(database_url, deletion("seq = 3"))
    assert await faults(trail) == [f"{MINE}, entry 3: is missing"]


async def test_begin_of_a_chain_that_was_deleted_is_named(trail: Store, database_url: str) -> None:
    await tamper(database_url, deletion("seq <= 2"))
    assert await faults(trail) == [f"{MINE}: entries 1 to 2 are missing, and were not pruned"]


async def test_entry_that_was_inserted_without_a_seal_is_named(
    trail: Store, database_url: str
) -> None:
    await direct.run(database_url, row())
    assert await faults(trail) == []  # it waits for its seal
    await direct.run(database_url, "DELETE FROM audit_unsealed")
    assert await faults(trail) == [
        f"{MINE}: an entry with the time 7 is not sealed and does not wait for it"
    ]


async def test_entry_that_was_deleted_before_it_was_sealed_is_named(
    trail: Store, database_url: str
) -> None:
    await direct.run(database_url, row())
    await tamper(database_url, "DELETE FROM audit_entry WHERE at_ms = 7")
    assert "an entry with the time 7 was deleted" in "".join(await faults(trail))
    await audit_chain.seal(trail)
    assert len(await faults(trail)) == 1


async def test_seal_that_was_asked_for_twice_is_named_and_not_repeated(
    trail: Store, database_url: str
) -> None:
    again = "SELECT customer_id, at_ms, entry_id, 0 FROM audit_seal WHERE seq = 2"
    columns = "(customer_id, at_ms, entry_id, added_ms)"
    await direct.run(database_url, f"INSERT INTO audit_unsealed {columns} {again}")
    await audit_chain.seal(trail)
    found = await faults(trail)
    assert len(found) == 2
    assert "waits for a seal that it has" in found[0]


async def test_entry_that_waits_much_longer_than_others_is_named(
    trail: Store, database_url: str
) -> None:
    await direct.run(database_url, row())
    assert await faults(trail) == []
    await direct.run(
        database_url, f"UPDATE audit_unsealed SET added_ms = added_ms - {WAIT_MS_MAX + 10_000}"
    )
    (fault,) = await faults(trail)
    assert fault.endswith("is not sealed, but later ones are")
    early: list[str] = []
    await check_audit(trail, early.append, lambda: now_ms() - WAIT_MS_MAX)
    assert early == []  # the clock was set back since


async def test_forged_past_is_named(
    trail: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_check, "LATE_MS_MAX", 10**12)  # the clock of the test is not now
    found: list[str] = []
    await check_audit_times(trail, found.append)
    assert found == []
    await direct.run(database_url, row(at_ms=1))
    await direct.run(database_url, row(at_ms=4_000_000_000_000, entry_id=2))
    await audit_chain.seal(trail)
    await check_audit_times(trail, found.append)
    assert await faults(trail) == []
    assert [text.partition(": was added")[0] for text in found] == [
        f"{MINE}, entry 7",
        f"{MINE}, entry 8",
    ]
    assert found[0].endswith(" s after the time that it holds")
    assert found[1].endswith(" s before the time that it holds")


async def test_exported_head_shows_that_the_end_of_a_chain_was_deleted(
    trail: Store, database_url: str
) -> None:
    heads = await audit_chain.heads(trail)
    assert await faults(trail, *heads) == []
    await tamper(database_url, deletion("seq >= 5"))
    assert await faults(trail) == []
    assert await faults(trail, *heads) == [
        f"{MINE}: ends with entry 4, and its exported head is entry 6"
    ]


async def test_exported_head_shows_that_a_chain_was_deleted(
    trail: Store, mine: Groups, database_url: str
) -> None:
    heads = await audit_chain.heads(trail)
    await tamper(database_url, deletion("seq > 0"))
    assert await faults(trail, *heads) == [
        f"{MINE}: ends with entry 0, and its exported head is entry 6"
    ]
    accounts: list[str] = []
    await check_accounts(trail, accounts.append)
    assert accounts == ["customer cus_1: has no audit entry, not even that of its creation"]
    for number in range(6):  # a new chain of the same length
        await mine.create([number])
    await audit_chain.seal(trail)
    begins = f"{MINE}: begins with createGroup; earlier entries are missing"
    assert await faults(trail) == [begins]
    assert await faults(trail, *heads) == [f"{MINE}, entry 6: is not the exported head", begins]


async def test_exported_head_that_was_pruned_since_is_no_fault(
    trail: Store, mine: Groups, clock: FakeClock
) -> None:
    heads = await audit_chain.heads(trail)
    clock.now_ms += 10
    await mine.create([9])
    await audit_prune.prune(trail, now_ms())
    assert await faults(trail, *heads) == []


async def test_row_of_audit_pruning_is_named(trail: Store, database_url: str) -> None:
    await direct.run(database_url, "INSERT INTO audit_pruning VALUES (1, 5)")
    assert await faults(trail) == [
        "table audit_pruning: has a row, which allows entries to be deleted"
    ]


async def test_mark_without_the_right_digest_proves_nothing(
    trail: Store, database_url: str
) -> None:
    await tamper(database_url, deletion("seq <= 2"))
    for number, details in enumerate(('{"seq":2,"digest":"zz"}', "no JSON", '{"seq":2}')):
        await direct.run(
            database_url,
            row(entry_id=number, details=details).replace("createGroup", "audit.prune"),
        )
    await audit_chain.seal(trail)
    assert await faults(trail) == [f"{MINE}: entries 1 to 2 are missing, and were not pruned"]
    details = f'{{"seq":2,"digest":"{"00" * 32}"}}'
    await direct.run(
        database_url, row(entry_id=9, details=details).replace("createGroup", "audit.prune")
    )
    await audit_chain.seal(trail)
    assert await faults(trail) == [f"{MINE}, entry 3: is not the one that was sealed"]


@on_sqlite_only
async def test_read_heads_names_the_line_that_is_wrong(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "heads"
    file.write_text('{"customerId":null,"seq":1,"digest":"00"}\n{"seq":"1"}\n')
    with pytest.raises(ConfigError, match=r"heads: line 2: .*allowed is the output of openpns"):
        read_heads(file)
    with pytest.raises(ConfigError, match="cannot read the heads"):
        read_heads(tmp_path)
