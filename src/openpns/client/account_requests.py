"""The requests about the access key's own account."""

from typing import Any

import msgspec
from msgspec import UNSET

from openpns.accounts.wire import LimitList
from openpns.client.requests import Request


class Limit(msgspec.Struct, frozen=True):
    """A bound that applies to the access key; None for no bound, or if nothing is used up."""

    max: int | None
    used: int | None


def get_limits() -> Request[dict[str, Limit]]:
    """Return every bound that applies to the access key, by name. An extension of openpns.

    Raises:
        ParameterError: The server does not know the action.
    """

    def read(envelope: dict[str, Any]) -> dict[str, Limit]:
        return {
            limit.name: Limit(limit.max, None if limit.used is UNSET else limit.used)
            for limit in msgspec.convert(envelope.get("data"), LimitList).limits
        }

    return Request("getLimits", {}, read, is_read=True, is_extension=True)
