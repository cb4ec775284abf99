import csv
import io
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Done, Run
from tests.helpers import FailingStore, on_sqlite_only

from openpns.errors import ServiceUnavailable
from openpns.groups import transfer
from openpns.storage import connect
from openpns.storage.store import Store

HEADER = "groupId,groupName,phones,remark\n"
IDS = [digit * 32 for digit in "0123"]
GOOD = (
    f'{HEADER}{IDS[0]},销售一部,"85211111114,8613800138000",备注\n'
    f'{IDS[1]},"a name, ""quoted""",+442071838750,\n'
)
BAD = (
    f"{HEADER}"
    ",good,85211111114,\n"  # 2
    ",bad number,852x,\n"  # 3
    ",,85211111114\n"  # 4
    "\n"
    "short-id,,85211111114,\n"  # 6
    ',"line\r\nbreak",85211111114,\n'  # 7 and 8
    f'{IDS[0]},,"85211111114,",\n'  # 9
    f"{IDS[1]},also good,,empty\n"  # 10
    f"{IDS[1]},again,,\n"  # 11
    f",{'n' * 129},,\n"  # 12
)
BAD_LINES = {
    3: "phones: item 1 must be 5 to 15 digits",
    4: "has 3 columns, the first line 4",
    6: "groupId must be empty or 32 lower-case hex characters",
    7: "groupName is too long or has control characters",
    9: "phones: item 2 is empty",
    11: "groupId is in the file twice",
    12: "groupName is too long or has control characters",
}


