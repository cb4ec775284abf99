"""What an import through the API has done so far: a file beside the input, one JSON object a line.

A row is noted before it is sent and when it is answered, so that a run that was killed can tell
three kinds of rows apart: done, not begun, and in doubt. With a row that becomes a group stands the
client token that it is sent under: under the same one it can be sent again. Rows are known by a
digest of what they hold, not by their line: a file in which bad rows were mended can be resumed
too. No phone number stands in the file.
"""

import fcntl
import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from openpns import limits
from openpns.errors import ConfigError
from openpns.groups.rows import GroupRow

_MARK: Final = "openpns-import"
_VERSION: Final = 1

_TOKEN_GOOD_MS: Final = limits.CLIENT_TOKEN_MS - 3_600_000
"""For how long a row is sent again under its token: less than servers know one, by any clock."""


class Origin(msgspec.Struct, frozen=True):
    """What an import began with.

    Attributes:
        url: The server.
        accessKey: Who imports.
        after: The id of the newest group that was there before; empty where none was.
    """

    url: str
    accessKey: str  # noqa: N815
    after: str


class ImportState:
    """The state of one import, locked while it is open.

    Args:
        path: Its file; None to note nothing.
        origin: What the import begins with; where the file is there, what it began with counts.
        resume: Whether the file must be there; else it must not.

    Raises:
        ConfigError: The file is there or is not, belongs to another import, or cannot be used.
    """

    def __init__(self, path: Path | None, origin: Origin, *, resume: bool) -> None:
        self.path = path
        self.origin = origin
        self.done_before = 0
        """How many rows earlier runs have done."""
        self.done_now = 0
        self._done: Counter[str] = Counter()
        self._in_doubt: Counter[str] = Counter()
        self._tokens: dict[str, dict[str, int]] = {}
        """The tokens of the rows in doubt, each with when it was first sent."""
        self._file = -1
        if path is None:
            return
        check_place(path, resume=resume)
        try:
            self._open(path, resume=resume)
        except BaseException:
            self.close(is_complete=False)
            raise

    def take_done(self, row: GroupRow) -> bool:
        """Tell whether an earlier run has done a row; each of several equal rows counts once.

        Args:
            row: The row.
        """
        return _take(self._done, row)

    def take_in_doubt(self, row: GroupRow) -> bool:
        """Tell whether an earlier run sent a row and got no answer.

        Args:
            row: The row.
        """
        return _take(self._in_doubt, row)

    def take_token(self, row: GroupRow, now_ms: int) -> str | None:
        """Return the token under which a row in doubt was sent; None where it is of no use now.

        Args:
            row: The row.
            now_ms: The time now.
        """
        tokens = self._tokens.get(_digest(row), {})
        good = (token for token, sent_ms in tokens.items() if now_ms - sent_ms < _TOKEN_GOOD_MS)
        found = next(good, None)
        if found is not None:
            del tokens[found]
        return found

    def sent(self, row: GroupRow, token: str | None, now_ms: int) -> None:
        """Note that a row is about to be sent.

        Args:
            row: The row.
            token: The client token that it is sent under.
            now_ms: The time now.
        """
        known = {} if token is None else {"token": token, "ms": now_ms}
        self._note({"row": _digest(row), "line": row.line} | known)

    def acknowledged(self, row: GroupRow, token: str | None, group_id: str) -> None:
        """Note that the server has done a row.

        Args:
            row: The row.
            token: The client token that it was sent under.
            group_id: The group that it became, or changed.
        """
        self.done_now += 1
        known = {} if token is None else {"token": token}
        self._note({"row": _digest(row), "groupId": group_id} | known)

    def refused(self, row: GroupRow, token: str | None) -> None:
        """Note that the server has done nothing for a row.

        Args:
            row: The row.
            token: The client token that it was sent under.
        """
        known = {} if token is None else {"token": token}
        self._note({"row": _digest(row), "refused": True} | known)

    def groups_done(self) -> set[str]:
        """Return the ids of the groups of all rows that are done."""
        return {entry["groupId"] for entry in self._entries() if "groupId" in entry}

    def close(self, *, is_complete: bool) -> None:
        """Close the file, and remove it where it is of no more use.

        Args:
            is_complete: Whether nothing is left to go on with.
        """
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
                raise ConfigError(f"{path}: is no state of an import")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{path}: another import is at work with it") from None
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot keep the state there ({error.strerror}); name another place "
                "with --state"
            ) from None
        if resume:
            self._read(path)
        else:
            self._begin()

    def _begin(self) -> None:
        self._note({_MARK: _VERSION, **msgspec.to_builtins(self.origin)})

    def _note(self, entry: dict[str, Any]) -> None:
        if self._file < 0:
            return
        try:
            os.write(self._file, json.dumps(entry).encode() + b"\n")
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot write it ({error.strerror})") from None

    def _read(self, path: Path) -> None:
        entries = self._entries()
        head = next(entries, None)
        if head is None:  # it was cut off before it had sent anything
            self._begin()
            return
        if head.pop(_MARK, None) != _VERSION:
            raise ConfigError(f"{path}: is no state of an import")
        began = msgspec.convert(head, Origin)
        if (began.url, began.accessKey) != (self.origin.url, self.origin.accessKey):
            raise ConfigError(
                f"{path}: belongs to an import to {began.url} with the access key {began.accessKey}"
            )
        self.origin = began
        for entry in entries:
            row, token = entry["row"], entry.get("token")
            tokens = self._tokens.setdefault(row, {})
            if "line" in entry:
                self._in_doubt[row] += token not in tokens  # else it was sent again under its token
                if token is not None:
                    tokens.setdefault(token, entry["ms"])
                continue
            if "groupId" in entry:
                self._done[row] += 1
            self._in_doubt[row] -= 1
            tokens.pop(token or "", None)
        self.done_before = self._done.total()

    def _entries(self) -> Iterator[dict[str, Any]]:
        """Read the whole lines; a last one that was cut off is taken off the file."""
        if self._file < 0:
            return
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            place = 0
            for line in file:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, place)
                    return
                place += len(line)
                try:
                    yield msgspec.json.decode(line, type=dict[str, Any])
                except msgspec.MsgspecError:
                    raise ConfigError(f"{self.path}: is no state of an import") from None


def check_place(path: Path, *, resume: bool) -> None:
    """Make sure that a state file is there where an import goes on, and is not where it begins.

    Args:
        path: The file.
        resume: Whether the import goes on.

    Raises:
        ConfigError: It is the other way round.
    """
    if resume and not path.exists():
        raise ConfigError(f"{path}: is not there: nothing to go on with; begin without --resume")
    if not resume and path.exists():
        raise ConfigError(
            f"{path}: an earlier import was not completed; go on with it with --resume, or remove "
            "the file to begin anew"
        )


def _digest(row: GroupRow) -> str:
    content = json.dumps([row.group_id, row.name, row.remark, row.phones])
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _take(rows: Counter[str], row: GroupRow) -> bool:
    if not rows:
        return False
    digest = _digest(row)
    if rows[digest] <= 0:
        return False
    rows[digest] -= 1
    return True
