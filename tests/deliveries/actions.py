"""Short forms of what operators and customers do with webhooks, for tests."""

from collections.abc import Sequence
from typing import Any

from openpns.accounts.secret_box import SecretBox
from openpns.core import outbox
from openpns.core.context import Context
from openpns.core.outbox import Event
from openpns.deliveries import endpoints, listing, service
from openpns.deliveries.endpoints import NewSecret
from openpns.deliveries.rows import Webhook
from openpns.deliveries.signature import secret_owner
from openpns.deliveries.wire import DeliveryPage
from openpns.storage.store import Statement, Transaction

URL = "https://example.com/hooks"
BODY = b'{"id":1}'


class Webhooks:
    """The webhook and the deliveries of one customer."""

    def __init__(self, context: Context, secret_box: SecretBox) -> None:
        self.context = context
        self.store, self.clock = context.store, context.clock
        self.customer_id = context.customer_id
        self._secret_box = secret_box

    async def set(
        self, url: str = URL, kinds: Sequence[str] | None = None, **options: Any
    ) -> tuple[Webhook, NewSecret | None]:
        return await endpoints.set_webhook(
            self.store, self._secret_box, self.clock, self.customer_id, url, kinds, **options
        )

    async def set_state(self, state: str) -> Webhook:
        return await endpoints.set_state(self.store, self.clock, self.customer_id, state)

    async def rotate(self, grace_ms: int = 1000, secret: str | None = None) -> NewSecret:
        return await endpoints.rotate_secret(
            self.store, self._secret_box, self.clock, self.customer_id, grace_ms, secret=secret
        )

    async def secrets(self) -> list[str]:
        """Return the secrets as they are stored, the newest first."""
        found = await endpoints.get(self.store, self.customer_id)
        return [
            self._secret_box.decrypt(ciphertext, secret_owner(self.customer_id)).decode()
            for ciphertext in (found.secret_ciphertext, found.previous_ciphertext)
            if ciphertext is not None
        ]

    async def add(self, kind: str = "callRecord", event_id: str | None = None) -> str:
        """Store an event for the webhook; return its id."""
        event = Event(event_id or self.context.services.ids.request_id(), kind, BODY)

        def steps() -> Transaction[None]:
            yield outbox.add(self.customer_id, event, self.clock())

        await self.store.write(steps)
        return event.event_id

    async def page(self, limit: int = 0, **fields: Any) -> DeliveryPage:
        return await listing.list_deliveries(self.context, limit=limit, **fields)

    async def ids(self, **fields: Any) -> list[str]:
        return [delivery.id for delivery in (await self.page(**fields)).deliveries]

    async def resend(self, delivery_id: str | None = None, since: int | None = None) -> int:
        resent = await service.resend_delivery(self.context, delivery_id=delivery_id, since=since)
        return resent.count


def master_key_check(secret_box: SecretBox) -> Transaction[None]:
    """Store the text by which the master key is recognised: steps."""
    check = secret_box.encrypt(b"openpns", "master key check")
    yield Statement("master_key_check_create", {"ciphertext": check})
