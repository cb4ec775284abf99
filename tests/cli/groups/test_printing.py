"""What one command prints, another one reads."""

from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.helpers import on_sqlite_only

from openpns.kit.plain_text import plain

pytestmark = [on_sqlite_only, pytest.mark.usefixtures("server")]

FILE = 'groupId,groupName,phones,remark\n,a,"85211111114,8613800138000",\n'

# What prints groups so that an import reads them: the command, the format, and import options.
PRINTED = [
    (["list", "--json"], "jsonl", []),
    (["list", "--csv"], "csv", []),
    (["list", "--spreadsheet"], "csv", ["--spreadsheet"]),
    (["find", "--name", "", "--json"], "jsonl", []),
    (["find", "--name", "", "--csv"], "csv", []),
    (["get", "ID", "--json"], "jsonl", []),
    (["export", "--format", "jsonl"], "jsonl", []),
    (["export"], "csv", []),
    (["export", "--spreadsheet"], "csv", ["--spreadsheet"]),
]


@pytest.mark.parametrize(("command", "form", "options"), PRINTED, ids=" ".join)
def test_import_reads_what_commands_print(
    run_anywhere: Run, command: list[str], form: str, options: list[str]
) -> None:
    text = FILE + ',=1é😀\u200f\u200b,"442071838750,442071838751",\'@b\n'
    run_anywhere("groups", "import", "-", stdin=text.encode())
    (group_id,) = run_anywhere("groups", "find", "--name", "=1", "-q").out.split()
    shown = run_anywhere("groups", *(group_id if word == "ID" else word for word in command)).out
    done = run_anywhere("groups", "import", "-", "--format", form, *options, stdin=shown.encode())
    count = 1 if "ID" in command else 2
    assert done.out == f"imported 0 groups with 0 phones, {count} unchanged\n"


def test_ids_and_phones_go_into_other_commands(run_anywhere: Run) -> None:
    run_anywhere("groups", "import", "-", stdin=(FILE + ",b,85211111115,\n").encode())
    first, second = run_anywhere("groups", "list", "-q").out.split()
    phones = run_anywhere("groups", "phones", first).out.encode()
    run_anywhere("groups", "replace", second, "--phones-file", "-", stdin=phones)
    assert run_anywhere("groups", "phones", second).out.encode() == phones
    run_anywhere("groups", "delete", first, second, "--yes")
    assert run_anywhere("groups", "list", "-q").out == ""


def test_import_names_the_line_of_a_bad_item_of_an_array(run_anywhere: Run) -> None:
    text = b'[\n  {"phones": ["85211111114"]},\n  {"phones": ["x"]},\n  {]'
    done = run_anywhere("groups", "import", "-", "--format", "jsonl", stdin=text, code=2)
    assert "-: line 3: phones: item 1 must be 5 to 15 digits" in done.err
    assert done.err.endswith("openpns: -: line 4: is not JSON\n")
    assert run_anywhere("groups", "list", "-q").out == ""


def test_import_shows_no_control_characters_of_a_file(run_anywhere: Run, tmp_path: Path) -> None:
    file = tmp_path / "a\x1b[2J\u202e.csv"
    file.write_text("phones,note\x9b\n", "utf-8")
    done = run_anywhere("groups", "import", str(file), code=2)
    file.write_text("phones\nx\n", "utf-8")
    done.err += run_anywhere("groups", "import", str(file), code=1).err
    assert "a\ufffd[2J\ufffd.csv: line 2: phones: item 1 must be" in done.err
    assert all(plain(line) == line for line in done.err.split("\n"))
