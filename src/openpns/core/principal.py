"""Who signs a request."""

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """Who signs: an access key that was checked, and its customer.

    Attributes:
        rate_per_s: Requests a second, 0 for any number; None if the key has no rate of its own.
        rate_burst: Requests at once; None for those of a second.
        unique_ts: The key's owner promises that no two requests of the key share a ts.
    """

    access_key: str
    customer_id: str
    is_read_only: bool = False
    rate_per_s: int | None = None
    rate_burst: int | None = None
    unique_ts: bool = False