class Groups:
    """Imports and exports of the customer cus_1."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._run = run
        self.file = folder / "in.csv"

    def load(self, content: str | bytes, *options: str, code: int = 0) -> Done:
        """Import a file with this content."""
        self.file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self._run("groups", "import", str(self.file), *self._own(options), code=code)

    def load_stdin(self, content: bytes) -> Done:
        return self._run("groups", "import", "-", *self._own(()), stdin=content)

    def dump(self, file: str = "-", *options: str, code: int = 0) -> Done:
        return self._run("groups", "export", file, *self._own(options), code=code)

    def names(self) -> list[str]:
        """The names of all groups, oldest first."""
        return [row["groupName"] for row in csv.DictReader(io.StringIO(self.dump().out))]

    def _own(self, options: tuple[str, ...]) -> list[str]:
        return [*options] if "--customer" in options else [*options, "--customer", "cus_1"]


@pytest.fixture
def groups(openpns: Run, tmp_path: Path) -> Groups:
    return Groups(openpns, tmp_path)


def _reported(done: Done) -> dict[int, str]:
    """Return the reported lines of a file with their reasons."""
    lines = [line.partition(": line ")[2] for line in done.err.splitlines() if ": line " in line]
    return {int(line.partition(":")[0]): line.partition(": ")[2] for line in lines}


def test_import_counts_groups_and_phones(groups: Groups, openpns: Run) -> None:
    assert groups.load(GOOD).out == "imported 2 groups with 3 phones\n"
    assert groups.names() == ["销售一部", 'a name, "quoted"']
    assert openpns("customers", "show", "cus_1", "--json").json["groupCount"] == 2


def test_export_of_an_imported_export_is_identical(
    groups: Groups, openpns: Run, tmp_path: Path
) -> None:
    groups.load(GOOD + f"{IDS[2]},,,\n")
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    assert groups.dump(str(first)).err == "exported 3 groups\n"
    openpns("customers", "create", "cus_2")
    openpns("groups", "import", str(first), "--customer", "cus_2")
    openpns("groups", "export", str(second), "--customer", "cus_2")
    assert second.read_bytes() == first.read_bytes()
    assert '销售一部,"85211111114,8613800138000",备注\n' in first.read_text("utf-8")


def test_import_reports_a_bad_row_and_writes_nothing(groups: Groups) -> None:
    done = groups.load(BAD, code=1)
    reported = _reported(done)
    assert list(reported) == list(BAD_LINES)
    for line, why in BAD_LINES.items():
        assert reported[line].startswith(why)
    assert "nothing was imported" in done.err
    assert done.err.endswith("bad rows: 7\n")
    assert "85211111114" not in done.err
    assert groups.names() == []


def test_import_keep_going_writes_good_rows(groups: Groups) -> None:
    done = groups.load(BAD, "--keep-going", code=1)
    assert list(_reported(done)) == list(BAD_LINES)
    assert done.out.endswith("imported 2 groups with 1 phones\n")
    assert groups.names() == ["good", "also good"]


def test_import_dry_run_writes_nothing(groups: Groups) -> None:
    assert groups.load(GOOD, "--dry-run").out == "would import 2 groups with 3 phones\n"
    done = groups.load(BAD, "--dry-run", code=1)
    assert list(_reported(done)) == list(BAD_LINES)
    assert "would import 2 groups" in done.out
    assert groups.names() == []


def test_import_reports_an_existing_group(groups: Groups) -> None:
    groups.load(GOOD)
    done = groups.load(GOOD, code=1)
    assert _reported(done) == dict.fromkeys((2, 3), "groupId exists already")
    assert len(groups.names()) == 2


@on_sqlite_only
def test_import_reads_stdin_and_pipes(groups: Groups, tmp_path: Path) -> None:
    assert groups.load_stdin(GOOD.encode()).out == "imported 2 groups with 3 phones\n"
    assert groups.dump().out == groups.dump("-").out


@on_sqlite_only
def test_import_skips_a_byte_order_mark(groups: Groups) -> None:
    groups.load(b"\xef\xbb\xbf" + GOOD.encode())
    assert len(groups.names()) == 2


@on_sqlite_only
def test_import_accepts_crlf(groups: Groups) -> None:
    groups.load("phones,groupName\r\n85211111114,a\r\n\r\n852x,b\r\n", "--keep-going", code=1)
    assert groups.names() == ["a"]
    done = groups.load("phones,groupName\r\n85211111114,a\r\n\r\n852x,b\r\n", code=1)
    assert list(_reported(done)) == [4]


@on_sqlite_only
@pytest.mark.parametrize(
    "header",
    ["", "number\n", "phones;groupName\n", "phones,phones\n", "phones,extra\n", "groupId\n"],
)
def test_import_refuses_a_wrong_header_line(groups: Groups, header: str) -> None:
    done = groups.load(header + "85211111114\n" if header else "", code=2)
    assert "in.csv: the first line must be the names of the columns, in UTF-8" in done.err
    assert "allowed are groupId, groupName, phones, remark" in done.err


@on_sqlite_only
def test_import_reports_a_row_that_is_not_utf_8(groups: Groups) -> None:
    rows = f"{HEADER},甲,85211111114,\n,乙,85211111114,\n".encode()
    done = groups.load(rows.replace("乙".encode(), "乙".encode("gbk")), code=1)
    assert _reported(done) == {3: "is not UTF-8"}
    assert "in UTF-8" in groups.load(rows.decode().encode("utf-16"), code=2).err


@on_sqlite_only
@pytest.mark.parametrize("options", [(), ("--keep-going",), ("--dry-run",)])
def test_import_writes_nothing_of_a_file_with_broken_csv(
    groups: Groups, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BATCH_GROUPS", 1)
    rows = ",a,85211111114,\n,b,85211111114,\n"
    done = groups.load(f'{HEADER}{rows},"open,85211111114,\n,c,,\n', *options, code=2)
    assert "in.csv: line 4: not CSV" in done.err
    assert groups.names() == []


def _break_writes(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Make writes fail after `after` successful ones."""
    open_store = connect.open_store

    async def failing(url: str, **options: Any) -> Store:
        opened = await open_store(url, **options)
        error = ServiceUnavailable("nothing was written")
        return FailingStore(opened, "write", error, after=after)

    monkeypatch.setattr(connect, "open_store", failing)


