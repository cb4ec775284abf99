"""The rows of the registry for accounts."""

from collections.abc import Sequence
from functools import partial

from openpns.accounts import service, wire
from openpns.accounts.service import CountLimits
from openpns.core.actions import Action


def actions(of_features: Sequence[CountLimits]) -> dict[str, Action]:
    """Return the rows; `of_features` are the bounds that getLimits returns besides its own."""
    rule = partial(service.get_limits, of_features=of_features)
    return {"getLimits": Action(wire.GetLimits, rule, answer=wire.LimitList)}
