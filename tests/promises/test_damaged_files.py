"""A damaged SQLite file, or a damaged backup, ends a command in one line, never in a traceback.

`make fuzz` tries more: it sets FUZZ_TIMES.
"""

import asyncio
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from tests.helpers import MASTER_KEY
from tests.simulation.effort import SEED

from openpns.cli.main import main
from openpns.errors import ConfigError
from openpns.server import run as server_run

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
FILES = 10 * TIMES
EXIT_CODES = {0, 1, 2, 6}
PAGE = 4096

COMMANDS = [
    ["verify"], ["verify", "--json"], ["backup", "--to", "copy.db", "--force"],
    ["migrate", "--check"], ["audit"], ["keys", "list"], ["customers", "list"],
    ["groups", "export", "-", "--customer", "cus_1"],
    ["serve", "--port", "0"], ["customers", "create", "cus_9"],
    ["groups", "import", "in.csv", "--customer", "cus_1"], ["migrate"],
]  # fmt: skip
"""What is run on each file, those that write last."""


def call(*arguments: str) -> tuple[int, str]:
    """Run a command in this process; return its exit code and what it printed as errors."""
    sys.argv = ["openpns", *arguments]
    # `serve` removes secrets from the environment.
    with patch.dict(os.environ), CliRunner().isolation(b"") as (_, err, __):
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0), err.getvalue().decode()
    raise AssertionError(arguments)


def check(name: str, *arguments: str) -> int:
    """Run a command that may fail, but not break; return its exit code."""
    try:
        code, err = call(*arguments)
    except Exception as error:
        raise AssertionError(f"{name}: {' '.join(arguments)}: {error!r}") from error
    assert code in EXIT_CODES, (name, arguments, code, err)
    lines = err.splitlines()
    assert "Traceback" not in err, (name, arguments, err)
    assert "Internal error" not in err, (name, arguments, err)
    assert all(line.isprintable() for line in lines), (name, arguments, err)
    if arguments[0] not in ("verify", "backup", "restore"):  # which report up to 20 problems
        assert len(lines) <= 1, (name, arguments, err)
    return code


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A database with rows in every table, in the current folder; `serve` ends once it listens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENPNS_DATABASE", "sqlite:///test.db")
    monkeypatch.setenv("OPENPNS_MASTER_KEY", MASTER_KEY)
    monkeypatch.setattr(sys, "argv", [])

    def listen(*_: Any) -> None:
        raise ConfigError("served")

    monkeypatch.setattr(server_run, "listen", listen)
    rows = [f'{"ä" * 20}{n},remark {n},"85211{n:06},85235753351"\n' for n in range(300)]
    Path("in.csv").write_text("groupName,remark,phones\n" + "".join(rows), "utf-8")
    assert call("migrate")[0] == 0
    assert call("customers", "create", "cus_1", "--name", "Näme")[0] == 0
    assert call("keys", "create", "--customer", "cus_1", "--label", "läbel")[0] == 0
    assert call("groups", "import", "in.csv", "--customer", "cus_1")[0] == 0
    yield tmp_path / "test.db"
    asyncio.set_event_loop(None)


def damaged(data: bytes, chance: random.Random) -> tuple[str, bytes]:
    """Return a file with something wrong, and what that is."""
    changed = bytearray(data)
    kind = chance.choice(
        ["bits", "text", "text", "range", "page", "swap", "swap", "cut", "header", "schema"]
    )
    if kind == "bits":
        for _ in range(chance.choice([1, 20, 500])):
            changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "text":  # letters and digits that are not UTF-8 any more
        places = [place for place, byte in enumerate(data) if 48 <= byte < 123]
        for place in chance.sample(places, chance.choice([1, 30, 1000])):
            changed[place] |= 0x80
    elif kind == "range":
        start, length = chance.randrange(len(data)), chance.randrange(1, 3 * PAGE)
        piece = chance.choice([b"\0", b"\xff", chance.randbytes(1)]) * length
        changed[start : start + length] = piece[: len(data) - start]
    elif kind in ("page", "swap"):
        first, second = (PAGE * chance.randrange(1, len(data) // PAGE) for _ in range(2))
        page = data[second : second + PAGE] if kind == "swap" else chance.randbytes(PAGE)
        changed[first : first + PAGE] = page
    elif kind == "cut":
        del changed[chance.choice([chance.randrange(len(data)), PAGE * chance.randrange(9)]) :]
    else:
        end = 100 if kind == "header" else PAGE
        for _ in range(chance.choice([1, 5])):
            changed[chance.randrange(end)] = chance.randrange(256)
    return kind, bytes(changed)


def test_commands_on_damaged_files_end_in_one_line(sound: Path) -> None:
    data = sound.read_bytes()
    chance = random.Random(SEED)
    codes = set()
    for number in range(FILES):
        kind, changed = damaged(data, chance)
        name = f"OPENPNS_TEST_SEED={SEED}: file {number}, {kind}"
        backup = Path("backup.db")
        backup.write_bytes(changed)
        codes.add(check(name, "restore", "--from", "backup.db", "--database", "sqlite:///r.db"))
        assert backup.read_bytes() == changed
        for command in COMMANDS:
            if command[0] in ("verify", "customers", "groups"):
                for file in sound.parent.glob("test.db*"):
                    file.unlink()
                sound.write_bytes(changed)
            codes.add(check(name, *command))
        for file in sound.parent.glob("r.db*"):
            file.unlink()
    assert len(codes) > 1, codes


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("läbel", ["keys", "list"]),
        ("Näme", ["customers", "list"]),
        ("ä1,", ["groups", "export", "-", "--customer", "cus_1"]),
        ('"groups":', ["audit"]),
    ],
)
def test_text_that_is_not_utf8_is_reported_as_damage(
    sound: Path, text: str, command: list[str]
) -> None:
    found = text.strip(",").encode()
    data = sound.read_bytes()
    assert found in data
    sound.write_bytes(data.replace(found, b"\xff" * len(found)))
    code, err = call(*command)
    assert (code, err) == (6, "openpns: Failed to retrieve data: the storage is damaged\n")


def test_empty_and_foreign_files_are_refused(sound: Path) -> None:
    for content in (b"", b"text" * 5000, b"SQLite format 3\0" + bytes(84)):
        for file in sound.parent.glob("test.db*"):
            file.unlink()
        sound.write_bytes(content)
        shutil.copy(sound, "backup.db")
        restored = check("x", "restore", "--from", "backup.db", "--database", "sqlite:///r.db")
        assert restored in (2, 6)
        assert not Path("r.db").exists()
        for command in COMMANDS[:-1]:
            assert check("x", *command) != 0, command
