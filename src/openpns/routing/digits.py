"""Guessing of digits: wrong ones are counted, and pause digits for their caller.

Questions with digits of one caller on one virtual number take turns in a worker. Else each of many
questions at the same time would be answered before the wrong digits of the others are counted.

Many wrong digits of all callers on one virtual number only slow its answers and are logged. A pause
would let anybody silence the number.

Each caller's count has the number of the customer's wrong digits that it was last changed by. Those
too far behind the last one are deleted, or callers that nobody has could fill the table.

Source: docs/decisions/0043-bounded-traces.md.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from openpns.core import logs
from openpns.core.context import Context, Services
from openpns.core.expiry import delete_expired
from openpns.errors import BindingNotFound, Overloaded
from openpns.phones import find_country_code, mask_phone
from openpns.routing.outcomes import GUARDS_DROPPED, TOO_MANY
from openpns.storage.store import Statement, Transaction

WINDOW_MS: Final = 10 * 60_000
"""Wrong digits are counted from the first one on for so long."""

PAUSE_MS: Final = 60 * 60_000
"""How long digits are paused."""

WRONG_OF_ALL_MAX: Final = 100
"""Wrong digits of all callers on a virtual number within the window; after more, answers wait."""

SLOW_S: Final = 1.0

_OF_ALL: Final = ""
_SEQUENCE: Final = "digits"
_DROPPED_EACH: Final = 1000


def guarded_caller(caller: str, did: str) -> str:
    """Return a caller as wrong digits are counted for it: one text for all spellings of a phone.

    The country code of the virtual number may be missing, and zeros may stand before or after it.
    """
    country = find_country_code(did)
    return country + caller.lstrip("0").removeprefix(country).lstrip("0")


@asynccontextmanager
async def turn(context: Context, did: str, guarded: str) -> AsyncGenerator[None, None]:
    """Wait for the turn of a question with digits, among those of its caller in this worker.

    Raises:
        BindingNotFound: Too many wait already, or it waited too long.
    """
    turns, owner = context.services.digit_turns, f"{context.customer_id} {did} {guarded}"
    try:
        await turns.take(owner)
    except Overloaded:
        context.services.count(TOO_MANY, 1)
        raise BindingNotFound from None
    try:
        yield
    finally:
        turns.give(owner)


async def count_wrong(context: Context, did: str, guarded: str, now_ms: int) -> bool:
    """Count wrong digits of a caller on a virtual number, shared by all workers.

    Returns whether there are so many of all callers that the answer is to wait for SLOW_S.
    """
    row = {
        "customer_id": context.customer_id,
        "did": did,
        "now_ms": now_ms,
        "since_ms": now_ms - WINDOW_MS,
        "wrong_max": context.services.wrong_digits_max,
        "paused_until_ms": now_ms + PAUSE_MS,
    }
    taking = {"name": _SEQUENCE, "customer_ids": [context.customer_id], "counts": [1]}
    callers_max = context.services.wrong_digits_per_customer_max

    def steps() -> Transaction[tuple[int, int]]:
        ((_, next_seq),) = yield Statement("routing_sequence_take", taking)
        yield Statement("digit_guard_count", row | {"caller": guarded, "guard_seq": next_seq - 1})
        of_all = yield Statement(
            "digit_guard_count",
            row | {"caller": _OF_ALL, "paused_until_ms": 0, "guard_seq": None},
        )
        if next_seq <= callers_max:
            return int(of_all[0][0]), 0
        behind = {"last_seq": next_seq - callers_max - 1, "at_most": _DROPPED_EACH}
        dropped = yield Statement(
            "digit_guard_drop", {"customer_id": context.customer_id, **behind}
        )
        return int(of_all[0][0]), len(dropped)

    count, dropped = await context.store.write(steps, customer_id=context.customer_id)
    if dropped:
        context.services.count(GUARDS_DROPPED, dropped)
    if count == WRONG_OF_ALL_MAX + 1:  # one line for each window, not one for each guess
        logs.logger().warning(
            "many wrong digits on a virtual number",
            customer_id=context.customer_id,
            number=mask_phone(did),
            count=count,
        )
    return count > WRONG_OF_ALL_MAX


async def is_paused(context: Context, did: str, guarded: str, now_ms: int) -> bool:
    """Return whether digits are paused for a caller on a virtual number."""
    params = {"customer_id": context.customer_id, "did": did, "guarded": guarded}
    rows = await context.store.fetch("digit_guard_find", params)
    return bool(rows) and rows[0][0] > now_ms


async def delete_old(services: Services) -> None:
    """Delete counts whose window and pause are over."""
    now_ms = services.clock()
    params = {"now_ms": now_ms, "since_ms": now_ms - WINDOW_MS}
    await delete_expired(services, "digit_guard_clean", params)
