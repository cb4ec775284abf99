"""Phones from arguments and from files."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from openpns.errors import ConfigError, ParameterError
from openpns.kit.text_file import decode_text
from openpns.phones import parse_phones


def read_phones(phones: Sequence[str], file: str | None) -> list[str]:
    """Return the phones of arguments and of a file.

    Args:
        phones: One or several phones joined with commas each; "-" for stdin.
        file: Its phones are separated by commas, tabs or line ends. A space separates nothing:
            `+447911 123456` is one phone for people.

    Raises:
        ConfigError: The file cannot be read, or has something else than phones.
    """
    found: list[str] = []
    for item in phones:
        found += _read_file("-") if item == "-" else [item]
    if file is not None:
        found += _read_file(file)
    if not found:
        raise click.UsageError("Missing PHONES: give phones, --phones-file FILE, or - for stdin.")
    return found


def _read_file(file: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot read it ({error.strerror})") from None
    lines, problem = decode_text(content)
    if problem:
        raise ConfigError(f"{file}: {problem}")
    found: list[str] = []
    for line, text in enumerate(lines.splitlines(), start=1):
        for item in filter(None, map(str.strip, text.replace("\t", ",").split(","))):
            if len(item.split()) > 1:
                raise ConfigError(
                    f"{file}: line {line}: has a space inside a phone, or between two; put a comma "
                    "or a line end between phones, and no space inside"
                )
            found += _parse(item, f"{file}: line {line}")
    return found


def _parse(item: str, place: str) -> list[str]:
    try:
        return parse_phones(item, 1, check_country=False, explain=True)
    except ParameterError as error:
        raise ConfigError(
            f"{place}: {error.detail.replace('phones: item 1 ', 'a phone ')}"
        ) from None