@on_sqlite_only
def test_interrupted_import_says_what_is_imported(
    groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BATCH_GROUPS", 1)
    rows = "".join(f",{name},85211111114,\n" for name in "abcd")
    with monkeypatch.context() as during:
        _break_writes(during, after=2)
        done = groups.load(HEADER + rows, code=6)
    assert "interrupted: Service unavailable; the good rows before line 4 are imported" in done.err
    assert "nothing was written" not in done.err
    assert groups.names() == ["a", "b"]


@on_sqlite_only
def test_import_reports_an_unavailable_database(
    groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break_writes(monkeypatch, after=0)
    done = groups.load(GOOD, code=6)
    assert "openpns: Service unavailable: nothing was written" in done.err


@on_sqlite_only
def test_import_shows_only_the_first_bad_rows(groups: Groups) -> None:
    done = groups.load(HEADER + ",,x,\n" * 30, code=1)
    assert list(_reported(done)) == list(range(2, 22))
    assert "more bad rows follow, not shown" in done.err
    assert done.err.endswith("bad rows: 30\n")


@on_sqlite_only
def test_import_uses_the_bounds_of_the_server(
    groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENPNS_PHONES_IN_GROUP_MAX", "1")
    assert _reported(groups.load(GOOD, code=1)) == {2: "a group may hold at most 1 numbers"}


@pytest.mark.parametrize("command", ["import", "export"])
def test_import_names_an_unknown_customer(groups: Groups, command: str) -> None:
    groups.file.write_text(HEADER)
    dump_or_load = groups.dump if command == "export" else groups.load
    assert "'cus_9'" in dump_or_load(str(groups.file), "--customer", "cus_9", code=3).err


@on_sqlite_only
def test_json_lines_equal_csv(groups: Groups, tmp_path: Path) -> None:
    groups.load(GOOD + f"{IDS[2]},,,\n")
    lines = tmp_path / "out.jsonl"
    groups.dump(str(lines))
    assert lines.read_text("utf-8").splitlines()[0] == (
        f'{{"groupId": "{IDS[0]}", "groupName": "销售一部", '
        '"phones": ["85211111114", "8613800138000"], "remark": "备注"}'
    )
    assert groups.dump("-", "--format", "jsonl").out == lines.read_text("utf-8")
    groups._run("customers", "create", "cus_2")
    groups._run("groups", "import", str(lines), "--customer", "cus_2")
    assert groups.dump("-", "--customer", "cus_2").out == groups.dump().out


@on_sqlite_only
def test_import_reports_a_bad_json_line(groups: Groups) -> None:
    lines = [
        b'\xef\xbb\xbf{"phones": "85211111114, 8613800138000", "customerId": "cus_9"}',
        b"",
        b'{"phones": ["852x"]}',
        b"phones",
        b'["85211111114"]',
        b'{"groupName": "no phones"}',
        b'{"phones": [85211111114]}',
        b'{"phones": "85211111114", "extra": 1}',
        b'{"phones": "85211111114", "remark": "\xff"}',
        b'{"phones": "85211111114", "remark": null, "groupName": "good"}',
        b'{"phones": "85211111114", "remark": "\\ud800"}',
    ]
    done = groups.load(b"\n".join(lines), "--format", "jsonl", "--keep-going", code=1)
    reported = _reported(done)
    assert {line: why[:16] for line, why in reported.items()} == {
        3: "phones: item 1 m",
        4: "is not JSON",
        5: "is not a JSON ob",
        6: "must have phones",
        7: "phones must be a",
        8: "must have phones",
        9: "is not UTF-8",
        11: "phones must be a",
    }
    assert done.out == "imported 2 groups with 3 phones\n"
    assert groups.names()[1] == "good"


@on_sqlite_only
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--customer", "cus_1", "--profile", "p"], "without a profile or server"),
        (["--customer", "cus_1", "--resume"], "--resume cannot be combined with --customer"),
        (["--customer", "cus_1", "--concurrency", "2"], "--concurrency cannot be combined"),
        (["--database", "sqlite:///x.db"], "--database needs --customer"),
    ],
)
def test_only_customer_selects_the_database(openpns: Run, options: list[str], text: str) -> None:
    assert text in openpns("groups", "import", "-", *options, code=2).err


@on_sqlite_only
def test_database_variable_does_not_select_the_database(
    openpns: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for command in (["import", "-"], ["export"]):
        assert "base_url, access_key" in openpns("groups", *command, code=2).err


def test_customer_without_database_is_a_usage_error(run_anywhere: Run) -> None:
    done = run_anywhere("groups", "export", "--customer", "cus_1", code=2)
    assert "Missing option '--database' (env var: 'OPENPNS_DATABASE')" in done.err
