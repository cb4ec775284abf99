"""Bulk import and export of number groups, straight at the database, for the operator.

An import goes over the file twice: first every row is checked, then the rows are written in
batches, each in one transaction. So a bad row is known before anything is written, and memory
holds one batch, and 16 bytes and some overhead for each groupId that the file brings along.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from openpns import limits
from openpns.core import audit
from openpns.core.context import Services
from openpns.groups import phone_chunks
from openpns.groups.rows import GroupRow, RawRow, Refuse, check_rows
from openpns.groups.service import check_group_size, new_group_row
from openpns.ids import new_revision
from openpns.phones import parse_phones
from openpns.storage.store import Statement, StatementBatch, Transaction

_EXPORT_ROWS_EACH: Final = 64


class BadRow(msgspec.Struct, frozen=True):
    """A row that cannot be imported."""

    line: int
    why: str


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
        taken = await (_find_taken if dry_run else _write)(services, customer_id, batch)
        free = []
        for group in batch:
            if group.group_id in taken:
                refuse(group.line, "groupId is there already")
            else:
                free.append(group)
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
) -> Iterator[list[GroupRow]]:
    def read_phones(text: str) -> list[str]:
        phones = parse_phones(text, services.phones_in_request_max)
        check_group_size(len(phones), services.phones_in_group_max)
        return phones

    batch: list[GroupRow] = []
    phones = 0
    for row in check_rows(rows, read_phones, refuse):
        if batch and (
            len(batch) >= limits.IMPORT_BATCH_GROUPS
            or phones + len(row.phones) > limits.IMPORT_BATCH_PHONES
        ):
            yield batch
            batch, phones = [], 0
        batch.append(row if row.group_id else _with_new_id(row, services.ids.group_id()))
        phones += len(row.phones)
    if batch:
        yield batch


def _with_new_id(row: GroupRow, group_id: str) -> GroupRow:
    return msgspec.structs.replace(row, group_id=group_id)


async def _find_taken(services: Services, customer_id: str, batch: Sequence[GroupRow]) -> set[str]:
    """Return the ids of a batch that the customer has already."""
    rows = await services.store.fetch("group_id_taken", _ids(customer_id, batch))
    return {row[0] for row in rows}


async def _write(services: Services, customer_id: str, batch: Sequence[GroupRow]) -> set[str]:
    """Write a batch but for groups whose id the customer has already; return these ids."""
    now = services.clock()

    def steps() -> Transaction[set[str]]:
        # Taking no place at all holds the counter: from here on no other import can take an id.
        yield Statement(
            "group_seq_take", {"customer_id": customer_id, "groups": 0, "revision": new_revision()}
        )
        found = yield Statement("group_id_taken", _ids(customer_id, batch))
        taken = {row[0] for row in found}
        free = [group for group in batch if group.group_id not in taken]
        if free:
            yield from _create(customer_id, free, now)
            count = sum(len(group.phones) for group in free)
            changed = audit.Changed(groups=len(free), added=count)
            yield audit.operator_entry(customer_id, "groups.import", details=changed)
        return taken

    return await services.store.write(steps)


def _ids(customer_id: str, batch: Sequence[GroupRow]) -> dict[str, object]:
    return {"customer_id": customer_id, "group_ids": [group.group_id for group in batch]}


def _take_places(customer_id: str, groups: int) -> Statement:
    places = {"customer_id": customer_id, "groups": groups, "revision": new_revision()}
    return Statement("group_seq_take", places)


def _create(customer_id: str, groups: Sequence[GroupRow], now_ms: int) -> Transaction[None]:
    taken = yield Statement(
        "group_seq_take",
        {"customer_id": customer_id, "groups": len(groups), "revision": new_revision()},
    )
    first = taken[0][0]
    yield StatementBatch(
        "group_create",
        [
            new_group_row(
                customer_id,
                group.group_id,
                first + place,
                now_ms,
                name=group.name,
                remark=group.remark,
                phones=group.phones,
            )
            for place, group in enumerate(groups)
        ],
    )
    for place, group in enumerate(groups):
        yield from phone_chunks.write_chunks(customer_id, first + place, group.phones)
    yield StatementBatch(
        "group_member_insert",
        [
            {
                "customer_id": customer_id,
                "group_seq": first + place,
                "phone": phone,
                "position": position,
            }
            for place, group in enumerate(groups)
            for position, phone in enumerate(group.phones)
        ],
    )
