"""What `openpns verify` checks of webhooks and deliveries."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import msgspec

from openpns import limits
from openpns.core.verify import Report
from openpns.deliveries.listing import is_delivery_id
from openpns.deliveries.wire import ACTIVE, DISABLED, GONE, KINDS, STATES, TEST
from openpns.storage.store import Store

_ROWS_EACH: Final = 256
_WEBHOOK: Final = "webhook"
_NAMES: Final = {_WEBHOOK: "webhooks", "delivery": "deliveries"}


async def check_deliveries(store: Store, report: Report) -> Mapping[str, int]:
    """Check webhooks and deliveries.

    Each webhook has a URL that may be one, kinds and a state that are known, and secrets under the
    master key that the database is used with; each delivery a webhook, an id, a kind and a state
    that are known, and a JSON object.
    """
    counts = Counter(dict.fromkeys(_NAMES.values(), 0))
    async with aclosing(store.stream("delivery_check", {}, _ROWS_EACH)) as slices:
        async for rows in slices:
            for what, customer_id, delivery_id, *rest in rows:
                counts[_NAMES[what]] += 1
                if what == _WEBHOOK:
                    url, kinds, state, _, _, _, is_sound = rest
                    where, faults = "webhook", _faults(url, kinds, state, is_sound)
                else:
                    where = f"delivery {delivery_id}"
                    faults = _faults_of_delivery(delivery_id, *rest[1:])
                for fault in faults:
                    report(f"customer {customer_id}, {where}: {fault}")
    return dict(counts)


def _faults(url: str, kinds: str, state: str, is_sound: int) -> Iterator[str]:
    if not url.startswith(("https://", "http://")) or len(url) > limits.WEBHOOK_URL_CHARS_MAX:
        yield "its URL is none that may be set"
    if not set(kinds.split(",")) <= {*KINDS}:
        yield "its kinds are not known"
    if state not in (ACTIVE, DISABLED, GONE):
        yield "its state is not known"
    if not is_sound:
        yield "its secrets are not encrypted under the database's master key"


def _faults_of_delivery(
    delivery_id: str,
    kind: str,
    state: str,
    body: str,
    tries: int,
    round_tries: int,
    has_webhook: int,
) -> Iterator[str]:
    if not is_delivery_id(delivery_id):
        yield "its id is not one"
    if kind not in (*KINDS, TEST):
        yield "its kind is not known"
    if state not in STATES:
        yield "its state is not known"
    if not 0 <= round_tries <= tries:
        yield "its tries are miscounted"
    if not has_webhook:
        yield "the customer has no webhook"
    if not _is_object(body):
        yield "its body is no JSON object"


def _is_object(body: Any) -> bool:
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, TypeError, RecursionError, UnicodeError):
        return False
    return True
