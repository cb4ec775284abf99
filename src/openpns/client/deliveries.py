"""The methods of both clients for webhooks and deliveries. Extensions of openpns."""

from collections.abc import AsyncGenerator, Iterator

from openpns import limits
from openpns.client import delivery_requests
from openpns.client.delivery_types import Delivery, DeliveryState
from openpns.client.methods import AsyncMethods, Method, SyncMethods
from openpns.client.pages import DeliveryPager


class _WebhookMethods:
    get = Method(delivery_requests.get_webhook)


class Webhooks(_WebhookMethods, SyncMethods):
    """The webhook of a `Client`."""


class AsyncWebhooks(_WebhookMethods, AsyncMethods):
    """The webhook of an `AsyncClient`."""


class _DeliveryMethods:
    list = Method(delivery_requests.list_deliveries)
    resend = Method(delivery_requests.resend_delivery)


class Deliveries(_DeliveryMethods, SyncMethods):
    """The deliveries of a `Client`."""

    def iterate(
        self, page_size: int = limits.DELIVERIES_IN_PAGE_MAX, *, state: DeliveryState | None = None
    ) -> Iterator[Delivery]:
        """Return every delivery, or those in a state, page by page, newest first.

        Events that occur during the iteration are not returned.

        Raises:
            ValueError: page_size is not from 1 to 1000.
        """
        return self._pages(DeliveryPager(page_size, state))


class AsyncDeliveries(_DeliveryMethods, AsyncMethods):
    """The deliveries of an `AsyncClient`."""

    def iterate(
        self, page_size: int = limits.DELIVERIES_IN_PAGE_MAX, *, state: DeliveryState | None = None
    ) -> AsyncGenerator[Delivery, None]:
        """Return every delivery, page by page, newest first; see `Deliveries.iterate`."""
        return self._pages(DeliveryPager(page_size, state))
