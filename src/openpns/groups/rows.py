"""Check the rows of a file of number groups, without I/O.

Used by the import into the database and the import through the API.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from openpns import limits
from openpns.errors import ConfigError, OpenPNSError
from openpns.groups.wire import GROUP_ID, CreateGroup

COLUMNS: Final = ("groupId", "groupName", "phones", "remark")
"""The columns of a file of groups."""

RawRow = tuple[int, dict[str, str]]
"""A row as read: its line, counted from 1, and its columns. A column "error" holds the reason if it
could not be read."""

Refuse = Callable[[int, str], None]
"""Called with the line of a bad row and the reason."""


class GroupRow(msgspec.Struct, frozen=True):
    """A row without an error that the file alone shows.

    Attributes:
        line: Its first line, counted from 1.
        group_id: Empty for a new group.
        phones: As stored: no "+", no white space, no repeats.
    """

    line: int
    group_id: str
    name: str
    remark: str
    phones: list[str]

    def __repr__(self) -> str:  # without phones and remark
        return f"GroupRow(line={self.line}, group_id={self.group_id!r}, name={self.name!r})"


def check_rows(
    rows: Iterable[RawRow], read_phones: Callable[[str], list[str]], refuse: Refuse
) -> Iterator[GroupRow]:
    """Return the good rows; call `refuse` with each bad one.

    Args:
        read_phones: Parses the phones of a row and raises OpenPNSError if one is wrong. Not called
            for an empty text, because an exported group may be empty.
    """
    ids_seen: set[bytes] = set()
    for line, columns in rows:
        try:
            yield _check(line, columns, read_phones, ids_seen)
        except OpenPNSError as error:
            refuse(line, getattr(error, "detail", "") or str(error))


def _check(
    line: int,
    columns: dict[str, str],
    read_phones: Callable[[str], list[str]],
    ids_seen: set[bytes],
) -> GroupRow:
    if "error" in columns:
        raise ConfigError(columns["error"])
    group_id = columns.get("groupId", "")
    if group_id and not GROUP_ID.fullmatch(group_id):
        raise ConfigError("groupId must be empty or 32 lower-case hex characters")
    if group_id and bytes.fromhex(group_id) in ids_seen:
        raise ConfigError("groupId is in the file twice")
    try:
        request = msgspec.convert(
            {
                "phones": columns.get("phones", ""),
                "groupName": columns.get("groupName") or None,
                "remark": columns.get("remark") or None,
            },
            CreateGroup,
        )
    except msgspec.ValidationError as error:
        field = str(error).rsplit("$.", 1)[-1].rstrip("`")
        raise ConfigError(
            f"{field} is too long or has control characters; allowed are groupName of at most "
            f"{limits.GROUP_NAME_CHARS_MAX} and remark of at most {limits.REMARK_CHARS_MAX} "
            "characters"
        ) from None
    phones = read_phones(request.phones) if request.phones else []
    if group_id:
        ids_seen.add(bytes.fromhex(group_id))
    return GroupRow(line, group_id, request.group_name or "", request.remark or "", phones)
