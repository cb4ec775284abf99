"""Counts of call records and deliveries that differ from the rows: they are found and corrected.

A server of a version from before migration 18 does not count, for example during an upgrade.

Source: docs/decisions/0062-quotas-of-records.md.
"""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

import msgspec

from openpns.accounts import customers
from openpns.core import usage
from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.core.verify import Report
from openpns.errors import ServiceUnavailable
from openpns.storage.store import Statement, Store, Transaction, as_struct

_ROWS_EACH: Final = 256
_ATTEMPTS: Final = 3
_WORDS: Final = {usage.CALL_RECORDS: "call records", usage.DELIVERIES: "deliveries"}


class _Count(msgspec.Struct, frozen=True):
    """A row of usage_recount_find."""

    name: str
    counted: int
    stored: int
    by_commands: int


async def check_counts(store: Store, report: Report) -> Mapping[str, int]:
    """Check that the counts of each customer are those of its rows."""
    async with aclosing(store.stream("usage_check", {}, _ROWS_EACH)) as slices:
        async for rows in slices:
            for customer_id, name, counted, stored in rows:
                report(
                    f"customer {customer_id}: its quota counts {counted} "
                    f"{_WORDS.get(name, 'unknown rows')}, there are {stored}; openpns customers "
                    "recount corrects that"
                )
    return {}


async def recount(store: Store, customer_id: str) -> dict[str, int]:
    """Correct the counts of a customer, while servers write; return what was added to each.

    Raises:
        EntryNotFound: The customer does not exist.
        ServiceUnavailable: Other commands kept changing the counts.
    """
    await customers.get(store, customer_id)
    for _ in range(_ATTEMPTS):
        rows = await store.fetch("usage_recount_find", {"customer_id": customer_id})
        found = [as_struct(_Count, row) for row in rows]
        added = {one.name: one.stored - one.counted for one in found}
        if not any(added.values()) or await _correct(store, customer_id, found, added):
            return added
    raise ServiceUnavailable("other commands change the counts meanwhile; run it again")


async def _correct(
    store: Store, customer_id: str, found: list[_Count], added: dict[str, int]
) -> bool:
    """Add to the counts; return False, and change nothing, if a command has changed them.

    Servers may count meanwhile: they store or delete as many rows, so that the difference stays.
    But what another `recount` has added must not be added twice.
    """

    def steps() -> Transaction[OperatorEffect[bool]]:
        for name in sorted(added):
            yield usage.add(customer_id, name, 0)  # locks it
        rows = yield Statement("usage_by_commands_find", {"customer_id": customer_id})
        if {row[0]: row[1] for row in rows} != {one.name: one.by_commands for one in found}:
            return OperatorEffect(False, customer_id, is_change=False)
        for name in sorted(added):
            yield usage.add(customer_id, name, added[name])
        return OperatorEffect(True, customer_id, details=added)

    return await commit_as_operator(store, "customers.recount", steps)
