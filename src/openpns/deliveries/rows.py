"""Webhooks as they are stored. The server imports this; it does not load what parses URLs."""

import msgspec

from openpns.accounts.master_key import Reencrypt
from openpns.deliveries.signature import secret_owner
from openpns.storage.store import Statement, Store, Transaction, as_struct


class Webhook(msgspec.Struct, frozen=True):
    """A webhook as the operator sees it: without its secrets.

    Attributes:
        state: `active`, `disabled`, or `gone` after the receiver answered 410.
        previous_secret_until_ms: How long the secret before the last rotation is in force; None if
            there was no rotation.
    """

    customer_id: str
    url: str
    kinds: tuple[str, ...]
    state: str
    created_ms: int
    changed_ms: int
    previous_secret_until_ms: int | None


class StoredWebhook(msgspec.Struct, frozen=True):
    """A row of webhook."""

    customer_id: str
    url: str
    kinds: str
    state: str
    created_ms: int
    changed_ms: int
    secret_ciphertext: bytes
    previous_ciphertext: bytes | None
    previous_until_ms: int | None

    def __repr__(self) -> str:  # without the ciphertexts, and what a URL may hold
        return f"StoredWebhook({self.customer_id!r}, {self.state!r})"

    def shown(self) -> Webhook:
        """Return what the operator sees."""
        return Webhook(
            self.customer_id,
            self.url,
            tuple(self.kinds.split(",")),
            self.state,
            self.created_ms,
            self.changed_ms,
            self.previous_until_ms,
        )


async def find(store: Store, customer_id: str) -> StoredWebhook | None:
    """Return the webhook of a customer, None if there is none."""
    rows = await store.fetch("webhook_find", {"customer_id": customer_id})
    return as_struct(StoredWebhook, rows[0]) if rows else None


def reencrypt_secrets(again: Reencrypt) -> Transaction[tuple[str, int]]:
    """Encrypt the secrets of every webhook under the newest master key: a step of its rotation."""
    rows = yield Statement("webhook_list", {})
    for row in rows:
        webhook = as_struct(StoredWebhook, row)
        owner = secret_owner(webhook.customer_id)
        yield Statement(
            "webhook_reencrypt",
            {
                "customer_id": webhook.customer_id,
                "secret_ciphertext": again(webhook.secret_ciphertext, owner),
                "previous_ciphertext": again(webhook.previous_ciphertext, owner),
            },
        )
    return "webhooks", len(rows)
