"""What `openpns verify` checks of customers and access keys."""

from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

from openpns.core.verify import Report
from openpns.storage.store import Store

_ROWS_EACH: Final = 256

_FAULTS: Final = {
    "customer": "customer {customer}: has no state",
    "unaudited": "customer {customer}: has no audit entry, not even that of its creation",
    "key": "access key {key}: its secret is empty",
    "orphan": "access key {key}: its customer {customer} does not exist",
}


async def check_accounts(store: Store, report: Report) -> Mapping[str, int]:
    """Check that each customer has a state and an audit entry, each key a customer and a secret."""
    counts: Counter[str] = Counter()
    async with aclosing(store.stream("account_check", {}, _ROWS_EACH)) as slices:
        async for rows in slices:
            for kind, customer_id, access_key, is_sound in rows:
                counts[kind] += 1
                if not is_sound:
                    report(_FAULTS[kind].format(customer=customer_id, key=access_key))
    return {"customers": counts["customer"], "accessKeys": counts["key"]}
