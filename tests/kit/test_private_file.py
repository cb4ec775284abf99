import os
import re
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from openpns.errors import ConfigError
from openpns.kit.private_file import check_private

ME = 1000
OTHER = 1001


def _check(
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    owner: int,
    me: int = ME,
    kind: int = stat.S_IFREG,
    system: str = "posix",
) -> None:
    """Check a file that has this mode and owner."""
    found = SimpleNamespace(st_mode=kind | mode, st_uid=owner)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: me)
        patch.setattr(os, "fstat", lambda _: found)
        patch.setattr(os, "name", system)
        check_private("/etc/a file", -1, "a secret")


@pytest.mark.parametrize(
    ("mode", "owner", "me"),
    [
        (0o600, ME, ME),
        (0o400, ME, ME),
        (0o700, ME, ME),
        (0o640, 0, ME),
        (0o440, 0, ME),
        (0o440, 0, 0),
        (0o640, OTHER, ME),
        (0o640, OTHER, 0),
    ],
)
def test_private_file_passes(
    monkeypatch: pytest.MonkeyPatch, mode: int, owner: int, me: int
) -> None:
    _check(monkeypatch, mode, owner, me)


@pytest.mark.parametrize(
    ("mode", "owner", "me", "who", "corrected"),
    [
        (0o640, ME, ME, "its group", 600),
        (0o620, ME, ME, "its group", 600),
        (0o604, ME, ME, "others", 600),
        (0o644, ME, ME, "others", 600),
        (0o644, 0, ME, "others", 640),
        (0o660, 0, ME, "its group", 640),
        (0o644, 0, 0, "others", 600),
        (0o644, OTHER, ME, "others", 640),
    ],
)
def test_file_that_more_users_can_use_is_refused(
    monkeypatch: pytest.MonkeyPatch, mode: int, owner: int, me: int, who: str, corrected: int
) -> None:
    text = (
        f"/etc/a file: holds a secret, but {who} can use it (mode {mode:04o}); correct it with: "
        f"chmod {corrected} '/etc/a file'"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        _check(monkeypatch, mode, owner, me)


def test_pipe_and_any_file_on_windows_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    _check(monkeypatch, 0o666, ME, kind=stat.S_IFIFO)
    _check(monkeypatch, 0o666, ME, system="nt")


def test_mode_of_a_real_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    with file.open("rb") as opened:
        check_private(file, opened.fileno(), "a secret")
        file.chmod(0o666)
        with pytest.raises(ConfigError, match="mode 0666"):
            check_private(file, opened.fileno(), "a secret")
