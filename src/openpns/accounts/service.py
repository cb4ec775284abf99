"""The rule of getLimits.

Source: docs/api/getLimits.md.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from openpns import limits
from openpns.accounts.wire import Limit, LimitList
from openpns.core.context import Context

CountLimits: TypeAlias = Callable[[Context], Awaitable[Sequence[Limit]]]
"""Return a feature's own bounds; the registry passes it in."""


async def get_limits(context: Context, *, of_features: Sequence[CountLimits]) -> LimitList:
    """Return every bound that applies to the principal, how much is used, and how it may sign.

    The bounds `of_features` come first, in this order.
    """
    found = [limit for count in of_features for limit in await count(context)]
    rates = context.services.rates
    rate, of_customer = rates.usage(context.principal), rates.customer_usage(context.principal)
    return LimitList(
        [
            *found,
            Limit("clientTokenChars", limits.CLIENT_TOKEN_CHARS_MAX),
            Limit("bodyBytes", context.services.body_bytes_max),
            Limit("tsSkewMs", limits.TS_SKEW_MS_MAX),
            Limit("callsPerSecond", rate.per_s),
            Limit("callsAtOnce", rate.burst, rate.used),
            Limit("customerCallsPerSecond", of_customer.per_s),
            Limit("customerCallsAtOnce", of_customer.burst, of_customer.used),
        ],
        [*context.principal.schemes],
    )
