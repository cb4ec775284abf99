"""The operator's commands on bindings, and the removal of a virtual number.

Source: docs/operating/numbers.md.
"""

from collections.abc import Callable
from typing import Any, Final

from openpns.accounts import customers
from openpns.bindings import ending
from openpns.bindings.rows import StoredBinding
from openpns.clock import Clock
from openpns.core import audit
from openpns.core.commit import OperatorEffect, change_revision, commit_as_operator
from openpns.errors import ConfigError
from openpns.numbers import service as numbers
from openpns.numbers.service import RESTING, StoredNumber
from openpns.numbers.wire import DISABLED
from openpns.phones import mask_phone
from openpns.storage.store import Statement, Store, Transaction, as_struct

_EACH: Final = 200

_CHOSEN: Final = "binding_list_chosen"
CHOSEN: Final = {
    "on_number": {"condition": "did = :did"},
    "older": {"condition": "created_ms < :created_before_ms"},
}
"""The bindings that a command ends; an index serves each in the order of `binding_seq`."""


async def remove_number(store: Store, clock: Clock, did: str, *, is_forced: bool) -> StoredNumber:
    """Take a virtual number from its customer; it rests before another one can get it.

    If it is forced, the number is disabled, its bindings are ended, and it is removed. A run that
    was interrupted can be repeated.

    Raises:
        ConfigError: No customer has it, or live bindings stand on it and it is not forced.
    """
    if is_forced:
        stored = await numbers.set_state(store, clock, did, DISABLED)
        chosen = {"customer_id": stored.customer_id, "did": stored.did}
        await _end_all(store, clock, "on_number", chosen)
    found = await numbers.get(store, did)
    did = found.did
    now_ms = clock()
    # Else they would be counted out later, perhaps of the same number that was added again.
    await ending.end_expired_of(store, found.customer_id, now_ms)

    def steps() -> Transaction[OperatorEffect[StoredNumber]]:
        stored = yield from numbers.lock_in_use(did)
        number = {"customer_id": stored.customer_id, "did": did}
        ((count,),) = yield Statement("binding_number_usage", number)
        if count:
            raise ConfigError(
                f"virtual number {mask_phone(did)}: {count} live bindings stand on it; drain it "
                "and wait, or end them with --force"
            )
        yield [
            Statement("number_set_state", number | {"state": RESTING, "now_ms": now_ms}),
            Statement("number_load_delete", number),
            Statement("audio_delete", number),
        ]
        removed = StoredNumber(
            did,
            stored.customer_id,
            stored.business_id,
            RESTING,
            stored.country,
            now_ms,
            bindings=None,
            extensions=None,
        )
        details = {"number": mask_phone(did), "forced": is_forced}
        return OperatorEffect(removed, stored.customer_id, details=details)

    return await commit_as_operator(store, "numbers.remove", steps)


async def end_bindings(
    store: Store, clock: Clock, customer_id: str, *, created_before_ms: int
) -> int:
    """End the bindings of a customer that were made before a time; return how many.

    Raises:
        ConfigError: The customer does not exist.
    """
    await customers.get(store, customer_id)
    chosen = {"customer_id": customer_id, "created_before_ms": created_before_ms}
    count = await _end_all(store, clock, "older", chosen)

    def steps() -> Transaction[OperatorEffect[int]]:
        yield from customers.must_exist(customer_id)
        details = {"ended": count, "createdBefore": created_before_ms // 1000}
        return OperatorEffect(count, customer_id, details=details)

    return await commit_as_operator(store, "bindings.end", steps)


async def hold(store: Store, clock: Clock, customer_id: str | None = None) -> int:
    """Let no call be connected until `confirm`; return how many customers that concerns.

    A restored backup revives bindings that have ended since it was made.

    Args:
        customer_id: Only this customer; all that have bindings if None.
    """
    now_ms = clock()

    def steps() -> Transaction[OperatorEffect[int]]:
        if customer_id is not None:
            yield from customers.must_exist(customer_id)
        held = yield Statement("binding_hold", {"customer_id": customer_id, "now_ms": now_ms})
        return OperatorEffect(
            len(held),
            customer_id or audit.NO_CUSTOMER,
            details={"customers": len(held)},
            is_change=bool(held),
        )

    return await commit_as_operator(store, "bindings.hold", steps)


async def confirm(store: Store, customer_id: str) -> bool:
    """Connect calls again after `hold`; return whether they were held.

    Raises:
        ConfigError: The customer does not exist.
    """

    def steps() -> Transaction[OperatorEffect[bool]]:
        yield from customers.must_exist(customer_id)
        released = yield Statement("binding_confirm", {"customer_id": customer_id})
        return OperatorEffect(bool(released), customer_id, is_change=bool(released))

    return await commit_as_operator(store, "bindings.confirm", steps)


async def count_held(store: Store) -> int:
    """Return how many customers' calls are held."""
    ((count,),) = await store.fetch("binding_held_count", {})
    return int(count)


async def _end_all(store: Store, clock: Clock, how: str, chosen: dict[str, Any]) -> int:
    """End all bindings that are chosen, in several transactions; return how many.

    Args:
        how: A key of CHOSEN.
        chosen: The customer, and the parameters of the condition.
    """
    wanted = Statement(f"{_CHOSEN}:{how}", {**chosen, "at_most": _EACH})
    count = 0
    while ended := await store.write(_end_some(chosen["customer_id"], wanted, clock())):
        count += ended
    return count


def _end_some(customer_id: str, wanted: Statement, now_ms: int) -> Callable[[], Transaction[int]]:
    def steps() -> Transaction[int]:
        found = yield wanted
        before = [as_struct(StoredBinding, row) for row in found]
        yield from ending.lock_groups(customer_id, before)
        yield Statement("customer_state_lock", {"customer_id": customer_id})
        seqs = {binding.binding_seq for binding in before}
        again = yield wanted
        bindings = [
            binding
            for row in again
            if (binding := as_struct(StoredBinding, row)).binding_seq in seqs
        ]
        if not bindings:
            return 0
        last = yield from ending.end(customer_id, bindings, ending.OPERATOR, now_ms)
        counts = ending.counted(bindings=-len(bindings))
        yield [change_revision(customer_id, "bindings", counts), *last]
        return len(bindings)

    return steps
