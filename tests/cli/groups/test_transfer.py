"""Import through the API: rows, failures, unknown outcomes, and resuming an interrupted run."""

import csv
import io
import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Done, Run, SharedServer
from tests.cli.proxy import Proxy
from tests.helpers import on_sqlite_only
from tests.processes import OPENPNS

from openpns.bulk import api_import
from openpns.client.config import ClientConfig

pytestmark = [on_sqlite_only]

HEADER = "groupId,groupName,phones,remark\n"
NO_GROUP = "0" * 32


class Import:
    """Imports of a file through the API."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._run = run
        self.file = folder / "in.csv"
        self.state = folder / "in.csv.openpns-import"

    def load(self, content: str, *options: str, code: int = 0) -> Done:
        """Import a file with this content."""
        self.file.write_text(content, "utf-8")
        return self._run("groups", "import", str(self.file), *options, code=code)

    def groups(self) -> list[dict[str, str]]:
        """All groups, oldest first."""
        text = self._run("groups", "export").out
        return [*csv.DictReader(io.StringIO(text))]

    def names(self) -> list[str]:
        return sorted(row["groupName"] for row in self.groups())


@pytest.fixture
def importing(run_anywhere: Run, server: SharedServer, tmp_path: Path) -> Import:
    return Import(run_anywhere, tmp_path)


def rows(names: str, phones: str = "85211111114") -> str:
    """A file with one group per letter."""
    return HEADER + "".join(f",{name},{phones},\n" for name in names)


def named(name: str) -> Any:
    """Return a rule that matches the request that creates this group."""
    return lambda body: body.get("groupName") == name


def test_import_creates_groups_and_deletes_its_journal(importing: Import) -> None:
    content = HEADER + ',销售,"+85211111114, 8613800138000,85211111114",备注\n,,442071838750,\n'
    done = importing.load(content, "--concurrency", "1")
    assert (done.out, done.err) == ("imported 2 groups with 3 phones\n", "")
    first, second = importing.groups()
    assert first["groupName"] == "销售"
    assert first["phones"] == "85211111114,8613800138000"
    assert first["remark"] == "备注"
    assert second["groupName"] == second["groupId"]
    assert not importing.state.exists()


def test_import_replaces_phones_of_existing_groups(importing: Import) -> None:
    importing.load(rows("abcd"), "--concurrency", "1")
    a, b, c, d = importing.groups()
    changed = HEADER + (
        f'{a["groupId"]},a,"8613800138000,442071838750",\n'
        f"{b['groupId']},,,\n"
        f"{c['groupId']},c,+85211111114,\n"
        f"{d['groupId']},,8613800138000,\n"
        ",e,85211111114,\n"
    )
    dry = importing.load(changed, "--dry-run")
    assert dry.out.splitlines() == [
        f"~ {a['groupId']}: +2 -1 phones (line 2)",
        f"~ {b['groupId']}: +0 -1 phones (line 3)",
        f"= {c['groupId']}: unchanged (line 4)",
        f"~ {d['groupId']}: +1 -1 phones (line 5)",
        "+ e: 1 phones (line 6)",
        "would import 1 groups with 1 phones, change 3 (+3 -3 phones), 1 unchanged",
    ]
    assert [row["phones"] for row in importing.groups()] == ["85211111114"] * 4
    done = importing.load(changed)
    assert done.out == "imported 1 groups with 1 phones, changed 3 (+3 -3 phones), 1 unchanged\n"
    assert [row["phones"] for row in importing.groups()] == [
        "8613800138000,442071838750",
        "",
        "85211111114",
        "8613800138000",
        "85211111114",
    ]
    again = importing.load(changed.replace(",e,85211111114,\n", ""))
    assert again.out == "imported 0 groups with 0 phones, 4 unchanged\n"


def test_import_reports_bad_rows_before_writing(
    importing: Import,
) -> None:
    importing.load(rows("a"))
    (a,) = importing.groups()
    bad = HEADER + (
        f"{NO_GROUP},x,85211111114,\n"
        ",empty,,\n"
        f"{a['groupId']},another name,85211111114,\n"
        ",bad number,852x,\n"
        ",good,85211111114,\n"
    )
    done = importing.load(bad, code=1)
    reported = [line.partition(": line ")[2] for line in done.err.splitlines()]
    assert sorted(line[:40] for line in reported if line) == [
        "2: there is no group with this groupId; ",
        "3: phones is empty; the API creates no e",
        "4: groupName differs from the group's; i",
        "5: phones: item 1 must be 5 to 15 digits",
    ]
    assert "nothing was imported" in done.err
    assert importing.names() == ["a"]
    done = importing.load(bad, "--keep-going", code=1)
    assert done.out == "imported 1 groups with 1 phones\n"
    assert done.err.count(": line ") == 4
    assert importing.names() == ["a", "good"]


def test_import_reports_refused_rows_and_writes_the_others(
    importing: Import,
) -> None:
    content = HEADER + ",a,85211111114,\n,b,21001234567,\n,c,85211111114,\n"  # no country 210
    done = importing.load(content, code=1)
    assert done.out == "imported 2 groups with 2 phones\n"
    assert "in.csv: line 3: Parameter error: phones: item 1 must begin with an assigned" in done.err
    assert "failed rows: 1\n" in done.err
    assert "21001234567" not in done.err
    assert importing.names() == ["a", "c"]
    fixed = content.replace("21001234567", "8613800138000")
    assert "--resume" in importing.load(fixed, code=2).err
    again = importing.load(fixed, "--resume")
    assert again.out == "imported 1 groups with 1 phones\n"
    assert "2 rows were done before" in again.err
    assert importing.names() == ["a", "b", "c"]
    assert not importing.state.exists()


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_resume_sends_an_unknown_row_again_and_creates_it_once(
    importing: Import, proxy: Proxy, lost: str
) -> None:
    importing.load(rows("b"))  # an equal group of an earlier import does not count
    setattr(proxy, f"lose_{lost}", named("b"))
    done = importing.load(rows("abc"), code=6)
    assert done.out == "imported 2 groups with 2 phones\n"
    assert "in.csv: line 3: unknown: sent, no response" in done.err
    assert "--resume" in done.err
    setattr(proxy, f"lose_{lost}", lambda _: False)
    again = importing.load(rows("abc"), "--resume")
    assert again.out == "imported 1 groups with 1 phones\n"
    assert importing.names() == ["a", "b", "b", "c"]
    assert not importing.state.exists()


def test_resume_does_not_send_an_unknown_row_to_another_server(
    importing: Import, proxy: Proxy
) -> None:
    proxy.lose_answer = named("b")
    importing.load(rows("abc"), code=6)
    proxy.lose_answer = lambda _: False
    proxy.refuse = lambda body: not body  # getLimits, which only openpns knows
    done = importing.load(rows("abcd"), "--resume", code=1)
    assert done.out == "imported 1 groups with 1 phones\n"
    assert "line 3: unknown" in done.err
    assert importing.names() == [*"abcd"]
    assert importing.state.exists()


def test_resume_creates_each_of_equal_rows_once(importing: Import, proxy: Proxy) -> None:
    proxy.lose_answer = named("a")
    importing.load(rows("aaab"), "--concurrency", "1", code=6)
    assert importing.names() == ["a", "a", "a", "b"]
    proxy.lose_answer = lambda _: False
    again = importing.load(rows("aaab"), "--resume")
    assert again.out == "imported 3 groups with 3 phones\n"
    assert importing.names() == ["a", "a", "a", "b"]


def test_resume_sends_an_unknown_change_again(importing: Import, proxy: Proxy) -> None:
    importing.load(rows("a"))
    (a,) = importing.groups()
    content = f"{HEADER}{a['groupId']},,8613800138000,\n"
    proxy.lose_request = lambda body: "operateType" in body
    assert "line 2: unknown" in importing.load(content, code=6).err
    proxy.lose_request = lambda _: False
    assert "changed 1 (+1 -1 phones)" in importing.load(content, "--resume").out
    assert importing.groups()[0]["phones"] == "8613800138000"
    assert not importing.state.exists()


def test_client_retries_a_lost_answer(importing: Import, proxy: Proxy) -> None:
    seen: Counter[str] = Counter()

    def lose_the_first(body: dict[str, Any]) -> bool:
        seen[body.get("groupName", "")] += 1
        return seen[body.get("groupName", "")] == 1

    proxy.lose_answer = lambda body: "groupName" in body and lose_the_first(body)
    assert importing.load(rows("abc")).out == "imported 3 groups with 3 phones\n"
    assert sorted(importing.names()) == [*"abc"]
    assert seen == Counter("aabbcc")


def test_resume_does_not_send_an_unknown_row_without_tokens(
    importing: Import, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENPNS_RETRY_WRITES", "false")
    proxy.lose_answer = named("b")
    importing.load(rows("b"), code=6)
    proxy.lose_answer = lambda _: False
    done = importing.load(rows("b"), "--resume", code=1)
    assert "line 2: unknown" in done.err
    assert importing.names() == ["b"]
    assert importing.state.exists()


def test_many_unknown_rows_stop_the_import(
    importing: Import, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_import, "_UNKNOWN_MAX", 2)
    proxy.lose_answer = lambda body: "groupName" in body
    done = importing.load(rows("abcdef"), "--concurrency", "1", code=6)
    assert done.err.count(": unknown: ") == 2
    proxy.lose_answer = lambda _: False
    assert importing.load(rows("abcdef"), "--resume").out == "imported 6 groups with 6 phones\n"
    assert importing.names() == [*"abcdef"]


def test_error_of_every_row_stops_the_import(
    importing: Import, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = {"code": 1005, "msg": "Insufficient permissions", "requestId": "1"}

    def refuse_from_now(body: dict[str, Any]) -> bool:
        if body.get("groupName") == "c":
            proxy.page = json.dumps(refusal).encode()
        return False

    proxy.lose_request = refuse_from_now
    done = importing.load(rows("abcdef"), "--concurrency", "1", code=4)
    assert done.out == "imported 2 groups with 2 phones\n"
    assert "openpns: Insufficient permissions" in done.err
    proxy.page = None
    proxy.lose_request = lambda _: False
    assert importing.load(rows("abcdef"), "--resume").out == "imported 4 groups with 4 phones\n"
    assert importing.names() == [*"abcdef"]


def test_dry_run_with_resume_shows_the_remaining_rows(importing: Import, proxy: Proxy) -> None:
    proxy.lose_answer = named("b")
    importing.load(rows("ab"), code=6)
    proxy.lose_answer = lambda _: False
    assert "--resume" in importing.load(rows("abc"), "--dry-run", code=2).err
    done = importing.load(rows("abc"), "--dry-run", "--resume")
    assert done.out.splitlines() == [
        "+ b: 1 phones (line 3)",
        "+ c: 1 phones (line 4)",
        "would import 2 groups with 2 phones",
    ]
    assert importing.names() == ["a", "b"]


def test_resume_refuses_the_journal_of_another_import(
    importing: Import, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nothing to resume" in importing.load(rows("a"), "--resume", code=2).err
    proxy.lose_answer = named("a")
    importing.load(rows("a"), code=6)
    monkeypatch.setenv("OPENPNS_ACCESS_KEY", "key-of-cus-2")
    monkeypatch.setenv("OPENPNS_ACCESS_SECRET", "secret-of-2")
    done = importing.load(rows("a"), "--resume", code=2)
    assert "belongs to an import to" in done.err
    assert "key-of-cus-1" in done.err
    importing.state.write_text("{}\n")
    assert "is not the journal of an import" in importing.load(rows("a"), "--resume", code=2).err
    missing = tmp_path / "none" / "state"
    done = importing.load(rows("a"), "--state", str(missing), code=2)
    assert "give another file with --state" in done.err


def test_import_from_stdin_resumes_with_state(
    importing: Import, run_anywhere: Run, proxy: Proxy, tmp_path: Path
) -> None:
    content = b'{"phones": ["85211111114"], "groupName": "a"}\n'
    given = ("groups", "import", "-", "--format", "jsonl")
    assert run_anywhere(*given, stdin=content).out == "imported 1 groups with 1 phones\n"
    assert "needs --state" in run_anywhere(*given, "--resume", stdin=content, code=2).err
    state = tmp_path / "state"
    proxy.lose_answer = named("a")
    run_anywhere(*given, "--state", str(state), stdin=content, code=6)
    proxy.lose_answer = lambda _: False
    run_anywhere(*given, "--state", str(state), "--resume", stdin=content)
    assert importing.names() == ["a", "a"]
    assert not state.exists()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_import_of_an_export_changes_nothing(
    importing: Import, run_anywhere: Run, tmp_path: Path, form: str
) -> None:
    importing.load(rows("ab", phones='"85211111114,8613800138000"'), "--concurrency", "1")
    file = tmp_path / f"out.{form}"
    assert run_anywhere("groups", "export", str(file)).err == "exported 2 groups\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert run_anywhere("groups", "import", str(file)).out == (
        "imported 0 groups with 0 phones, 2 unchanged\n"
    )


def test_import_reads_a_guarded_export(importing: Import, tmp_path: Path) -> None:
    importing.load(rows("a") + ",=HYPERLINK(1),442071838750,'@SUM\n")
    copy = tmp_path / "guarded.csv"
    importing._run("groups", "export", str(copy), "--spreadsheet")
    copied = csv.DictReader(io.StringIO(copy.read_text("utf-8")))
    remarks = {row["groupName"]: row["remark"] for row in copied}  # in any order
    assert remarks == {"a": "", "'=HYPERLINK(1)": "''@SUM"}
    done = importing.load(copy.read_text("utf-8"), "--spreadsheet")
    assert done.out == "imported 0 groups with 0 phones, 2 unchanged\n"
    importing.load(copy.read_text("utf-8"), code=1)  # the names differ


@pytest.mark.parametrize("command", ["import", "export"])
def test_formulas_are_guarded_in_csv_only(importing: Import, tmp_path: Path, command: str) -> None:
    file = tmp_path / "a.jsonl"
    file.touch()
    done = importing._run("groups", command, str(file), "--spreadsheet", code=2)
    assert "--spreadsheet is for CSV only" in done.err


def test_import_warns_about_plain_http_once(
    importing: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClientConfig, "is_exposed", True)
    done = importing.load(rows("ab"))
    (warning,) = done.err.splitlines()
    assert warning.startswith("openpns: http://127.0.0.1:")
    assert "is plain HTTP to another machine" in warning


def test_journal_is_private_and_contains_no_phone(importing: Import, proxy: Proxy) -> None:
    proxy.lose_answer = named("a")
    importing.load(rows("ab"), code=6)
    assert importing.state.stat().st_mode & 0o777 == 0o600
    text = importing.state.read_text()
    assert "85211111114" not in text
    assert "secret" not in text
    assert json.loads(text.splitlines()[0])["accessKey"] == "key-of-cus-1"


def test_full_disk_stops_the_import_and_loses_no_row(
    importing: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = os.write, 6

    def write_while_there_is_room(file: int, content: bytes) -> int:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(28, "No space left on device")
        return write(file, content)

    with monkeypatch.context() as during:
        during.setattr(os, "write", write_while_there_is_room)
        done = importing.load(rows("abcdef"), "--concurrency", "1", code=2)
    assert "cannot write it (No space left on device)" in done.err
    importing.load(rows("abcdef"), "--resume")
    assert importing.names() == [*"abcdef"]


def test_unknown_rows_are_said_if_stdout_is_full(importing: Import, proxy: Proxy) -> None:
    importing.file.write_text(rows("ab"))
    proxy.lose_answer = named("b")
    command = [*OPENPNS, "groups", "import", str(importing.file)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 6
    assert "line 3: unknown: sent, no response\n" in done.stderr
