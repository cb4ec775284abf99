import os
from pathlib import Path

import pytest

from openpns.cli.import_state import ImportState, Origin
from openpns.errors import ConfigError
from openpns.groups.rows import GroupRow

ORIGIN = Origin("https://pns.example.com/api/pns/", "key", "")


SENT_MS = 1_670_479_632_933
HOUR_MS = 3_600_000


def row(name: str, line: int = 2) -> GroupRow:
    return GroupRow(line, "", name, "", ["85211111114"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The state of a run that was cut off: a was done, b is in doubt, c was refused."""
    path = tmp_path / "state"
    state = ImportState(path, ORIGIN, resume=False)
    for name in "abc":
        state.sent(row(name), f"token-of-{name}", SENT_MS)
    state.acknowledged(row("a"), "token-of-a", "id-of-a")
    state.refused(row("c"), "token-of-c")
    state.close(is_complete=False)
    return path


def test_rows_are_known_again_wherever_they_stand(path: Path) -> None:
    state = ImportState(path, ORIGIN, resume=True)
    assert state.done_before == 1
    assert [state.take_done(row(name, line=9)) for name in "abca"] == [True, False, False, False]
    assert [state.take_in_doubt(row(name)) for name in "abcb"] == [False, True, False, False]
    assert state.groups_done() == {"id-of-a"}
    state.close(is_complete=True)
    assert not path.exists()


def test_a_row_in_doubt_has_its_token_for_nearly_a_day(path: Path) -> None:
    for later_ms, tokens in ((23 * HOUR_MS - 1, [None, "token-of-b"]), (23 * HOUR_MS, [None] * 2)):
        state = ImportState(path, ORIGIN, resume=True)
        assert [state.take_token(row(name), SENT_MS + later_ms) for name in "ab"] == tokens
        assert state.take_token(row("b"), SENT_MS) == (None if tokens[1] else "token-of-b")
        state.close(is_complete=False)


def test_a_row_that_is_sent_again_under_its_token_is_still_one_row(path: Path) -> None:
    state = ImportState(path, ORIGIN, resume=True)
    state.sent(row("b"), "token-of-b", SENT_MS + HOUR_MS)
    state.sent(row("b"), "of-an-equal-row", SENT_MS + HOUR_MS)
    state.close(is_complete=False)
    state = ImportState(path, ORIGIN, resume=True)
    assert [state.take_in_doubt(row("b")) for _ in range(3)] == [True, True, False]
    assert state.take_token(row("b"), SENT_MS + 23 * HOUR_MS) == "of-an-equal-row"
    assert state.take_token(row("b"), SENT_MS + 23 * HOUR_MS) is None
    state.close(is_complete=False)


def test_a_last_line_that_was_cut_off_counts_as_never_written(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"row": "0123')
    state = ImportState(path, ORIGIN, resume=True)
    state.acknowledged(row("b"), "token-of-b", "id-of-b")
    state.close(is_complete=False)
    state = ImportState(path, ORIGIN, resume=True)
    assert state.groups_done() == {"id-of-a", "id-of-b"}
    assert not state.take_in_doubt(row("b"))
    state.close(is_complete=False)


def test_a_state_that_was_cut_off_at_its_beginning_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.touch()
    ImportState(path, ORIGIN, resume=True).close(is_complete=False)
    state = ImportState(path, Origin(ORIGIN.url, ORIGIN.accessKey, "later"), resume=True)
    assert state.origin == ORIGIN
    state.close(is_complete=False)


def test_two_imports_cannot_share_a_state(path: Path) -> None:
    first = ImportState(path, ORIGIN, resume=True)
    with pytest.raises(ConfigError, match="another import is at work with it"):
        ImportState(path, ORIGIN, resume=True)
    first.close(is_complete=False)
    ImportState(path, ORIGIN, resume=True).close(is_complete=False)


@pytest.mark.parametrize("content", [b"no json\n", b'{"openpns-import": 9}\n', b"[1]\n"])
def test_another_file_is_not_taken_for_a_state(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is no state of an import"):
        ImportState(path, ORIGIN, resume=True)
    assert path.read_bytes() == content


def test_a_device_is_no_state() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: is no state of an import"):
        ImportState(Path("/dev/zero"), ORIGIN, resume=True)


def test_a_full_disk_is_a_clear_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = ImportState(path, ORIGIN, resume=True)
    with monkeypatch.context() as during:
        during.setattr(os, "write", _no_space)
        with pytest.raises(ConfigError, match=r"cannot write it \(No space left on device\)"):
            state.sent(row("d"), None, SENT_MS)
    state.close(is_complete=False)


def _no_space(_: int, content: bytes) -> int:
    raise OSError(28, "No space left on device")
