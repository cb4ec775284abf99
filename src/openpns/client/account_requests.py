"""The requests about the access key's own account."""

from typing import Any

import msgspec

from openpns.client.requests import Request


class Limit(msgspec.Struct, frozen=True):
    """A bound that applies to the access key; None if there is no bound, or nothing to use up."""

    name: str
    max: int | None
    used: int | None = None


class _LimitList(msgspec.Struct):
    limits: list[Limit]


def get_limits() -> Request[dict[str, Limit]]:
    """Return every bound that applies to the access key, by name. An extension of openpns.

    Raises:
        ParameterError: The server does not know the action.
    """

    def read(envelope: dict[str, Any]) -> dict[str, Limit]:
        data = msgspec.convert(envelope.get("data"), _LimitList)
        return {limit.name: limit for limit in data.limits}

    return Request("getLimits", {}, read, is_read=True, is_extension=True)
