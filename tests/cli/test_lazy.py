import os
import subprocess
from pathlib import Path

import click
import pytest
from tests.cli.conftest import Run
from tests.processes import OPENPNS

from openpns.cli.lazy import FILE_NAME, LazyGroup
from openpns.cli.root import cli

NOT_UTF8 = os.fsdecode(b"caf\xe9")


def _commands(group: click.Group, names: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The names of all commands, imported as they run."""
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append((*names, name))
        if isinstance(command, click.Group):
            found += _commands(command, (*names, name))
    return found


def _find(names: tuple[str, ...]) -> click.Command:
    command: click.Command | None = cli
    for name in names:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name)
    assert command is not None
    return command


@pytest.mark.parametrize("names", _commands(cli), ids=" ".join)
def test_no_text_of_a_command_may_be_something_else_than_utf8(names: tuple[str, ...]) -> None:
    command = _find(names)
    assert not [one.name for one in command.params if one.type is click.STRING]


def test_text_that_is_not_utf8_is_named_and_not_shown(run_anywhere: Run) -> None:
    done = run_anywhere("groups", "get", NOT_UTF8, code=2)
    assert done.err.endswith("Error: Invalid value for 'GROUP_ID': must be UTF-8\n")
    environ = os.environ | {"OPENPNS_ACCESS_SECRET": NOT_UTF8}
    command = [*OPENPNS, "sign", "--access-key", "key", "--action", "listGroup"]
    failed = subprocess.run(command, env=environ, capture_output=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.endswith(b"must be UTF-8\n")
    assert b"caf" not in failed.stderr


def test_file_name_may_have_any_bytes(run_anywhere: Run, tmp_path: Path) -> None:
    file = f"{tmp_path}/{NOT_UTF8}"
    done = run_anywhere("groups", "create", "--phones-file", file, code=2)
    shown = file.replace("\udce9", "\ufffd")
    assert done.err == f"openpns: {shown}: cannot read it (No such file or directory)\n"


def test_file_that_is_not_readable_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out"
    file.touch(mode=0o200)
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for a user who is not root
    assert FILE_NAME.convert(str(file), None, None) == str(file)


def test_group_imports_a_command_when_it_is_needed() -> None:
    group = LazyGroup("a", package="openpns.cli", lazy={"limits": ("diagnose.limits", "Show.")})
    assert group.commands["limits"].callback is None
    found = group.get_command(click.Context(group), "limits")
    assert found is not None
    assert found.callback is not None
