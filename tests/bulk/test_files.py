import csv
import io
import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpns.bulk import files
from openpns.bulk.files import open_rows, open_source, open_target, read_json, row_writer
from openpns.errors import ConfigError
from openpns.groups.rows import COLUMNS
from openpns.kit.plain_text import plain


def test_open_target_renames_a_complete_file(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")
    with open_target(str(target)) as out:
        out.write("新\n")
        out.flush()
        assert target.read_text() == "old"
    assert target.read_bytes() == "新\n".encode()
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]


def _break_off(target: Path, error: BaseException) -> None:
    with open_target(str(target)) as out:
        out.write("half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt()])
def test_open_target_leaves_nothing_after_an_error(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        _break_off(tmp_path / "out.csv", error)
    assert list(tmp_path.iterdir()) == []


def test_open_target_reports_a_full_disk(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    with pytest.raises(ConfigError, match=r"out\.csv: cannot write it .No space left"):
        _break_off(tmp_path / "out.csv", full)
    assert list(tmp_path.iterdir()) == []


def test_open_target_keeps_a_link_and_replaces_its_target(tmp_path: Path) -> None:
    target, link = tmp_path / "out.csv", tmp_path / "link.csv"
    link.symlink_to(target)
    with open_target(str(link)) as out:
        out.write("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("name", ["in.csv/below-a-file", "no-such-folder/out.csv", "folder"])
def test_open_target_reports_an_impossible_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "in.csv").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot write it"), open_target(str(tmp_path / name)):
        pass


def test_open_target_writes_to_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    with open_target(str(pipe)) as out:
        out.write("all of it")
    reader.join()
    assert received == ["all of it"]
    assert pipe.is_fifo()


def test_open_source_reads_a_pipe_twice(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("all of it"))
    writer.start()
    with open_source(str(pipe)) as source:
        for _ in range(2):
            source.seek(0)
            assert source.read() == b"all of it"
    writer.join()


@pytest.mark.parametrize("name", ["no-such.csv", ""])
def test_open_source_reports_an_unreadable_file(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    with pytest.raises(ConfigError, match=r"cannot read it \(.*\)"), open_source(path):
        pass


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "＋1", "－1", "＠x"]
NUMBERS = ["8613800138000", "85211111114,85211111115", "1e5", "2027-01-31", "18:00", "1/2", "007"]
TEXTS = ["a", "a=1", "'", "'a", "b8c2", "1a", " =1"]


def _written(path: Path, rows: list[list[str]], form: str = "csv", *, guard: bool = False) -> str:
    with open_target(str(path)) as out:
        write = row_writer(out, form, guard=guard)
        for row in rows:
            write(row)
    return path.read_text("utf-8")


def _read(path: Path, form: str = "csv", *, is_guarded: bool = False) -> list[list[str]]:
    with (
        open_source(str(path)) as source,
        open_rows(source, path.name, form, is_guarded=is_guarded) as rows,
    ):
        return [[columns[name] for name in COLUMNS] for _, columns in rows]


def test_row_writer_guards_formulas_only_if_asked(tmp_path: Path) -> None:
    rows = [["b8c2", text, "85211111114", ""] for text in FORMULAS + NUMBERS]
    text = _written(tmp_path / "a.csv", rows, guard=True)
    assert text.startswith("\ufeffgroupId,")
    guarded = [*csv.reader(text.splitlines()[1:])]
    assert guarded == [[one, f"'{name}", f"'{phones}", last] for one, name, phones, last in rows]
    text = _written(tmp_path / "a.csv", rows)
    assert "'" not in text
    assert text.startswith("groupId,")


@given(st.lists(st.text(st.sampled_from("'=+-@a＝1,e"), max_size=4), min_size=4, max_size=4))
def test_guarded_rows_are_read_as_they_were(row: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.csv"
        _written(file, [row], guard=True)
        assert _read(file, is_guarded=True) == [row]
        guarded = _read(file)[0]
    assert not [cell for cell in guarded if cell.startswith(("=", "+", "-", "@", "＝"))]


def test_guard_keeps_other_text(tmp_path: Path) -> None:
    rows = [[text, "b", "c", "d"] for text in TEXTS]
    guarded = _written(tmp_path / "a.csv", rows, guard=True)
    assert guarded == "\ufeff" + _written(tmp_path / "b.csv", rows)


def test_row_writer_replaces_control_characters_but_keeps_marks_of_direction(
    tmp_path: Path,
) -> None:
    row = ["b8c2", "a\x1b[2J\x9b\x7fb", "85211111114", "\u200fשלום\u202c"]
    _written(tmp_path / "a.csv", [row])
    assert _read(tmp_path / "a.csv") == [["b8c2", "a�[2J��b", "85211111114", row[3]]]
    text = _written(tmp_path / "a.jsonl", [row], "jsonl")
    assert plain(text[:-1]) == text[:-1]
    assert _read(tmp_path / "a.jsonl", "jsonl") == [row]


def test_row_writer_writes_plain_text_to_a_terminal() -> None:
    out = Terminal()
    row_writer(out, "csv")(["b8c2", "a\u202eb", "1", "\x9b"])
    assert out.getvalue().splitlines()[1] == "b8c2,a�b,1,�"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _read_json(content: bytes) -> list[tuple[int, str]]:
    """The line of each row, and its phones or its error."""
    rows = read_json(io.BytesIO(content), "in.json")
    return [(line, row.get("error") or row["phones"]) for line, row in rows]


@pytest.mark.parametrize("before", [b"", b"\n", b"\xef\xbb\xbf \r\n\n", b" " * 10_000])
def test_read_json_knows_an_array_and_objects_of_several_lines(before: bytes) -> None:
    at = before.count(b"\n") + 1
    assert _read_json(before + b'[{"phones": "1"}, {"phones": "2"}]') == [(at, "1"), (at, "2")]
    assert _read_json(before + b'{\n"phones": "1"\n}\n{"phones": "2"}') == [
        (at, "1"),
        (at + 3, "2"),
    ]
    assert _read_json(before + b'{"phones": "1"}\n{"phones": "2"}') == [(at, "1"), (at + 1, "2")]


@pytest.mark.parametrize("form", [b'%s\n{"phones": "3"}', b'[%s,\n{"phones": "3"}]'])
def test_read_json_refuses_a_name_that_is_there_twice(form: bytes) -> None:
    twice = b'{"phones": "1", "phones": "2"}'
    assert _read_json(form % twice) == [(1, "has a name twice"), (2, "3")]


def test_read_json_reads_no_more_than_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_VALUE_CHARS_MAX", 20)
    long = b'{"phones": "%s"}' % (b"1" * 1000)
    short = b'{"phones": "2"}'
    assert _read_json(b"\n".join([short, long, short, long])) == [
        (1, "2"), (2, "is longer than 20 bytes"), (3, "2"), (4, "is longer than 20 bytes")
    ]  # fmt: skip


class Watched(io.BytesIO):
    """A file that knows the most bytes that were read at once."""

    bytes_max = 0

    def read(self, size: int | None = -1) -> bytes:
        return self._watch(super().read(size))

    def readline(self, size: int | None = -1) -> bytes:
        return self._watch(super().readline(size))

    def _watch(self, content: bytes) -> bytes:
        self.bytes_max = max(self.bytes_max, len(content))
        return content


def test_read_json_reads_no_whole_file_of_one_line() -> None:
    file = Watched(b"[" + b",".join([b'{"phones": "1"}'] * 100_000) + b"]")
    assert sum(1 for _ in read_json(file, "in.json")) == 100_000
    assert file.bytes_max < 200_000
