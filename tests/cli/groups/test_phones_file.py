import os
import re
from pathlib import Path

import click
import pytest

from openpns.cli.groups.phones_file import read_phones
from openpns.errors import ConfigError


def _read(tmp_path: Path, content: bytes) -> list[str]:
    file = tmp_path / "phones.txt"
    file.write_bytes(content)
    return read_phones([], str(file))


@pytest.mark.parametrize(
    "content",
    [
        b"85211111114\n+85211111115\n",
        b"\xef\xbb\xbf85211111114\r\n85211111115",
        b"85211111114,85211111115,\n",
        b" 85211111114 , +85211111115 \n\n",
        b"85211111114\t85211111115\n",
        b"85211111114\r85211111115\r",
        "\u00a085211111114\u00a0,85211111115".encode(),
    ],
)
def test_read_phones_accepts_commas_tabs_and_line_ends(tmp_path: Path, content: bytes) -> None:
    assert _read(tmp_path, content) == ["85211111114", "85211111115"]


@pytest.mark.parametrize(
    "line",
    ["+447911 123456", "447911 123456", "+49 15112 345678", "85211111114 85211111115",
     "+447911\u00a0123456", "+447911\u2009123456"],
)  # fmt: skip
def test_read_phones_does_not_split_a_number_at_its_space(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"phones\.txt: line 2: has a space inside a phone"):
        _read(tmp_path, f"85211111114\n{line}\n".encode())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"1\n8.52E+10", "line 1: a phone must be 5 to 15 digits .*; it has 1 digit"),
        (b"85211111114\n8.52E+10", r"line 2: a phone must be .*; it was shortened by"),
        ("85211111114\n\u202a85211111115".encode(), r"line 2: .* invisible character U\+202A"),
        (b"85211111114;85211111115", "line 1: .* it has the character ;"),
        ("85211111114\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("85211111114\n号码".encode("gbk"), "line 2: is not UTF-8"),
    ],
)
def test_read_phones_names_the_line_and_what_was_found(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    with pytest.raises(ConfigError, match=rf"phones\.txt: {problem}") as caught:
        _read(tmp_path, content)
    assert not re.search("[0-9]{5}", str(caught.value).partition("phones.txt")[2])


def test_read_phones_reads_a_file_whose_name_is_not_utf8(tmp_path: Path) -> None:
    file = os.fsencode(tmp_path) + b"/caf\xe9"
    with open(file, "wb") as opened:  # noqa: PTH123
        opened.write(b"85211111114")
    assert read_phones(["85211111115"], os.fsdecode(file)) == ["85211111115", "85211111114"]


@pytest.mark.parametrize("file", ["/dev/null", "/no/such/file", "/"])
def test_read_phones_refuses_files_without_phones(file: str) -> None:
    with pytest.raises((ConfigError, click.UsageError), match=r"cannot read it|Missing PHONES"):
        read_phones([], file)
