"""Deleting old call records: by their age, and by the operator's command.

Source: docs/operating/call-records.md.
"""

from typing import Final

from openpns import limits
from openpns.accounts import customers
from openpns.core import usage
from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.core.context import Services
from openpns.core.expiry import delete_expired
from openpns.storage.store import Statement, Store, Transaction

CALL_RECORDS_MIGRATION: Final = 15
"""The migration that made the tables."""

SKIPPED_IDS: Final = 1_000_000_000
"""Ids that are not used after a restore: more than any server has used since the backup."""

_EACH: Final = 1000


async def delete_old(services: Services) -> None:
    """Delete the records of all customers that were stored too long ago."""
    kept_ms = services.call_records_kept_days * limits.DAY_MS
    if kept_ms:
        before = {"created_ms": services.clock() - kept_ms}
        await delete_expired(services, "call_record_clean", before, usage.CALL_RECORDS)


async def prune(store: Store, before_s: int, customer_id: str | None = None) -> int:
    """Delete records of calls that began before a time; return how many.

    Each transaction deletes a bounded number, with an audit entry of its own, so that reports do
    not wait long and a run that was interrupted can be repeated.

    Args:
        customer_id: Only those of this customer; all if None.

    Raises:
        EntryNotFound: The customer does not exist.
    """
    if customer_id is not None:
        owners = [(await customers.get(store, customer_id)).customer_id]
    else:
        owners = [customer.customer_id for customer in await customers.list_customers(store)]
    pruned = 0
    for owner in owners:
        while deleted := await _prune_some(store, owner, before_s):
            pruned += deleted
    return pruned


async def _prune_some(store: Store, customer_id: str, before_s: int) -> int:
    chosen = {"customer_id": customer_id, "start_s": before_s, "at_most": _EACH}

    def steps() -> Transaction[OperatorEffect[int]]:
        deleted = len((yield Statement("call_record_prune", chosen)))
        if deleted:
            yield usage.add(customer_id, usage.CALL_RECORDS, -deleted)
        details = {"deleted": deleted, "before": before_s}
        return OperatorEffect(deleted, customer_id, details=details, is_change=bool(deleted))

    return await commit_as_operator(store, "callRecords.prune", steps)


async def skip_ids(store: Store) -> None:
    """Use none of the next SKIPPED_IDS ids: after a restore some of them name other calls.

    Receivers know those calls, and drop a record whose id they have.
    """

    def steps() -> Transaction[None]:
        yield Statement("call_record_skip_ids", {"count": SKIPPED_IDS})

    await store.write(steps)
