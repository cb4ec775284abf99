"""Bindings that ran out and are in the way of a new one.

They are still stored and counted until they are swept. A request ends only a few of them: the sweep
ends the others.
"""

from collections.abc import Callable
from typing import Final

from openpns.bindings import ending
from openpns.bindings.rows import StoredBinding, find_statement
from openpns.core.commit import change_revision
from openpns.core.context import Context
from openpns.storage.store import Statement, Transaction, as_struct

_EACH: Final = 200
BATCHES_MAX: Final = 2
"""How many batches of them a request ends to make room, each in a transaction."""

_Find = Callable[[int], Transaction[list[StoredBinding]]]
"""Returns bindings that ran out before a time: a step of a write."""


async def end_own(context: Context, customer_bind_id: str) -> None:
    """End the binding with a customerBindId, if it ran out."""

    def find(now_ms: int) -> Transaction[list[StoredBinding]]:
        rows = yield find_statement(context, None, customer_bind_id)
        found = [as_struct(StoredBinding, row) for row in rows]
        return [binding for binding in found if not binding.is_live(now_ms)]

    await _end(context, find)


async def end_some(context: Context) -> None:
    """End a batch of the customer's bindings that ran out, the oldest ends first."""
    customer_id = context.customer_id
    await _end(context, lambda now_ms: ending.find_expired(customer_id, now_ms, at_most=_EACH))


async def _end(context: Context, find: _Find) -> None:
    """End the bindings that are found before and after their locks were taken."""
    customer_id, now_ms = context.customer_id, context.clock()

    def steps() -> Transaction[None]:
        before = yield from find(now_ms)
        yield from ending.lock_groups(customer_id, before)
        yield Statement("binding_order_lock", {"customer_id": customer_id})
        seqs = {binding.binding_seq for binding in before}
        again = yield from find(now_ms)
        bindings = [binding for binding in again if binding.binding_seq in seqs]
        if bindings:
            last = yield from ending.end(customer_id, bindings, ending.EXPIRED, now_ms)
            counts = ending.counted(bindings=-len(bindings))
            yield [change_revision(customer_id, "bindings", counts), *last]

    await context.store.write(steps, customer_id=customer_id)
