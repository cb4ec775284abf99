from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Done, Run

from openpns.cli.server import quickstart
from openpns.errors import ConfigError
from openpns.server.settings import Settings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Replaces the server: records the settings it would have served with."""
    seen: list[Settings] = []
    monkeypatch.setattr(quickstart, "run", lambda settings, **_: seen.append(settings))
    return seen


def _shown(done: Done, name: str) -> str:
    (line,) = [line for line in done.out.splitlines() if line.startswith(name + " ")]
    return line.removeprefix(name).strip()


def test_quickstart_creates_a_database_once(
    run_anywhere: Run, served: list[Settings], tmp_path: Path
) -> None:
    data = tmp_path / "new" / "folder"
    first = run_anywhere("quickstart", "--data", str(data), "--port", "0")
    assert "loaded " in first.out
    assert "sample groups" in first.out
    secret = _shown(first, "access secret")
    second = run_anywhere("quickstart", "--data", str(data), "--port", "0")
    assert _shown(second, "access key") == _shown(first, "access key")
    assert secret not in second.out
    assert "loaded" not in second.out
    assert [settings.port for settings in served] == [0, 0]
    for file in data.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


@pytest.mark.usefixtures("served")
def test_quickstart_creates_a_new_key_after_the_old_one_was_disabled(
    run_anywhere: Run, tmp_path: Path
) -> None:
    first = run_anywhere("quickstart", "--port", "0", "--data", str(tmp_path))
    url = f"sqlite:///{tmp_path}/openpns.db"
    run_anywhere("keys", "disable", _shown(first, "access key"), "--database", url)
    second = run_anywhere("quickstart", "--port", "0", "--data", str(tmp_path))
    assert _shown(second, "access key") != _shown(first, "access key")
    assert _shown(second, "access secret")


@pytest.mark.parametrize("below", ["", "/folder"])
def test_quickstart_reports_a_folder_it_cannot_write(
    run_anywhere: Run, tmp_path: Path, below: str
) -> None:
    (tmp_path / "file").touch()
    done = run_anywhere("quickstart", "--data", f"{tmp_path}/file{below}", code=2)
    last = done.err.splitlines()[-1]
    assert "--data" in last
    assert f"{tmp_path}/file" in last
    assert not below or "give a folder that this user may write" in last


def test_quickstart_reports_a_wrong_port(run_anywhere: Run, tmp_path: Path) -> None:
    done = run_anywhere("quickstart", "--port", "65536", "--data", str(tmp_path), code=2)
    assert "port: 65536 (from --port) is not allowed" in done.err
    assert list(tmp_path.iterdir()) == []


def test_quickstart_names_a_sample_file_with_a_bad_row(
    run_anywhere: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text("phones\nx\n")
    monkeypatch.setattr(quickstart, "_sample", lambda: sample)
    done = run_anywhere("quickstart", "--port", "0", "--data", str(tmp_path), code=2)
    assert "sample.csv: line 2: phones: item 1" in done.err


def test_post_reports_a_server_that_does_not_respond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quickstart, "_START_S", 0.01)
    assert quickstart._post("127.0.0.1", 1, {}).startswith("none: the server cannot be reached")


def test_quickstart_prints_errors_in_one_line(
    run_anywhere: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConfigError("port: cannot listen on 127.0.0.1 port 80: another program listens there")

    monkeypatch.setattr(quickstart, "run", refuse)
    done = run_anywhere("quickstart", "--port", "0", "--data", str(tmp_path), code=2)
    assert done.err.startswith("openpns: port: cannot listen on")
    assert done.err.count("\n") == 1
