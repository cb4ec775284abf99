"""The requests about the access key's own account."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from openpns.accounts.wire import LimitList
from openpns.client.requests import Request


class Limit(msgspec.Struct, frozen=True):
    """A bound that applies to the access key; None for no bound, or if nothing is used up."""

    max: int | None
    used: int | None


class Limits(dict[str, Limit]):
    """Every bound that applies to the access key, by name.

    Attributes:
        schemes: Values of the header `algorithm` that the access key may use; none if the server
            does not say.
    """

    def __init__(self, limits: Mapping[str, Limit], schemes: Sequence[str] = ()) -> None:
        super().__init__(limits)
        self.schemes = tuple(schemes)


def get_limits() -> Request[Limits]:
    """Return every bound that applies to the access key, by name. An extension of openpns.

    Raises:
        ParameterError: The server does not know the action.
    """

    def read(envelope: dict[str, Any]) -> Limits:
        found = msgspec.convert(envelope.get("data"), LimitList)
        limits = {
            limit.name: Limit(limit.max, None if limit.used is UNSET else limit.used)
            for limit in found.limits
        }
        return Limits(limits, found.schemes)

    return Request("getLimits", {}, read, is_read=True, is_extension=True)
