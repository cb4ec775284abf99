"""`openpns call-records export`."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.bindings.conftest import X
from tests.cli.conftest import Run

from openpns.cli.call_records import source
from openpns.testing import Emulator


def test_export_writes_csv_and_json_lines(api: Run, tmp_path: Path) -> None:
    listed = api("call-records", "list", "--json").json
    file = tmp_path / "records.jsonl"
    done = api("call-records", "export", str(file))
    assert (done.out, done.err) == ("", "exported 3 call records\n")
    assert [json.loads(line) for line in file.read_text("utf-8").splitlines()] == listed
    assert file.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [file]
    rows = [*csv.DictReader(io.StringIO(api("call-records", "export").out))]
    assert [row["callId"] for row in rows] == [record["callId"] for record in listed]
    only = api("call-records", "export", "--format", "jsonl", "--until", "2022-12-08T08:01").out
    assert json.loads(only) == listed[2]


def test_spreadsheet_runs_no_formula_and_changes_no_number(api: Run) -> None:
    text = api("call-records", "export", "--spreadsheet").out
    assert text.startswith("\ufeffid,")
    (first, *_) = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    assert (first["customerBindId"], first["did"]) == ("'=1+1", f"'{X}")
    assert first["callId"].startswith("'")
    assert (first["id"], first["duration"]) == ("3", "6")  # can be added up
    assert "CSV only" in api("call-records", "export", "x.jsonl", "--spreadsheet", code=2).err


def test_export_reads_the_database(stored: Run, tmp_path: Path) -> None:
    file = tmp_path / "records.csv"
    done = stored("call-records", "export", str(file), "--customer", "cus_1")
    assert done.err == "exported 3 call records\n"
    assert [row["callId"] for row in csv.DictReader(io.StringIO(file.read_text()))] == [
        "3",
        "2",
        "1",
    ]


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "guarded.csv"])
@pytest.mark.parametrize("cut", [0, 1, 30])
def test_resume_writes_the_rest(
    api: Run,
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    cut: int,
) -> None:
    options = ["--spreadsheet"] if name.startswith("guarded") else []
    whole, file = tmp_path / f"whole-{name}", tmp_path / name
    api("call-records", "export", str(whole), *options)
    lines = whole.read_bytes().splitlines(keepends=True)
    kept = len(lines) - 2
    left = b"".join(lines[:kept]) + lines[kept][: cut and -cut]
    (tmp_path / f"{name}.openpns-export").write_bytes(left)
    done = api("call-records", "export", str(file), "--resume", *options)
    assert done.err == "exported 2 call records\n"
    assert file.read_bytes() == whole.read_bytes()


def test_interrupted_export_leaves_what_resume_needs(
    api: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "records.csv"
    monkeypatch.setattr(source.limits, "CALL_RECORDS_IN_PAGE_MAX", 1)
    asked: list[Any] = []
    request = source._request

    def interrupt(body: dict[str, Any]) -> Any:
        asked.append(body)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return request(body)

    monkeypatch.setattr(source, "_request", interrupt)
    api("call-records", "export", str(file), code=130)
    assert not file.exists()
    done = api("call-records", "export", str(file), "--resume")
    assert done.err == "exported 2 call records\n"
    assert len(file.read_text().splitlines()) == 4


def test_resume_needs_an_interrupted_export(api: Run, tmp_path: Path) -> None:
    file = tmp_path / "records.csv"
    done = api("call-records", "export", str(file), "--resume", code=2)
    assert "nothing was interrupted" in done.err
    assert "--resume needs a FILE" in api("call-records", "export", "--resume", code=2).err
    (tmp_path / "records.csv.openpns-export").write_text("id\nx\n")
    done = api("call-records", "export", str(file), "--resume", code=2)
    assert "the last row of the interrupted export is damaged" in done.err
