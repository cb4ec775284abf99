"""Who signs a request."""

import msgspec

from openpns.protocol import signing


class Principal(msgspec.Struct, frozen=True):
    """Who signs: an access key that was checked, and its customer.

    Attributes:
        rate_per_s: Requests a second, 0 for any number; None if the key has no rate of its own.
        rate_burst: Requests at once; None for those of a second.
        unique_ts: The key's owner promises that no two requests of the key share a ts.
        allowed_actions: The actions that it may use; None for every one.
        schemes: The values of the header `algorithm` that are accepted.
    """

    access_key: str
    customer_id: str
    is_read_only: bool = False
    rate_per_s: int | None = None
    rate_burst: int | None = None
    unique_ts: bool = False
    allowed_actions: frozenset[str] | None = None
    schemes: tuple[str, ...] = signing.SCHEMES
