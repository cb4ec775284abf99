"""`openpns call-records prune`, and the ids after a restore."""

import asyncio
from pathlib import Path

from tests import direct
from tests.cli.conftest import Run

from openpns.call_records.retention import SKIPPED_IDS

LAST = {
    "sqlite": "SELECT last_id FROM call_record_counter",
    "postgresql": "SELECT last_value FROM call_record_record_id_seq",
}


def last_id(url: str) -> int:
    """Return the last id that a record got."""
    ((last,),) = asyncio.run(direct.query(url, LAST[url.partition(":")[0]]))
    return int(last)


def test_prune_deletes_and_says_how_many(stored: Run) -> None:
    before = ("--before", "2022-12-08T08:01")
    assert "--yes is needed" in stored("call-records", "prune", *before, code=2).err
    done = stored("call-records", "prune", *before, "--customer", "cus_1", "--yes")
    assert done.out == "call records deleted: 1\n"
    ids = stored("call-records", "list", "-q", "--customer", "cus_1").out.split()
    assert ids == ["3", "2"]
    assert "in the past" in stored("call-records", "prune", "--before", "2999-01-01", code=2).err
    assert "callRecords.prune" in stored("audit").out


def test_hold_skips_ids(stored: Run, database_url: str) -> None:
    before = last_id(database_url)
    stored("bindings", "hold", "--customer", "cus_1")
    assert last_id(database_url) == before
    stored("bindings", "hold")
    assert last_id(database_url) >= before + SKIPPED_IDS


def test_restore_skips_ids(stored: Run, database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("postgres"):
        return
    file, restored = tmp_path / "backup.db", f"sqlite:///{tmp_path / 'restored.db'}"
    assert "call records 3" in stored("backup", "--to", str(file)).out
    stored("restore", "--from", str(file), "--database", restored)
    assert last_id(restored) == 3 + SKIPPED_IDS
    assert "call records 3" in stored("verify", "--database", restored).out
