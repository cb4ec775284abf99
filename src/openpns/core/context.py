"""What an action is given besides its request: who calls, and what it works with."""

from dataclasses import dataclass, field

from openpns import limits
from openpns.clock import Clock
from openpns.core.rate_limits import RateLimits
from openpns.ids import IdSource
from openpns.storage.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """What every action works with.

    Args:
        store: The database.
        ids: Where new identifiers come from.
        clock: The wall clock.
        phones_in_group_max: How many numbers a group may hold.
        phones_in_request_max: How many numbers one request may carry.
        body_bytes_max: How many bytes a body may have.
        rates: How often each key may call.
    """

    store: Store
    ids: IdSource
    clock: Clock
    phones_in_group_max: int = limits.PHONES_IN_GROUP_MAX
    phones_in_request_max: int = limits.PHONES_IN_REQUEST_MAX
    body_bytes_max: int = limits.BODY_BYTES_MAX
    rates: RateLimits = field(default_factory=RateLimits)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: an access key that was checked, and its customer.

    Args:
        access_key: The key.
        customer_id: The customer.
        version: The version of the customer's data when the key was read.
        has_gaps: Whether groups of the customer's were deleted, as far as is known: tells where
            to look for a page first.
        rate_per_s: How many calls a second the key may make, 0 for any number; None where it has
            no rate of its own.
        rate_burst: How many of them may come at once; None for those of a second.
        signature: The request's signature; empty for what came without a request.
        ts_ms: The request's own time.
        is_read_only: Whether the key may only read.
        request_id: The id that the server gave the request; empty for what came without one.
    """

    access_key: str
    customer_id: str
    version: int = 0
    has_gaps: bool = False
    rate_per_s: int | None = None
    rate_burst: int | None = None
    signature: str = field(default="", repr=False)
    ts_ms: int = 0
    is_read_only: bool = False
    request_id: str = ""
