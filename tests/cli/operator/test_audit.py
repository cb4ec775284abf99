import asyncio
import json
import os
from pathlib import Path

import pytest
from tests import direct
from tests.audit_trail import deletion, row, tamper
from tests.cli.conftest import Run
from tests.helpers import on_sqlite_only

from openpns.core import audit
from openpns.kit.plain_text import plain

KEY = ("keys", "create", "--customer", "cus_1", "--access-key", "key-1", "--json")


@pytest.fixture
def changed(openpns: Run) -> Run:
    """Runs `openpns` on a database with two customers, a key that was disabled, and a group."""
    openpns("customers", "create", "cus_2")
    openpns(*KEY)
    openpns("keys", "disable", "key-1")
    rows = b'{"phones":"8613800138000,85211111114"}\n'
    openpns("groups", "import", "-", "--format", "jsonl", "--customer", "cus_1", stdin=rows)
    return openpns


def test_audit_prints_a_table_newest_first(changed: Run) -> None:
    done = changed("audit")
    head, *lines = done.out.splitlines()
    assert head.split() == ["time", "customer", "actor", "action", "about", "details"]
    assert [line.split()[4] for line in lines] == [
        "groups.import",
        "keys.disable",
        "keys.create",
        "customers.create",
        "customers.create",
    ]
    first = lines[0].split()
    assert first[1].endswith("Z")
    assert first[2] == "cus_1"
    assert first[3].startswith("operator:")
    assert first[5:] == ["-", "groups=1", "added=2"]
    assert lines[1].split()[5] == "key-1"
    assert done.err == ""


def test_audit_json_prints_one_entry_per_line(changed: Run) -> None:
    entries = [json.loads(line) for line in changed("audit", "--json").out.splitlines()]
    assert len(entries) == 5
    assert list(entries[0]) == [
        *("atMs", "customerId", "actor", "accessKey", "action", "subject", "requestId", "details")
    ]
    assert entries[0]["details"] == {"groups": 1, "added": 2}
    assert "8613800138000" not in str(entries)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--customer", "cus_2"], 1),
        (["--key", "key-1"], 2),
        (["--action", "keys.create"], 1),
        (["--group", "0" * 32], 0),
        (["--limit", "2"], 2),
        (["--since", "1h"], 5),
        (["--until", "1h"], 0),
        (["--since", "2020-01-31", "--until", "2020-02-01T00:00+08:00"], 0),
        (["--customer", "cus_1", "--since", "1d", "--limit", "1"], 1),
    ],
)
@on_sqlite_only
def test_audit_options_select_entries(changed: Run, options: list[str], count: int) -> None:
    done = changed("audit", "--json", *options)
    assert len(done.out.splitlines()) == count
    assert done.err == ("" if count else "no entry matches\n")


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--since", "yesterday"], 2, "'yesterday': allowed is a date such as"),
        (["--since", "7y"], 2, "'7y': allowed is a number with s, m, h or d"),
        (["--limit", "0"], 2, "0 is not in the range x>=1"),
        (["--customer", "cus_9"], 3, "customer 'cus_9': not found"),
        (["prune", "--before", "2099-01-31"], 2, "must be in the past"),
        (["prune"], 2, "Missing option '--before'"),
    ],
)
@on_sqlite_only
def test_audit_refuses_wrong_values(openpns: Run, options: list[str], code: int, text: str) -> None:
    assert text in openpns("audit", *options, code=code).err


def test_prune_needs_yes_without_a_terminal_and_adds_an_entry(changed: Run) -> None:
    assert "--yes is needed" in changed("audit", "prune", "--before", "0s", code=2).err
    assert len(changed("audit", "--json").out.splitlines()) == 5
    done = changed("audit", "prune", "--before", "0s", "--yes")
    assert done.out == "entries deleted: 5\n"
    left = [json.loads(line) for line in changed("audit", "--json").out.splitlines()]
    assert {entry["action"] for entry in left} == {"audit.prune"}
    assert sum(entry["details"]["entries"] for entry in left) == 5


@on_sqlite_only
def test_audit_keeps_columns_aligned_over_slices(
    openpns: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_ROWS_EACH", 1)
    openpns("customers", "create", "a-customer-with-a-longer-name")
    openpns("customers", "create", "cus_2")
    lines = openpns("audit").out.splitlines()
    assert len(lines) == 4
    assert lines[2].index("operator:") == lines[3].index("operator:") > lines[1].index("operator:")


@on_sqlite_only
def test_restore_adds_an_audit_entry(openpns: Run, tmp_path: Path) -> None:
    database = tmp_path / "test.db"
    copy = database.with_name("copy.db")
    openpns("backup", "--to", str(copy))
    openpns("customers", "create", "cus_2")
    target = f"sqlite:///{database.with_name('new.db')}"
    openpns("restore", "--from", str(copy), "--database", target)
    entries = openpns("audit", "--json", "--database", target).out.splitlines()
    found = [json.loads(line) for line in entries]
    assert [entry["action"] for entry in found] == ["database.restore", "customers.create"]
    assert found[0]["details"] == {"file": "copy.db"}


def test_head_is_what_verify_checks(changed: Run, database_url: str, tmp_path: Path) -> None:
    done = changed("audit", "head")
    heads = [json.loads(line) for line in done.out.splitlines()]
    assert [(head["customerId"], head["seq"]) for head in heads] == [("cus_1", 4), ("cus_2", 1)]
    file = tmp_path / "heads.jsonl"
    file.write_text(done.out * 2)
    verified = changed("verify", "--audit-heads", str(file), "--json").json
    assert (verified["auditHeads"], verified["auditUnsealed"], verified["wrong"]) == (4, 0, 0)
    asyncio.run(tamper(database_url, deletion("seq = 4")))
    assert changed("verify", "--json").json["auditEntries"] == 4
    failed = changed("verify", "--audit-heads", str(file), code=1)
    assert "customer cus_1: ends with entry 3, and its exported head is entry 4" in failed.err


@on_sqlite_only
def test_entry_forged_into_the_past_fails_verify_but_not_backup(
    changed: Run, database_url: str, tmp_path: Path
) -> None:
    asyncio.run(direct.run(database_url, row(at_ms=1_000)))
    changed("audit", "head")
    failed = changed("verify", code=1)
    assert "customer cus_1, entry 5: was added" in failed.err
    changed("backup", "--to", str(tmp_path / "copy.db"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["audit", "head"], []),
        (["audit"], ["head"]),
        (["audit"], ["prune", "--before", "1d", "--yes"]),
    ],
)
def test_subcommand_takes_the_database_before_or_after_its_name(
    openpns: Run, monkeypatch: pytest.MonkeyPatch, before: list[str], after: list[str]
) -> None:
    url = os.environ["OPENPNS_DATABASE"]
    monkeypatch.delenv("OPENPNS_DATABASE")
    openpns(*before, "--database", url, *after)
    for command in (["audit"], [*before, *after]):
        done = openpns(*command, code=2)
        assert "Missing option '--database' (env var: 'OPENPNS_DATABASE')." in done.err


async def test_audit_prints_no_control_characters(openpns: Run, database_url: str) -> None:
    await direct.run(database_url, row(details=json.dumps({"note": "a\u202e\x9b"})))
    shown = await asyncio.to_thread(openpns, "audit", "--json")
    assert all(plain(line) == line for line in shown.out.splitlines())
    noted = [json.loads(line)["details"].get("note") for line in shown.out.splitlines()]
    assert "a\u202e\x9b" in noted
    shown = await asyncio.to_thread(openpns, "audit")
    assert all(plain(line) == line for line in shown.out.split("\n"))
