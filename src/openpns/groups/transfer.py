"""Import number groups into the database and export them, for the operator.

Rows are checked and written in batches, each in one transaction. Memory holds one batch, and 16
bytes and some overhead for each groupId of the file.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.groups import phone_chunks
from openpns.groups.detail import get_params
from openpns.groups.guard import GroupGuard
from openpns.groups.operations import check_group_size, operate
from openpns.groups.quotas import text_bytes
from openpns.groups.rows import GroupRow, RawRow, Refuse, check_rows
from openpns.groups.service import Changed, counted, group_row, rename, text_growth
from openpns.phones import parse_phones
from openpns.storage.store import Statement, StatementBatch, Transaction

# Bounds of one transaction of an import.
BATCH_GROUPS: Final = 1000
BATCH_PHONES: Final = 20_000

_EXPORT_ROWS_EACH: Final = 64


class BadRow(msgspec.Struct, frozen=True):
    """A row that cannot be imported."""

    line: int
    why: str


class Imported(msgspec.Struct):
    """The counts of an import."""

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
    """Write every good row as a new group, in the file's order; skip bad rows.

    A dry run makes the same checks and writes nothing.
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
                refuse(group.line, "groupId exists already")
            else:
                free.append(group)
        done.groups += len(free)
        done.phones += sum(len(group.phones) for group in free)
        on_batch()
    return done


async def change_group(
    services: Services, customer_id: str, group: GroupRow, guard: GroupGuard
) -> None:
    """Give a group that exists the phones, name and remark of a row.

    Raises:
        WireError: It does not exist, a phone is not allowed, or bindings forbid a phone.
    """
    context = Context(services, Principal("", customer_id))
    key = {"customer_id": customer_id, "group_id": group.group_id, "now_ms": services.clock()}

    def describe(phone: str) -> str:
        return f"number {group.phones.index(phone) + 1}"

    def steps() -> Transaction[OperatorEffect[None]]:
        change, last, added = yield from operate(services, "replace", key, group.phones)
        if added.phones and added.is_bound:
            yield from guard.check_phones(context, added.group_seq, added.phones, describe)
        if last:
            yield last
        renamed = rename(key, group.name, group.remark)
        grown = yield from text_growth(key, renamed.params)
        yield renamed
        return OperatorEffect(
            None,
            customer_id,
            details=Changed(added=change.added, removed=change.removed),
            counts=counted(phones=change.added - change.removed, text_bytes=grown),
        )

    await commit_as_operator(services.store, "groups.pull", steps, scope="groups")


async def find_row(services: Services, customer_id: str, group_id: str) -> GroupRow | None:
    """Return a stored group as a row; None if there is none."""
    rows = await services.store.fetch("group_get", get_params(customer_id, group_id))
    if not rows:
        return None
    _, _, _, name, _, phones, remark, *_ = rows[0]
    return GroupRow(0, group_id, name, remark, phones.split(",") if phones else [])


async def export_rows(
    services: Services, customer_id: str
) -> AsyncGenerator[tuple[str, ...], None]:
    """Return every group of a customer as a row of COLUMNS, oldest first, in one snapshot."""
    params = {"customer_id": customer_id}
    async with aclosing(services.store.stream("group_export", params, _EXPORT_ROWS_EACH)) as slices:
        async for rows in slices:
            for row in rows:
                yield tuple(row)


def _batches(
    services: Services, rows: Iterable[RawRow], refuse: Refuse
) -> Iterator[list[GroupRow]]:
    def read_phones(text: str) -> list[str]:
        phones = parse_phones(text, services.phones_in_request_max, explain=True)
        check_group_size(len(phones), services.phones_in_group_max)
        return phones

    batch: list[GroupRow] = []
    phones = 0
    for row in check_rows(rows, read_phones, refuse):
        if batch and (len(batch) >= BATCH_GROUPS or phones + len(row.phones) > BATCH_PHONES):
            yield batch
            batch, phones = [], 0
        group_id = row.group_id or services.ids.group_id()
        batch.append(msgspec.structs.replace(row, group_id=group_id))
        phones += len(row.phones)
    if batch:
        yield batch


async def _find_taken(services: Services, customer_id: str, batch: Sequence[GroupRow]) -> set[str]:
    """Return the ids of a batch that the customer has already."""
    rows = await services.store.fetch("group_id_taken", _ids(customer_id, batch))
    return {row[0] for row in rows}


async def _write(services: Services, customer_id: str, batch: Sequence[GroupRow]) -> set[str]:
    """Write a batch without the groups whose id the customer has already; return these ids."""
    now_ms = services.clock()

    def steps() -> Transaction[OperatorEffect[set[str]]]:
        # The lock also keeps other imports from taking an id meanwhile.
        first = (yield Statement("group_order_lock", {"customer_id": customer_id}))[0][0]
        found = yield Statement("group_id_taken", _ids(customer_id, batch))
        taken = {row[0] for row in found}
        free = [group for group in batch if group.group_id not in taken]
        if free:
            yield from _create(customer_id, free, first, now_ms)
        phones = sum(len(group.phones) for group in free)
        return OperatorEffect(
            taken,
            customer_id,
            details=Changed(groups=len(free), added=phones),
            is_change=bool(free),
            counts=counted(
                groups=len(free),
                seqs=len(free),
                phones=phones,
                text_bytes=sum(
                    text_bytes(group.name or group.group_id, group.remark) for group in free
                ),
            ),
        )

    return await commit_as_operator(services.store, "groups.import", steps, scope="groups")


def _ids(customer_id: str, batch: Sequence[GroupRow]) -> dict[str, object]:
    return {"customer_id": customer_id, "group_ids": [group.group_id for group in batch]}


def _create(
    customer_id: str, groups: Sequence[GroupRow], first: int, now_ms: int
) -> Transaction[None]:
    yield StatementBatch(
        "group_create",
        [group_row(customer_id, group, seq, now_ms) for seq, group in enumerate(groups, first)],
    )
    for seq, group in enumerate(groups, first):
        chunks = phone_chunks.write_chunks(customer_id, seq, group.phones)
        if chunks:
            yield chunks
    yield StatementBatch(
        "group_member_insert",
        [
            {"customer_id": customer_id, "group_seq": seq, "phone": phone, "position": position}
            for seq, group in enumerate(groups, first)
            for position, phone in enumerate(group.phones)
        ],
    )
