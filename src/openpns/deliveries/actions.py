"""The rows of the registry for webhooks and deliveries."""

from typing import Final

from openpns import limits
from openpns.core.actions import Action
from openpns.deliveries import listing, service, wire

_DELIVERIES_EACH: Final = 100
_SINCE_UNITS: Final = 10


def _cost_of_list(request: wire.ListDeliveries) -> int:
    deliveries = request.limit or limits.DELIVERIES_IN_PAGE_MAX
    return max(-(-deliveries // _DELIVERIES_EACH), 1)


def _cost_of_resend(request: wire.ResendDelivery) -> int:
    return 1 if request.since is None else _SINCE_UNITS


ACTIONS: Final[dict[str, Action]] = {
    "getWebhook": Action(wire.GetWebhook, listing.get_webhook, answer=wire.WebhookInfo),
    "listDeliveries": Action(
        wire.ListDeliveries, listing.list_deliveries, answer=wire.DeliveryPage, cost=_cost_of_list
    ),
    "resendDelivery": Action(
        wire.ResendDelivery,
        service.resend_delivery,
        answer=wire.Resent,
        is_write=True,
        cost=_cost_of_resend,
    ),
}
