"""The webhook of an emulator's own customer, with deliveries."""

from tests.deliveries.actions import URL, Webhooks

from openpns.core.context import Context
from openpns.core.principal import Principal
from openpns.deliveries.wire import ACTIVE, DISABLED
from openpns.testing import Emulator


def add_webhook(emulator: Emulator) -> list[str]:
    """Add a webhook with two failed deliveries and a newer, pending one; return their ids."""
    service = emulator._service
    context = Context(service._services, Principal("", emulator.customer_id))
    webhooks = Webhooks(context, service._secret_box)

    async def fill() -> list[str]:
        await webhooks.set(URL)
        await webhooks.set_state(DISABLED)
        failed = [await webhooks.add() for _ in range(2)]
        await webhooks.set_state(ACTIVE)
        return [*failed, await webhooks.add("unboundCall")]

    return emulator._run(fill())
