"""The hash chain of each customer's audit entries.

A write only adds its entry. A background task of every worker seals entries soon after: it gives
each the next sequence number in the chain of its customer, and a digest of its content and of the
digest before. So writes share no lock. Entries without a customer have a chain of their own.

Source: docs/decisions/0031-audit-chain.md.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from openpns.storage.store import Row, Statement, StatementBatch, Store, Transaction

FORMAT: Final = "openpns-audit-1"
"""What a digest begins with. Another way to make digests needs another one."""

SEALED_AT_ONCE: Final = 500
"""Entries that one transaction seals: on SQLite other writes wait for it some ms."""

COUNTED_MAX: Final = 10_000
"""Entries that `seal` counts at most."""

_TRANSACTIONS_MAX: Final = 8
"""Transactions of one run, so that a worker with a long backlog leaves the database to others."""

_encode: Final = msgspec.json.Encoder().encode


class Head(msgspec.Struct, frozen=True, rename="camel"):
    """The last entry of a chain.

    Attributes:
        customer_id: None for the chain of entries that are about no single customer.
        digest: In hex.
    """

    customer_id: str | None
    seq: int
    digest: str


class Unsealed(NamedTuple):
    """The entries that are not sealed yet.

    Attributes:
        entries: At most `COUNTED_MAX`; those from before the chain do not count.
        oldest_ms: When the oldest one was added; None if there is none.
    """

    entries: int
    oldest_ms: int | None


def digest_of(previous: bytes, seq: int, content: Sequence[Any]) -> bytes:
    """Return the digest of an entry: SHA-256 of a JSON array without spaces, in UTF-8.

    Args:
        previous: The digest of the entry before; empty for the first of a chain.
        content: The columns customer_id, at_ms, entry_id, action, operator, access_key, subject,
            request_id, details of the entry, and added_ms of its seal.
    """
    return hashlib.sha256(_encode((FORMAT, previous.hex(), seq, *content))).digest()


async def seal(store: Store) -> Unsealed:
    """Seal entries, the oldest first, unless another process does; return what is left."""
    entries, oldest_ms, has_backlog = await _count(store)
    if not (entries or has_backlog):
        return Unsealed(entries, oldest_ms)
    for _ in range(_TRANSACTIONS_MAX):
        if not await store.write(partial(_seal_some, "audit_seal_lock")):
            break
    entries, oldest_ms, _ = await _count(store)
    return Unsealed(entries, oldest_ms)


async def seal_all(store: Store) -> None:
    """Seal every entry."""
    while await store.write(partial(_seal_some, "audit_seal_wait")):
        pass


async def heads(store: Store) -> list[Head]:
    """Return the head of every chain."""
    rows = await store.fetch("audit_head_list", {})
    return [Head(customer_id or None, seq, digest.hex()) for customer_id, seq, digest in rows]


def add_seals(rows: Sequence[Row]) -> Transaction[None]:
    """Add entries to their chains, in this order.

    Args:
        rows: The content of each entry, as for `digest_of`, and its place in audit_unsealed, or
            None.
    """
    customer_ids = list(dict.fromkeys(row[0] for row in rows))
    found = yield Statement("audit_head_find", {"customer_ids": customer_ids})
    ends = {customer_id: (seq, digest) for customer_id, seq, digest in found}
    seals, places = [], []
    for *content, place in rows:
        customer_id, at_ms, entry_id, *_, added_ms = content
        last, previous = ends.get(customer_id, (0, b""))
        seq = last + 1
        digest = digest_of(previous, seq, content)
        ends[customer_id] = seq, digest
        places.append(place)
        seals.append(
            {
                "customer_id": customer_id,
                "seq": seq,
                "at_ms": at_ms,
                "entry_id": entry_id,
                "added_ms": added_ms,
                "digest": digest,
            }
        )
    yield StatementBatch("audit_seal_add", seals)
    sealed = {
        "customer_ids": [seal["customer_id"] for seal in seals],
        "times_ms": [seal["at_ms"] for seal in seals],
        "entry_ids": [seal["entry_id"] for seal in seals],
        "places": places,  # SQLite needs only these
    }
    yield Statement("audit_unsealed_delete", sealed)


async def _count(store: Store) -> Row:
    return (await store.fetch("audit_unsealed_count", {"at_most": COUNTED_MAX}))[0]


def _seal_some(lock: str) -> Transaction[bool]:
    """Seal some entries; return whether there may be more."""
    locked = yield Statement(lock, {})
    if not locked[0][0]:
        return False
    sealed_up_to = yield Statement("audit_backlog_find", {})
    if sealed_up_to:
        yield from _seal_backlog(sealed_up_to[0])
        return True
    rows = yield Statement("audit_unsealed_list", {"at_most": SEALED_AT_ONCE})
    if rows:
        yield from add_seals(rows)
    return len(rows) == SEALED_AT_ONCE


def _seal_backlog(after: Row) -> Transaction[None]:
    """Seal some entries from before the chain, in the order of customer and time.

    Until all are sealed no other entry is, so that a chain begins with the oldest ones.
    """
    customer_id, at_ms, entry_id = after
    params = {"customer_id": customer_id, "at_ms": at_ms, "entry_id": entry_id}
    rows = yield Statement("audit_backlog_list", params | {"at_most": SEALED_AT_ONCE})
    unsealed = [(*tuple(row)[:-1], None, None) for row in rows if not row[-1]]
    if unsealed:
        yield from add_seals(unsealed)
    if len(rows) < SEALED_AT_ONCE:
        yield Statement("audit_backlog_end", {})
    else:
        customer_id, at_ms, entry_id, *_ = rows[-1]
        params = {"customer_id": customer_id, "at_ms": at_ms, "entry_id": entry_id}
        yield Statement("audit_backlog_move", params)
