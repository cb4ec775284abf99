"""Files of bindings: one JSON object per line, as `openpns bindings export` writes them."""

import codecs
from collections.abc import Callable, Iterator
from typing import IO, Final

import msgspec

from openpns.bindings.transfer import BindingRow, check_row
from openpns.errors import WireError

_ALLOWED: Final = (
    "allowed is an object with kind, bindId, did, phoneA and, as the kind needs them, phoneB, "
    "extension, groupId, customerBindId, flag and expireAt"
)


def write_row(out: IO[str], row: BindingRow) -> None:
    """Write a row as a line."""
    out.write(msgspec.json.encode(row).decode() + "\n")


def read_rows(
    source: IO[bytes], now_ms: int, refuse: Callable[[int, str], None]
) -> Iterator[tuple[int, BindingRow]]:
    """Return the good rows with their line; call `refuse` with the line and reason of each bad one.

    `source` can be read more than once. The reason contains no phone.
    """
    source.seek(0)
    for line, content in enumerate(source, 1):
        text = content.removeprefix(codecs.BOM_UTF8) if line == 1 else content
        if not text.strip():
            continue
        try:
            row = check_row(msgspec.json.decode(text, type=BindingRow), now_ms)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            refuse(line, f"not a binding; {_ALLOWED}")
        except WireError as error:
            refuse(line, error.detail)
        else:
            yield line, row
