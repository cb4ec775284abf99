"""Bulk import and export of number groups, straight at the database, for the operator.

An import goes over the file twice: first every row is checked, then the rows are written in
batches, each in one transaction. So a bad row is known before anything is written, and memory
holds one batch, however long the file is.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Final

import msgspec

from openpns import limits, numbers
from openpns.domain.calls import Services
from openpns.domain.groups import GROUP_ID, check_group_size, new_group_row
from openpns.errors import ConfigError, OpenPNSError
from openpns.protocol.groups import CreateGroup
from openpns.storage.store import Statement, StatementMany, Steps

COLUMNS: Final = ("groupId", "groupName", "phones", "remark")
"""The columns of a file of groups."""

_EXPORT_ROWS_EACH: Final = 64

RawRow = tuple[int, dict[str, str]]
"""A row as read: its line, counted from 1, and its columns; one named "error" says why it
could not be read."""


Refuse = Callable[[int, str], None]
"""Told the line of a bad row and what is wrong with it."""


class BadRow(msgspec.Struct, frozen=True):
    """A row that cannot be imported."""

    line: int
    why: str


class NewGroup(msgspec.Struct, frozen=True):
    """A row that can be imported."""

    line: int
    group_id: str
    name: str
    remark: str
    phones: list[str]


class Imported(msgspec.Struct):
    """What an import found and wrote."""

    groups: int = 0
    phones: int = 0
    bad: int = 0


async def import_rows(
    services: Services,
    customer_id: str,
    rows: Iterable[RawRow],
    *,
    on_bad: Callable[[BadRow], None],
    on_batch: Callable[[], None],
    dry_run: bool,
) -> Imported:
    """Write every good row as a new group, in the file's order; bad rows are left out.

    Args:
        services: What to work with.
        customer_id: Whose groups they become.
        rows: The file's rows.
        on_bad: Told each bad row.
        on_batch: Told that a batch is done.
        dry_run: Check every row as a real run would, and write nothing.
    """
    done = Imported()

    def refuse(line: int, why: str) -> None:
        done.bad += 1
        on_bad(BadRow(line, why))

    for batch in _batches(services, rows, refuse):
        free = await _without_taken(services, customer_id, batch, refuse)
        if not dry_run:
            await services.store.write(_steps(services, customer_id, free))
        done.groups += len(free)
        done.phones += sum(len(group.phones) for group in free)
        on_batch()
    return done


async def export_rows(
    services: Services, customer_id: str
) -> AsyncGenerator[tuple[str, ...], None]:
    """Return every group of a customer as a row of COLUMNS, oldest first, in one snapshot.

    Args:
        services: What to work with.
        customer_id: Whose groups.
    """
    params = {"customer_id": customer_id}
    async with aclosing(services.store.stream("group_export", params, _EXPORT_ROWS_EACH)) as slices:
        async for rows in slices:
            for row in rows:
                yield tuple(row)


def _batches(
    services: Services, rows: Iterable[RawRow], refuse: Refuse
) -> Iterator[list[NewGroup]]:
    ids_seen: set[bytes] = set()
    batch: list[NewGroup] = []
    phones = 0
    for line, columns in rows:
        try:
            group = _read_row(services, line, columns, ids_seen)
        except OpenPNSError as error:
            refuse(line, getattr(error, "detail", "") or str(error))
            continue
        if batch and (
            len(batch) >= limits.IMPORT_BATCH_GROUPS
            or phones + len(group.phones) > limits.IMPORT_BATCH_NUMBERS
        ):
            yield batch
            batch, phones = [], 0
        batch.append(group)
        phones += len(group.phones)
    if batch:
        yield batch


def _read_row(
    services: Services, line: int, columns: dict[str, str], ids_seen: set[bytes]
) -> NewGroup:
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
    # An exported group may be empty; a created one may not.
    phones = (
        numbers.parse_phones(request.phones, services.numbers_in_request_max)
        if request.phones
        else []
    )
    check_group_size(len(phones), services.numbers_in_group_max)
    if group_id:
        ids_seen.add(bytes.fromhex(group_id))
    else:
        group_id = services.ids.group_id()
    return NewGroup(line, group_id, request.groupName or group_id, request.remark or "", phones)


async def _without_taken(
    services: Services, customer_id: str, batch: list[NewGroup], refuse: Refuse
) -> list[NewGroup]:
    """Leave out groups whose id the customer has already."""
    params = {"customer_id": customer_id, "group_ids": [group.group_id for group in batch]}
    taken = {row[0] for row in await services.store.fetch("group_id_taken", params)}
    for group in batch:
        if group.group_id in taken:
            refuse(group.line, "groupId is there already")
    return [group for group in batch if group.group_id not in taken]


def _steps(
    services: Services, customer_id: str, batch: list[NewGroup]
) -> Callable[[], Steps[None]]:
    now = services.clock()

    def steps() -> Steps[None]:
        if not batch:
            return
        taken = yield Statement(
            "group_seq_take", {"customer_id": customer_id, "groups": len(batch)}
        )
        first = taken[0][0]
        yield StatementMany(
            "group_create",
            [
                new_group_row(
                    customer_id,
                    group.group_id,
                    first + place,
                    now,
                    name=group.name,
                    remark=group.remark,
                    phones=group.phones,
                )
                for place, group in enumerate(batch)
            ],
        )
        yield StatementMany(
            "group_member_insert",
            [
                {
                    "customer_id": customer_id,
                    "group_seq": first + place,
                    "phone": phone,
                    "position": position,
                }
                for place, group in enumerate(batch)
                for position, phone in enumerate(group.phones)
            ],
        )

    return steps
