from pathlib import Path

import pytest

from openpns.kit.atomic_file import draft_beside, publish, publish_new


def test_publish_replaces_a_file_at_once_and_keeps_mode_0600(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("old")
    with draft_beside(target) as draft:
        draft.write_text("new")
        assert target.read_text() == "old"
        publish(draft, target)
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [target]


def test_publish_new_keeps_an_existing_file(tmp_path: Path) -> None:
    target = tmp_path / "a"
    for text, is_published in (("first", True), ("second", False)):
        with draft_beside(target) as draft:
            draft.write_text(text)
            assert publish_new(draft, target) == is_published
    assert target.read_text() == "first"
    assert target.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [target]


def _fail_in_draft(target: Path) -> None:
    with draft_beside(target, ("-wal",)) as draft:
        Path(f"{draft}-wal").touch()
        raise KeyboardInterrupt


def test_draft_and_its_side_files_are_deleted_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _fail_in_draft(tmp_path / "a")
    assert [*tmp_path.iterdir()] == []
