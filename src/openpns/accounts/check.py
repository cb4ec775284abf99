"""What `openpns verify` checks of customers and access keys."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import Final

from openpns.accounts import key_values
from openpns.core.verify import Report
from openpns.errors import ConfigError
from openpns.storage.store import Store

_ROWS_EACH: Final = 256
_PREFIX_CHARS: Final = 8
"""Of a key whose row may be anything."""

_FAULTS: Final = {
    "customer": "customer {customer}: has no state",
    "unaudited": "customer {customer}: has no audit entry, not even that of its creation",
    "key": "access key {key}: its secret is empty",
    "orphan": "access key {key}: its customer {customer} does not exist",
}


async def check_accounts(store: Store, report: Report) -> Mapping[str, int]:
    """Check customers and access keys.

    Each customer has a state and an audit entry; each key a customer, a secret, and lists that can
    be read, or else its requests fail.
    """
    counts: Counter[str] = Counter()
    async with aclosing(store.stream("account_check", {}, _ROWS_EACH)) as slices:
        async for rows in slices:
            for kind, customer_id, access_key, is_sound, addresses, actions in rows:
                counts[kind] += 1
                if not is_sound:
                    report(_FAULTS[kind].format(customer=customer_id, key=access_key))
                for name in _wrong_lists(addresses, actions):
                    begin = access_key[:_PREFIX_CHARS]
                    report(f"access key {begin}…: its allowed {name} cannot be read")
    return {"customers": counts["customer"], "accessKeys": counts["key"]}


def _wrong_lists(addresses: str | None, actions: str | None) -> Iterator[str]:
    """Return which lists of an access key nobody could have given it."""
    lists = (
        ("addresses", addresses, key_values.addresses_text),
        ("actions", actions, key_values.actions_text),
    )
    for name, stored, text_of in lists:
        if stored is not None:
            try:
                text_of(stored.split(","))
            except ConfigError:
                yield name
