"""The rule of listNumbers.

Source: docs/api/listNumbers.md.
"""

from collections.abc import Sequence

from openpns import limits
from openpns.accounts.wire import Limit
from openpns.core.context import Context
from openpns.numbers.service import parse_did
from openpns.numbers.wire import ACTIVE, Number, NumberPage


async def list_numbers(
    context: Context,
    *,
    limit: int,
    after: str | None = None,
    did: str | None = None,
    state: str | None = None,
) -> NumberPage:
    """Return a page of the customer's virtual numbers, by number.

    The parameters are the fields of `wire.ListNumbers`.

    Raises:
        ParameterError: did is not a number with an assigned country code.
    """
    limit = limit or limits.NUMBERS_IN_PAGE_MAX
    params = {
        "customer_id": context.customer_id,
        "after": after or "",
        "did": None if did is None else parse_did(did, "did"),
        "state": state,
        "limit": limit + 1,  # one more shows whether there is a next page
    }
    async with context.read_turn(limit):
        rows = await context.store.fetch("number_list", params)
    numbers = [_as_number(context.services.bindings_per_number_max, *row) for row in rows[:limit]]
    return NumberPage(numbers, numbers[-1].did if len(rows) > limit else None)


def _as_number(
    bindings_max: int, did: str, business_id: str, state: str, country: str, bindings: int
) -> Number:
    room = max(0, bindings_max - bindings) if state == ACTIVE else 0
    return Number(did, business_id, state, country, bindings, room)


async def number_limits(context: Context) -> Sequence[Limit]:
    """Return the bounds on virtual numbers, and how many the customer has."""
    ((count,),) = await context.store.fetch("number_usage", {"customer_id": context.customer_id})
    return [
        Limit("virtualNumbers", None, count),
        Limit("virtualNumbersInPage", limits.NUMBERS_IN_PAGE_MAX),
        Limit("bindingsOnNumber", context.services.bindings_per_number_max),
    ]
