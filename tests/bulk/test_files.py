import os
import threading
from pathlib import Path

import pytest

from openpns.bulk.files import open_source, open_target
from openpns.errors import ConfigError


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
