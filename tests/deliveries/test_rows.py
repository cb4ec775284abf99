"""Webhooks as they are stored, and their secrets in a rotation of the master key."""

import pytest
from tests.conftest import FakeClock

from openpns.accounts import master_key
from openpns.accounts.secret_box import SecretBox, new_master_key
from openpns.api.registry import SECRETS
from openpns.core.principal import Principal
from openpns.deliveries import endpoints
from openpns.errors import InternalError
from openpns.storage.store import Store, database_path


async def test_rotate_encrypts_webhook_secrets_with_the_new_key(
    store: Store, database_url: str, principal: Principal, clock: FakeClock
) -> None:
    variable = None if database_path(database_url) else new_master_key()

    async def secrets(secret_box: SecretBox) -> list[str]:
        found = await endpoints.get(store, "cus_1")
        assert found.previous_ciphertext is not None
        return [
            secret_box.decrypt(ciphertext, "webhook:cus_1").decode()
            for ciphertext in (found.secret_ciphertext, found.previous_ciphertext)
        ]

    before = await master_key.open_secret_box(store, database_url, variable)
    await endpoints.set_webhook(store, before, clock, "cus_1", "https://example.com/")
    made = await endpoints.rotate_secret(store, before, clock, "cus_1", grace_ms=1000)
    stored = await secrets(before)
    assert stored[0] == made.secret
    newest = None if variable is None else new_master_key()
    both = variable and f"{newest},{variable}"
    counts = await master_key.rotate(store, database_url, both, SECRETS)
    assert counts == {"accessKeys": 0, "webhooks": 1}
    after = await master_key.open_secret_box(store, database_url, newest)
    assert await secrets(after) == stored
    if newest is not None:
        with pytest.raises(InternalError):
            await secrets(before)
