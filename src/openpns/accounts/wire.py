"""getLimits on the wire."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from openpns.protocol.fields import RequestBody, text


class GetLimits(RequestBody, frozen=True):
    """Return every bound that applies to the access key."""


class Limit(msgspec.Struct):
    """A bound that applies to an access key."""

    name: Annotated[str, text("What is bounded.")]
    max: Annotated[int | None, text("The bound; null for none.")]
    used: (
        Annotated[int, text("How much of it is used; missing if nothing is used up.")] | UnsetType
    ) = UNSET


class LimitList(msgspec.Struct):
    """The `data` of getLimits."""

    limits: Annotated[list[Limit], text("Every bound that applies to the access key.")]
    schemes: Annotated[
        list[str], text("Values of the header `algorithm` that the access key may use.")
    ] = []
