import os
from pathlib import Path

import pytest

from openpns.bulk.journal import Journal
from openpns.errors import ConfigError
from openpns.groups.rows import GroupRow

URL, KEY = "https://pns.example.com/api/pns/", "key"
SENT_MS = 1_670_479_632_933
HOUR_MS = 3_600_000


def resumed(path: Path) -> Journal:
    return Journal(path, URL, KEY, resume=True)


def row_ids(journal: Journal, names: str, line: int = 2) -> list[str]:
    rows = [GroupRow(line, "", name, "", ["85211111114"]) for name in names]
    return [row_id for row_id, _ in journal.identify(rows)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The journal of an interrupted run: a is done, b is unknown, c was refused."""
    path = tmp_path / "state"
    journal = Journal(path, URL, KEY, resume=False)
    a, b, c = row_ids(journal, "abc")
    for row_id in (a, b, c):
        journal.write(row_id, "sent", SENT_MS)
    journal.write(a, "done", SENT_MS)
    journal.write(c, "refused", SENT_MS)
    journal.close(is_complete=False)
    return path


def test_resume_recognises_rows_on_other_lines(path: Path) -> None:
    journal = resumed(path)
    ids = row_ids(journal, "abca", line=9)
    assert journal.done == {ids[0]}
    assert journal.sent_ms == {ids[1]: SENT_MS}
    journal.close(is_complete=True)
    assert not path.exists()


def test_token_is_the_same_after_resume_and_valid_for_23_hours(path: Path) -> None:
    tokens = []
    for later_ms, is_valid in ((23 * HOUR_MS - 1, True), (23 * HOUR_MS, False)):
        journal = resumed(path)
        b = row_ids(journal, "b")[0]
        tokens.append(journal.token(b))
        assert journal.is_token_valid(b, SENT_MS + later_ms) == is_valid
        journal.write(b, "sent", SENT_MS + later_ms)  # the first time counts
        journal.close(is_complete=False)
    assert tokens[0] == tokens[1]
    assert len(tokens[0]) <= 64


def test_token_differs_between_imports_equal_rows_and_after_a_refusal(
    path: Path, tmp_path: Path
) -> None:
    journal = resumed(path)
    other = Journal(tmp_path / "other", URL, KEY, resume=False)
    ids = row_ids(journal, "bbc")
    tokens = {journal.token(row_id) for row_id in ids}
    tokens |= {other.token(row_id) for row_id in row_ids(other, "bbc")}
    assert len(tokens) == 6
    journal.write(ids[2], "refused", SENT_MS)
    journal.close(is_complete=False)
    assert resumed(path).token(ids[2]) not in tokens


def test_resume_removes_an_incomplete_last_line(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"row": "0123')
    journal = resumed(path)
    b = row_ids(journal, "b")[0]
    journal.write(b, "done", SENT_MS)
    journal.close(is_complete=False)
    journal = resumed(path)
    assert b in journal.done
    assert b not in journal.sent_ms
    journal.close(is_complete=False)


def test_resume_of_an_empty_journal_starts_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.touch()
    first = resumed(path)
    first.close(is_complete=False)
    second = resumed(path)
    assert row_ids(first, "a") == row_ids(second, "a")
    second.close(is_complete=False)


def test_resume_refuses_a_journal_in_use(path: Path) -> None:
    first = resumed(path)
    with pytest.raises(ConfigError, match="another import is using it"):
        resumed(path)
    first.close(is_complete=False)
    resumed(path).close(is_complete=False)


@pytest.mark.parametrize(
    "content",
    [
        b"no json\n",
        b'{"openpnsImport":9,"url":"u","accessKey":"k","importId":"00"}\n',
        b"[1]\n",
        (
            b'{"openpnsImport":1,"url":"https://pns.example.com/api/pns/","accessKey":"key",'
            b'"importId":"00"}\n{"row":"x"}\n'
        ),
    ],
)
def test_resume_refuses_another_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not the journal of an import"):
        resumed(path)
    assert path.read_bytes() == content


def test_resume_refuses_a_device() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: is not the journal of an import"):
        resumed(Path("/dev/zero"))


def test_write_reports_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = resumed(path)
    with monkeypatch.context() as during:
        during.setattr(os, "write", _no_space)
        with pytest.raises(ConfigError, match=r"cannot write it \(No space left on device\)"):
            journal.write("d-1", "sent", SENT_MS)
    journal.close(is_complete=False)


def _no_space(_: int, content: bytes) -> int:
    raise OSError(28, "No space left on device")
