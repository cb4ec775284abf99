"""How bindings end: by unbindAXB, by their time, or by the operator.

Time is judged whenever a binding is read. `end_expired` only tidies: it counts ended bindings out.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from openpns import limits
from openpns.bindings.rows import StoredBinding, seats_of
from openpns.bindings.wire import EXTENSION
from openpns.core.commit import change_revision
from openpns.core.context import Services
from openpns.core.expiry import delete_expired
from openpns.storage.store import Statement, StatementBatch, Store, Transaction, as_struct

UNBOUND: Final = "unbind"
EXPIRED: Final = "expiry"
OPERATOR: Final = "operator"
"""What ended a binding."""

ENDED_DAYS: Final = 7
"""How long an ended binding is stored, to explain why a call is not connected any more."""

WITHIN: Final = {
    "": {
        "within": """(
    CAST(:bindings AS bigint) <= 0
    OR binding_count + :bindings <= coalesce(binding_quota, CAST(:binding_quota AS bigint))
)"""
    }
}
"""The condition that the count of the row of `customer_state` does not grow past its quota."""

_EACH: Final = 200


def counted(*, bindings: int = 0, seqs: int = 0, quota: int = limits.QUOTA_MAX) -> dict[str, int]:
    """Return what bindings_revision_change adds to the counts of a customer."""
    return {"bindings": bindings, "seqs": seqs, "binding_quota": quota}


def end(
    customer_id: str, bindings: Sequence[StoredBinding], ended_by: str, now_ms: int
) -> Transaction[list[Statement]]:
    """End bindings whose groups and customer are locked: steps of a write.

    Returns the last statements, for a step of the caller's; the customer's count is the caller's to
    change.
    """
    # In the order in which `routing.traces` changes rows of several bindings: neither waits for the
    # other while it holds a row that the other needs.
    bindings = sorted(bindings, key=lambda binding: binding.bind_id)
    ended = [
        {
            "customer_id": customer_id,
            "binding_seq": binding.binding_seq,
            "ended_ms": min(now_ms, binding.live_until_ms),
            "ended_by": ended_by,
        }
        for binding in bindings
    ]
    seats = [
        {**params, "phone": phone, "did": binding.did}
        for params, binding in zip(ended, bindings, strict=True)
        for phone in seats_of(binding.kind, binding.phone_a, binding.phone_b, binding.extension)
    ]
    counts = _count_out(customer_id, bindings)
    if len(bindings) == 1:
        return [
            Statement("ended_binding_add", ended[0]),
            *[Statement("seat_end", seat) for seat in seats],
            Statement("binding_delete", ended[0]),
            *counts,
        ]
    yield StatementBatch("ended_binding_add", ended)
    yield StatementBatch("seat_end", seats)
    yield StatementBatch("binding_delete", ended)
    return counts


def _count_out(customer_id: str, bindings: Sequence[StoredBinding]) -> list[Statement]:
    on_number: Counter[str] = Counter(binding.did for binding in bindings)
    digits: Counter[str] = Counter(b.did for b in bindings if b.kind == EXTENSION)
    # By seq: a group that was deleted and imported again has its old id.
    of_group: Counter[int] = Counter(b.group_seq for b in bindings if b.group_seq is not None)
    return [
        *[number_count(customer_id, did, -count, -digits[did]) for did, count in on_number.items()],
        *[group_count(customer_id, seq, -count) for seq, count in of_group.items()],
    ]


def number_count(customer_id: str, did: str, bindings: int, extensions: int) -> Statement:
    """Return the statement that adds to the counts of a virtual number."""
    params = {"customer_id": customer_id, "did": did}
    return Statement(
        "number_load_change", params | {"bindings": bindings, "extensions": extensions}
    )


def group_count(customer_id: str, group_seq: int, bindings: int) -> Statement:
    """Return the statement that adds to the count of bindings of a group."""
    params = {"customer_id": customer_id, "group_seq": group_seq}
    return Statement("binding_group_count", params | {"bindings": bindings})


def find_expired(
    customer_id: str, now_ms: int, *, at_most: int = _EACH
) -> Transaction[list[StoredBinding]]:
    """Return some bindings that ran out: a step of a write."""
    params = {"customer_id": customer_id, "now_ms": now_ms, "at_most": at_most}
    rows = yield Statement("binding_list_expired", params)
    return [as_struct(StoredBinding, row) for row in rows]


def lock_groups(customer_id: str, bindings: Sequence[StoredBinding]) -> Transaction[None]:
    """Lock the groups of bindings, before their customer: steps of a write."""
    for group_id in sorted({binding.group_id for binding in bindings if binding.group_id}):
        yield Statement("group_lock", {"customer_id": customer_id, "group_id": group_id})


async def end_expired(services: Services) -> None:
    """End the bindings of all customers that ran out."""
    now_ms = services.clock()
    rows = await services.store.fetch("binding_customer_list_expired", {"now_ms": now_ms})
    for (customer_id,) in rows:
        await end_expired_of(services.store, customer_id, now_ms)


async def end_expired_of(store: Store, customer_id: str, now_ms: int) -> None:
    """End the bindings of a customer that ran out."""

    def steps() -> Transaction[int]:
        found = yield from find_expired(customer_id, now_ms)
        yield from lock_groups(customer_id, found)
        yield Statement("binding_order_lock", {"customer_id": customer_id})
        again = yield from find_expired(customer_id, now_ms)
        seqs = {binding.binding_seq for binding in found}
        bindings = [binding for binding in again if binding.binding_seq in seqs]
        if not bindings:
            return 0
        last = yield from end(customer_id, bindings, EXPIRED, now_ms)
        counts = counted(bindings=-len(bindings))
        yield [change_revision(customer_id, "bindings", counts), *last]
        return len(bindings)

    while await store.write(steps, customer_id=customer_id) == _EACH:
        pass


async def delete_ended(services: Services) -> None:
    """Delete bindings that ended too long ago to explain a call, and seats that rest no more."""
    now_ms = services.clock()
    kept_ms = ENDED_DAYS * limits.DAY_MS
    rest_ms = max(kept_ms, services.seat_rest_s * 1000)
    await delete_expired(services, "seat_clean", {"ended_ms": now_ms - rest_ms})
    await delete_expired(services, "ended_binding_clean", {"ended_ms": now_ms - kept_ms})
