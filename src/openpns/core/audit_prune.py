"""Deleting old entries of the audit trail, with a mark in the chain that is left."""

from functools import partial
from typing import Final

from openpns.core import audit, audit_chain
from openpns.storage.store import Statement, StatementBatch, Store, Transaction

ACTION: Final = "audit.prune"
"""The action of the entry about it."""

PRUNED_AT_ONCE: Final = 10_000
"""Entries that one transaction deletes."""


async def prune(store: Store, before_ms: int) -> int:
    """Delete the entries from before a time, and add an entry for that; return how many.

    Of each chain the oldest entries are deleted, up to the first one that is not from before the
    time. The entry about it holds the last deleted sequence number and digest, on which the chain
    that is left is based. Each transaction deletes a bounded number, so that writes do not wait
    long.
    """
    await audit_chain.seal_all(store)
    customers = [row[0] for row in await store.fetch("audit_customers", {"before_ms": before_ms})]
    pruned = 0
    for customer_id in customers:
        while deleted := await store.write(partial(_prune, customer_id, before_ms)):
            pruned += deleted
    return pruned


def _prune(customer_id: str, before_ms: int) -> Transaction[int]:
    yield Statement("audit_seal_wait", {})
    some = {"customer_id": customer_id, "before_ms": before_ms, "at_most": PRUNED_AT_ONCE}
    found = yield Statement("audit_prune_find", some)
    if not found:
        return 0
    seq, digest, entries = found[0]
    details = {"beforeMs": before_ms, "entries": entries, "seq": seq, "digest": digest.hex()}
    mark = audit.operator_entry(customer_id, ACTION, details=details)
    yield mark
    # Sealed now, so that no chain is ever empty: the next entry continues it.
    key = {name: mark.params[name] for name in ("customer_id", "at_ms", "entry_id")}
    yield from audit_chain.add_seals((yield Statement("audit_unsealed_find", key)))
    yield Statement("audit_prune_begin", {"before_ms": before_ms})
    keys = yield Statement("audit_prune_seals", {"customer_id": customer_id, "seq": seq})
    yield StatementBatch(
        "audit_prune_entry",
        [{"customer_id": one[0], "at_ms": one[1], "entry_id": one[2]} for one in keys],
    )
    yield Statement("audit_prune_end", {})
    return int(entries)
