"""Request context: the services, the authenticated principal and the facts of the request."""

from dataclasses import dataclass, field

import msgspec

from openpns import limits
from openpns.clock import Clock
from openpns.core.principal import Principal
from openpns.core.rate_limits import RateLimits
from openpns.ids import IdSource
from openpns.kit.turns import Places
from openpns.storage.store import Store


def make_large_reads(
    waiting_per_customer_max: int = limits.WAITING_PER_CUSTOMER_MAX,
    timeout_s: float = limits.STORAGE_TIMEOUT_MS / 1000,
) -> Places:
    """Return the places of large reads: one for each customer."""
    of_all = limits.REQUESTS_IN_FLIGHT_MAX
    return Places("large reads", of_all, 1, waiting_per_customer_max, timeout_s)


@dataclass(frozen=True, slots=True)
class Services:
    """What every rule works with.

    The bounds per customer are quotas of customers without quotas of their own; 0 for none.

    Attributes:
        phones_in_request_max: Includes repeats.
        large_reads: One of each customer at a time: the event loop takes milliseconds for each, and
            does what it has for others in between.
        key_used_ms: When access keys were used, as far as that is not stored yet.
    """

    store: Store
    ids: IdSource
    clock: Clock
    phones_in_group_max: int = limits.PHONES_IN_GROUP_MAX
    phones_in_request_max: int = limits.PHONES_IN_REQUEST_MAX
    groups_per_customer_max: int = limits.GROUPS_PER_CUSTOMER_MAX
    phones_per_customer_max: int = limits.PHONES_PER_CUSTOMER_MAX
    bytes_per_customer_max: int = limits.BYTES_PER_CUSTOMER_MAX
    body_bytes_max: int = limits.BODY_BYTES_MAX
    rates: RateLimits = field(default_factory=RateLimits)
    large_reads: Places = field(default_factory=make_large_reads)
    key_used_ms: dict[str, int] = field(default_factory=dict)


class RequestFacts(msgspec.Struct, frozen=True):
    """What identifies a request; empty if a rule does not run for a request of the API."""

    request_id: str = ""
    signature: str = ""
    ts_ms: int = 0
    client_token: str | None = None
    nonce: str = ""

    def __repr__(self) -> str:  # without the signature, the token and the nonce
        return f"RequestFacts(request_id={self.request_id!r})"


class Context(msgspec.Struct, frozen=True):
    """The first parameter of every rule."""

    services: Services
    principal: Principal
    request: RequestFacts = RequestFacts()

    @property
    def store(self) -> Store:
        """The database."""
        return self.services.store

    @property
    def clock(self) -> Clock:
        """The wall clock."""
        return self.services.clock

    @property
    def customer_id(self) -> str:
        """The customer whose data the rule reads and writes."""
        return self.principal.customer_id
