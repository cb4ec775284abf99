"""The journal of an import through the API: a file next to the input, one JSON object per line.

A line is written before a row is sent and when it is answered. A row that becomes a group is sent
with a token derived from the import and the row, so that sending it again creates no second group.
Rows are identified by their content, not by their line: bad rows can be fixed before resuming.
The file contains no phones.
"""

import fcntl
import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

import msgspec

from openpns import limits
from openpns.errors import ConfigError
from openpns.groups.rows import GroupRow

_TOKEN_MS: Final = limits.CLIENT_TOKEN_MS - 3_600_000
"""For how long a token is used: less than a server knows it, whatever its clock says."""

Event = Literal["sent", "done", "refused"]


class _Head(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    openpns_import: Literal[1]
    url: str
    access_key: str
    import_id: str


class _Entry(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    row: str
    event: Event
    at_ms: int


class Journal:
    """The journal of one import, locked while it is open.

    Args:
        path: None to store nothing.
        resume: Whether the file must exist; otherwise it must not.

    Raises:
        ConfigError: The file exists or does not, belongs to another import, or cannot be used.
    """

    def __init__(self, path: Path | None, url: str, access_key: str, *, resume: bool) -> None:
        self.path = path
        self.done: set[str] = set()
        """Ids of the rows that earlier runs have done."""
        self.sent_ms: dict[str, int] = {}
        """By id, when each row was sent first that has no response from an earlier run."""
        self.done_now = 0
        self._head = _Head(1, url, access_key, uuid4().hex)
        self._refusals: Counter[str] = Counter()
        self._file = -1
        if path is None:
            return
        check_path(path, resume=resume)
        try:
            self._open(path, resume=resume)
        except BaseException:
            self.close(is_complete=False)
            raise

    def identify(self, rows: Iterable[GroupRow]) -> Iterator[tuple[str, GroupRow]]:
        """Return each row with its id; equal rows have different ids."""
        seen: Counter[bytes] = Counter()
        key = bytes.fromhex(self._head.import_id)
        for row in rows:
            content = json.dumps([row.group_id, row.name, row.remark, row.phones]).encode()
            digest = hashlib.blake2b(content, key=key, digest_size=16).digest()
            seen[digest] += 1
            yield f"{digest.hex()}-{seen[digest]}", row

    def is_token_valid(self, row_id: str, now_ms: int) -> bool:
        """Return whether a server still knows the token of a row that was sent."""
        return now_ms - self.sent_ms[row_id] < _TOKEN_MS

    def token(self, row_id: str) -> str:
        """Return the client token of a row; a new one after each refusal, which servers record."""
        return f"{row_id}-{self._refusals[row_id]}"

    def write(self, row_id: str, event: Event, now_ms: int) -> None:
        """Record that a row is about to be sent, that it was done, or that nothing was done."""
        self.done_now += event == "done"
        self._append(_Entry(row_id, event, now_ms))

    def close(self, *, is_complete: bool) -> None:
        """Close the file; delete it if the import is complete."""
        if self.path is None or self._file < 0:
            return
        if is_complete:
            self.path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = -1

    def _open(self, path: Path, *, resume: bool) -> None:
        flags = os.O_RDWR | os.O_APPEND | (0 if resume else os.O_CREAT | os.O_EXCL)
        try:
            self._file = os.open(path, flags, 0o600)
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise _not_a_journal(path)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{path}: another import is using it") from None
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot store the progress there ({error.strerror}); give another file "
                "with --state"
            ) from None
        lines = self._lines(path)
        head = next(lines, None)
        if head is None:  # new, or interrupted before anything was sent
            self._append(self._head)
            return
        try:
            self._read(path, msgspec.json.decode(head, type=_Head), lines)
        except msgspec.MsgspecError:
            raise _not_a_journal(path) from None

    def _read(self, path: Path, head: _Head, lines: Iterator[bytes]) -> None:
        if (head.url, head.access_key) != (self._head.url, self._head.access_key):
            raise ConfigError(
                f"{path}: belongs to an import to {head.url} with the access key {head.access_key}"
            )
        self._head = head
        decode = msgspec.json.Decoder(_Entry).decode
        for entry in map(decode, lines):
            if entry.event == "sent":
                self.sent_ms.setdefault(entry.row, entry.at_ms)
                continue
            self.sent_ms.pop(entry.row, None)
            if entry.event == "done":
                self.done.add(entry.row)
            else:
                self._refusals[entry.row] += 1

    def _lines(self, path: Path) -> Iterator[bytes]:
        """Return the complete lines; remove an incomplete last one from the file."""
        with path.open("rb") as file:
            length = 0
            for line in file:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, length)
                    return
                length += len(line)
                yield line

    def _append(self, entry: _Head | _Entry) -> None:
        if self._file < 0:
            return
        try:
            os.write(self._file, msgspec.json.encode(entry) + b"\n")
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot write it ({error.strerror})") from None


def check_path(path: Path, *, resume: bool) -> None:
    """Raise ConfigError if a journal is missing to resume, or exists for a new import."""
    if resume and not path.exists():
        raise ConfigError(f"{path}: does not exist: nothing to resume; run without --resume")
    if not resume and path.exists():
        raise ConfigError(
            f"{path}: an earlier import is not complete; continue it with --resume, or delete the "
            "file to start again"
        )


def _not_a_journal(path: Path) -> ConfigError:
    return ConfigError(f"{path}: is not the journal of an import")
