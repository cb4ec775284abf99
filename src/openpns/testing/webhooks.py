"""The webhooks of the emulator: the server's own code delivers to the tests' receiver.

It is loaded when a test uses webhooks: it loads the HTTP client. Everything here runs on the
emulator's event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec

from openpns.accounts.secret_box import SecretBox
from openpns.client.delivery_requests import WireDelivery, as_delivery
from openpns.client.delivery_types import Delivery
from openpns.core import logs
from openpns.core.context import Services
from openpns.deliveries import endpoints, listing, operations, rows
from openpns.deliveries.deliverer import Deliverer
from openpns.deliveries.rows import StoredWebhook
from openpns.deliveries.sending import Sender
from openpns.deliveries.settings import DeliverySettings, sending_settings
from openpns.deliveries.signature import new_secret, secret_owner
from openpns.deliveries.wire import ACTIVE, WEBHOOK_ID_PREFIX
from openpns.errors import ConfigError, WireError
from openpns.routing import traces
from openpns.storage.store import Statement, Transaction
from openpns.testing.state_file import WebhookState

_CANCEL_S: Final = 0.5
"""How long a task that is cancelled may go on until it is cancelled again."""
_PAGE: Final = 1000


class EmulatedWebhooks:
    """The webhooks and deliveries of all customers of an emulator.

    Args:
        must_exist: Raises ConfigError for a customer that does not exist.
    """

    def __init__(
        self,
        services: Services,
        secret_box: SecretBox,
        settings: DeliverySettings,
        must_exist: Callable[[str], Awaitable[None]],
    ) -> None:
        self._services = services
        self._store = services.store
        self._clock = services.clock
        self._secret_box = secret_box
        self._settings = settings
        self._must_exist = must_exist
        self._deliverers: list[Deliverer] = []
        self._turn = asyncio.Lock()
        self._deliverer: Deliverer | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    async def set(
        self,
        customer_id: str,
        url: str,
        kinds: Sequence[str] | None,
        state: str,
        secret: str | None,
    ) -> str:
        """Set a webhook; return its secret."""
        await self._must_exist(customer_id)
        if state not in endpoints.STATES:
            raise ConfigError(f"state: allowed are {' and '.join(endpoints.STATES)}")
        box, clock = self._secret_box, self._clock
        webhook, new = await endpoints.set_webhook(
            self._store, box, clock, customer_id, url, kinds, http_allowed=True, secret=secret
        )
        if webhook.state != state:
            await endpoints.set_state(self._store, clock, customer_id, state)
        if new is not None:
            return new.secret
        current = self._decrypt((await self._find(customer_id)).secret_ciphertext, customer_id)
        if secret in (None, current):
            return current
        rotated = await endpoints.rotate_secret(
            self._store, box, clock, customer_id, 0, secret=secret
        )
        return rotated.secret

    async def rotate_secret(self, customer_id: str, grace_s: float) -> str:
        """Give a webhook a new secret; return it."""
        await self._find(customer_id)
        grace_ms = round(grace_s * 1000)
        if grace_ms < 0:
            raise ConfigError("grace_s: allowed is 0 or more")
        new = await endpoints.rotate_secret(
            self._store, self._secret_box, self._clock, customer_id, grace_ms
        )
        return new.secret

    async def add_test_event(self, customer_id: str) -> str:
        """Queue a test event; return its `webhook-id`."""
        await self._find(customer_id)
        services = self._services
        delivery_id = await operations.add_test(
            self._store, self._clock, services.ids, customer_id, services.webhook_time_zone
        )
        return WEBHOOK_ID_PREFIX + delivery_id

    async def deliveries(self, customer_id: str) -> list[Delivery]:
        """Return a customer's deliveries, newest first."""
        await self._must_exist(customer_id)
        await traces.store(self._services)
        found: list[Delivery] = []
        after: str | None = ""
        while after is not None:
            page = await listing.read_page(self._store, customer_id, _PAGE, after, None)
            sent = msgspec.convert(msgspec.to_builtins(page.deliveries), list[WireDelivery])
            found += map(as_delivery, sent)
            after = page.next
        return found

    async def deliver(self) -> int:
        """Make every attempt that is due; return how many were made."""
        task: asyncio.Task[int] = self._start(self._deliver())
        try:
            return await task
        except asyncio.CancelledError:
            if not self._is_closed:
                raise
        raise RuntimeError("the emulator was reset or stopped while it delivered")

    def run(self) -> None:
        """Deliver in the background from now on, as the server does."""
        self._start(self._new_deliverer().run())
        self._start(self._store_traces())

    async def put(self, customer_id: str, webhook: WebhookState) -> None:
        """Store a webhook of a state."""
        previous = webhook.previous_secret
        first = (webhook.secret or None) if previous is None else previous
        await self.set(customer_id, webhook.url, webhook.kinds, ACTIVE, first)
        if previous is not None:
            await endpoints.replace_secret(
                self._store,
                self._secret_box,
                customer_id,
                webhook.secret or new_secret(),
                now_ms=self._clock(),
                until_ms=webhook.previous_until_ms,
            )
        if webhook.state == ACTIVE:
            return
        params = {"customer_id": customer_id, "state": webhook.state, "now_ms": self._clock()}

        def steps() -> Transaction[None]:
            yield Statement("webhook_set_state", params)

        await self._store.write(steps)

    async def dump(self, customer_id: str) -> WebhookState | None:
        """Return a webhook for a state; None if there is none."""
        found = await rows.find(self._store, customer_id)
        if found is None:
            return None
        previous = found.previous_ciphertext
        values = {
            "url": found.url,
            "secret": self._decrypt(found.secret_ciphertext, customer_id),
            "kinds": found.kinds.split(","),
            "state": found.state,
            "previousSecret": None if previous is None else self._decrypt(previous, customer_id),
            "previousUntilMs": found.previous_until_ms or 0,
        }
        return msgspec.convert(values, WebhookState)

    async def close(self) -> None:
        """End all attempts; what is in flight is lost with the database."""
        self._is_closed = True
        for deliverer in self._deliverers:
            deliverer.stop()
        left = {*self._tasks}
        while left:  # before Python 3.12, asyncio.wait_for may lose a cancellation
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=_CANCEL_S)
        for deliverer in self._deliverers:
            await deliverer.close()

    async def _deliver(self) -> int:
        async with self._turn:
            if self._deliverer is None:
                # One event at a time, so that a test sees them in the same order in each run.
                self._deliverer = self._new_deliverer(webhook_requests_per_customer_max=1)
            await traces.store(self._services)
            return await self._deliverer.run_once()

    async def _store_traces(self) -> None:
        while True:
            await asyncio.sleep(traces.STORE_S)
            try:
                await traces.store(self._services)
            except WireError as error:  # the next turn repeats it
                logs.logger().warning("traces of calls not stored", why=error.msg)

    async def _find(self, customer_id: str) -> StoredWebhook:
        await self._must_exist(customer_id)
        found = await rows.find(self._store, customer_id)
        if found is None:
            raise ConfigError(f"customer {customer_id!r}: has no webhook; use set_webhook first")
        return found

    def _new_deliverer(self, **changes: int) -> Deliverer:
        settings = msgspec.structs.replace(self._settings, **changes)
        # An idle connection is not in the event loop's selector, so a forked child would keep it.
        sending = msgspec.structs.replace(sending_settings(settings), idle_per_receiver_max=0)
        sender = Sender(sending, self._clock)
        deliverer = Deliverer(self._store, self._secret_box, settings, self._clock, sender=sender)
        self._deliverers.append(deliverer)
        return deliverer

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _decrypt(self, ciphertext: bytes, customer_id: str) -> str:
        return self._secret_box.decrypt(ciphertext, secret_owner(customer_id)).decode()
