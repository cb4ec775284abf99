"""Rows of a file of number groups: what their columns may hold. No I/O, no database.

The import at the database and the one through the API read and check rows with this.
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
"""A row as read: its line, counted from 1, and its columns; one named "error" says why it
could not be read."""

Refuse = Callable[[int, str], None]
"""Told the line of a bad row and what is wrong with it."""


class GroupRow(msgspec.Struct, frozen=True):
    """A row that is right as far as the file alone can tell.

    Attributes:
        line: Where it begins, counted from 1.
        group_id: Empty for a new group.
        name: Empty where it has none.
        remark: Empty where it has none.
        phones: Numbers as stored: no "+", no white space, none twice.
    """

    line: int
    group_id: str
    name: str
    remark: str
    phones: list[str]

    def __repr__(self) -> str:
        """Return a text without phone numbers and remark."""
        return f"GroupRow(line={self.line}, group_id={self.group_id!r}, name={self.name!r})"


def check_rows(
    rows: Iterable[RawRow], read_phones: Callable[[str], list[str]], refuse: Refuse
) -> Iterator[GroupRow]:
    """Return the good rows; bad ones are told and left out.

    Args:
        rows: The file's rows.
        read_phones: Reads a row's numbers, raises OpenPNSError where one is wrong; not asked
            where there are none, for an exported group may be empty.
        refuse: Told each bad row.
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
        raise ConfigError("groupId stands in the file twice")
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
