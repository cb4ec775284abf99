"""Fixtures: webhooks of customers, and a deliverer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from tests import direct
from tests.conftest import FakeClock
from tests.deliveries.actions import Webhooks, master_key_check
from tests.deliveries.hook_server import add_customer, add_events, add_webhook

from openpns.accounts.secret_box import SecretBox
from openpns.core.context import Context
from openpns.deliveries.deliverer import Deliverer
from openpns.deliveries.settings import DeliverySettings
from openpns.storage.store import Store


@pytest.fixture
def query(database_url: str) -> direct.Query:
    """Return a function that runs SQL on the test's database, without openpns."""
    return partial(direct.query, database_url)


Hook = Callable[..., Awaitable[str]]
Add = Callable[..., Awaitable[None]]
Make = Callable[..., Deliverer]


@pytest.fixture
def hook(store: Store, database_url: str, secret_box: SecretBox) -> Hook:
    """Adds a customer with a webhook at a URL; returns its secret."""

    async def add(customer_id: str, url: str, **options: Any) -> str:
        await add_customer(store, customer_id)
        return await add_webhook(database_url, secret_box, customer_id, url, **options)

    return add


@pytest.fixture
def add(store: Store, clock: FakeClock) -> Add:
    """Adds events with some ids for a customer."""

    async def add_some(customer_id: str, *ids: int) -> None:
        await store.write(add_events(customer_id, ids, clock.now_ms))

    return add_some


@pytest.fixture
async def make(
    store: Store, database_url: str, secret_box: SecretBox, clock: FakeClock
) -> AsyncIterator[Make]:
    """Makes deliverers on the test's database and clock, which may send to loopback by http."""
    made: list[Deliverer] = []

    def begin(owner: str | None = None, **settings: Any) -> Deliverer:
        allowed = {"webhook_http_allowed": "on", "webhook_networks_allowed": "127.0.0.0/8"}
        given: dict[str, Any] = {"database": database_url} | allowed | settings
        made.append(Deliverer(store, secret_box, DeliverySettings(**given), clock, owner=owner))
        return made[-1]

    yield begin
    for deliverer in made:
        await deliverer.close()


@pytest.fixture
async def secret_box(store: Store) -> SecretBox:
    """The secret box that the database is used with."""
    secret_box = SecretBox([b"k" * 32])
    await store.write(lambda: master_key_check(secret_box))
    return secret_box


@pytest.fixture
def mine(context: Context, secret_box: SecretBox) -> Webhooks:
    return Webhooks(context, secret_box)


@pytest.fixture
def theirs(stranger: Context, secret_box: SecretBox) -> Webhooks:
    return Webhooks(stranger, secret_box)
