"""The operator's commands on webhooks: where the events of a customer are delivered.

A customer has at most one webhook. A function that changes one raises EntryNotFound if there is
none.

Source: docs/operating/webhooks.md.
"""

from collections.abc import Sequence
from typing import Any, Final

import httpx2
import msgspec

from openpns import limits
from openpns.accounts import customers
from openpns.accounts.master_key import lock_key_check
from openpns.accounts.secret_box import SecretBox
from openpns.clock import Clock
from openpns.core import usage
from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.deliveries.rows import StoredWebhook, Webhook, find
from openpns.deliveries.signature import new_secret, secret_owner
from openpns.deliveries.urls import parse_url
from openpns.deliveries.wire import ACTIVE, DISABLED, KINDS
from openpns.errors import ConfigError, EntryNotFound
from openpns.storage.store import Row, Statement, Store, Transaction, as_struct
from openpns.webhooks.signature import is_secret

STATES: Final = (ACTIVE, DISABLED)
"""The states that `set_state` sets."""

COUNTED_MAX: Final = 10_000
"""`get_usage` counts no further."""

GRACE_MS_MAX: Final = 30 * limits.DAY_MS
"""How long the old secret is in force after a rotation, at most."""

_REMOVE: Final = "webhooks.remove"

DELETED_EACH: Final = 1000
"""Deliveries that one transaction of `remove` deletes, so that other writes do not wait long."""


class NewSecret(msgspec.Struct, frozen=True, rename="camel"):
    """A webhook's new secret, which is never shown again."""

    customer_id: str
    url: str
    secret: str

    def __repr__(self) -> str:
        return f"NewSecret({self.customer_id!r})"


class Usage(msgspec.Struct, frozen=True):
    """Deliveries of a customer; the counts stop at `COUNTED_MAX`.

    Attributes:
        oldest_pending_ms: When the event of the oldest pending one occurred; None if there is none.
    """

    pending: int
    failed: int
    oldest_pending_ms: int | None


async def get(store: Store, customer_id: str) -> StoredWebhook:
    """Return the webhook of a customer.

    Raises:
        EntryNotFound: The customer does not exist, or has none.
    """
    await customers.get(store, customer_id)
    found = await find(store, customer_id)
    if found is None:
        raise _no_webhook(customer_id)
    return found


async def list_webhooks(store: Store) -> list[Webhook]:
    """Return the webhooks of all customers, by customer."""
    return [as_struct(StoredWebhook, row).shown() for row in await store.fetch("webhook_list", {})]


async def get_usage(store: Store, customer_id: str) -> Usage:
    """Return how many deliveries of a customer are pending and failed."""
    params = {"customer_id": customer_id, "at_most": COUNTED_MAX}
    return as_struct(Usage, (await store.fetch("delivery_usage", params))[0])


async def set_webhook(
    store: Store,
    secret_box: SecretBox,
    clock: Clock,
    customer_id: str,
    url: str,
    kinds: Sequence[str] | None = None,
    *,
    http_allowed: bool = False,
    secret: str | None = None,
) -> tuple[Webhook, NewSecret | None]:
    """Set where the events of a customer are delivered; return the webhook and its new secret.

    The first time, a secret is made, and only this returns it. Later the secret stays; a webhook
    that is gone becomes active, one that is disabled stays disabled.

    Args:
        kinds: Which events, of `wire.KINDS`; None for those it has, or all of a new one.
        http_allowed: Also allow an http:// URL.
        secret: That of a new webhook; None for a random one.

    Raises:
        ConfigError: The customer does not exist, or the URL, a kind or the secret is not allowed,
            or deliveries of a webhook that was removed are left.
    """
    origin = _origin(parse_url(url, http_allowed=http_allowed))
    chosen = None if kinds is None else _join_kinds(kinds)
    secret = new_secret() if secret is None else _check_secret(secret)
    now_ms = clock()

    def steps() -> Transaction[OperatorEffect[tuple[Webhook, NewSecret | None]]]:
        yield from customers.must_exist(customer_id)
        yield from lock_key_check(secret_box)
        one: dict[str, Any] = {"customer_id": customer_id}
        ciphertext = secret_box.encrypt(secret.encode(), secret_owner(customer_id))
        row = one | {"url": url, "kinds": chosen or ",".join(KINDS), "now_ms": now_ms}
        is_new = bool((yield Statement("webhook_create", row | {"secret_ciphertext": ciphertext})))
        if is_new:
            # Else they would be sent to this webhook.
            if (yield Statement("webhook_deliveries_find", one)):
                raise ConfigError(
                    f"customer {customer_id}: deliveries of its removed webhook are left; delete "
                    "them first with: openpns webhooks remove"
                )
        else:
            before = yield from _lock(customer_id)
            yield Statement("webhook_change", row | {"kinds": chosen or before.kinds})
        webhook = (yield from _read(customer_id)).shown()
        details = {"url": origin, "kinds": webhook.kinds, "isNew": is_new}
        made = NewSecret(customer_id, url, secret) if is_new else None
        return OperatorEffect((webhook, made), customer_id, details=details)

    return await commit_as_operator(store, "webhooks.set", steps)


async def set_state(store: Store, clock: Clock, customer_id: str, state: str) -> Webhook:
    """Make a webhook active or disabled.

    While it is disabled nothing is sent. Events that occur meanwhile are stored as failed. If the
    webhook has the state already, nothing is changed and there is no audit entry.

    Raises:
        EntryNotFound: The customer does not exist, or has no webhook.
    """
    now_ms = clock()

    def steps() -> Transaction[OperatorEffect[Webhook]]:
        before = yield from _lock(customer_id)
        if before.state == state:
            return OperatorEffect(before.shown(), customer_id, is_change=False)
        changed = {"customer_id": customer_id, "state": state, "now_ms": now_ms}
        yield Statement("webhook_set_state", changed)
        webhook = (yield from _read(customer_id)).shown()
        return OperatorEffect(webhook, customer_id, details={"before": before.state})

    action = {ACTIVE: "webhooks.enable", DISABLED: "webhooks.disable"}
    return await commit_as_operator(store, action[state], steps)


async def remove(store: Store, customer_id: str) -> int:
    """Delete the webhook of a customer and all its deliveries; return how many there were.

    The webhook is deleted first: from then on no attempt begins and no event is stored. A run that
    was interrupted can be repeated.

    Raises:
        EntryNotFound: The customer does not exist, or has neither a webhook nor deliveries.
    """
    one: dict[str, Any] = {"customer_id": customer_id}

    def begin() -> Transaction[OperatorEffect[None]]:
        yield from customers.must_exist(customer_id)
        rows = yield Statement("webhook_delete", one)
        if not rows and not (yield Statement("webhook_deliveries_find", one)):
            raise _no_webhook(customer_id)
        details = {"url": _origin(httpx2.URL(rows[0][0]))} if rows else {}
        return OperatorEffect(None, customer_id, details=details, is_change=bool(rows))

    def delete_some() -> Transaction[OperatorEffect[int]]:
        some = one | {"at_most": DELETED_EACH}
        count = len((yield Statement("webhook_deliveries_delete", some)))
        if count:
            yield usage.add(customer_id, usage.DELIVERIES, -count)
        return OperatorEffect(
            count, customer_id, details={"deliveries": count}, is_change=count > 0
        )

    await commit_as_operator(store, _REMOVE, begin)
    total = 0
    while count := await commit_as_operator(store, _REMOVE, delete_some):
        total += count
    return total


async def rotate_secret(
    store: Store,
    secret_box: SecretBox,
    clock: Clock,
    customer_id: str,
    grace_ms: int,
    *,
    secret: str | None = None,
) -> NewSecret:
    """Give a webhook a new secret; for grace_ms, events are signed with the old one as well.

    Args:
        grace_ms: From 0 to `GRACE_MS_MAX`.
        secret: The new one; None for a random one.

    Raises:
        ConfigError: The customer does not exist or has no webhook, or the time or the secret is not
            allowed.
    """
    if not 0 <= grace_ms <= GRACE_MS_MAX:
        raise ConfigError(
            f"grace: allowed are 0 to {GRACE_MS_MAX // limits.DAY_MS} days: until its end, whoever "
            "has the old secret can imitate events"
        )
    now_ms = clock()
    secret = new_secret() if secret is None else secret
    return await replace_secret(
        store, secret_box, customer_id, secret, now_ms=now_ms, until_ms=now_ms + grace_ms
    )


async def replace_secret(
    store: Store,
    secret_box: SecretBox,
    customer_id: str,
    secret: str,
    *,
    now_ms: int,
    until_ms: int,
) -> NewSecret:
    """Give a webhook this secret; until a time, events are signed with the old one as well.

    Args:
        until_ms: In ms since 1970 UTC; it may have passed, as that of a stored state.

    Raises:
        ConfigError: The customer does not exist or has no webhook, or the secret is not allowed.
    """
    secret = _check_secret(secret)

    def steps() -> Transaction[OperatorEffect[NewSecret]]:
        yield from lock_key_check(secret_box)
        before = yield from _lock(customer_id)
        params = {
            "customer_id": customer_id,
            "secret_ciphertext": secret_box.encrypt(secret.encode(), secret_owner(customer_id)),
            "previous_until_ms": until_ms,
            "now_ms": now_ms,
        }
        yield Statement("webhook_rotate", params)
        made = NewSecret(customer_id, before.url, secret)
        return OperatorEffect(made, customer_id, details={"previousUntilMs": until_ms})

    return await commit_as_operator(store, "webhooks.rotateSecret", steps)


async def rotate_back(store: Store, before: StoredWebhook) -> None:
    """Undo a rotation: use the secrets that the webhook had, an older one until its own end.

    Args:
        before: The webhook as it was.

    Raises:
        ConfigError: Its secrets have changed since the rotation.
    """
    customer_id = before.customer_id

    def steps() -> Transaction[OperatorEffect[None]]:
        if not (yield Statement("webhook_rotate_back", msgspec.structs.asdict(before))):
            raise ConfigError(f"the secrets of the webhook of {customer_id} have changed since")
        details = {"previousUntilMs": before.previous_until_ms}
        return OperatorEffect(None, customer_id, details=details)

    await commit_as_operator(store, "webhooks.rotateBack", steps)


def _origin(url: httpx2.URL) -> str:
    """Return a URL without its path and its query, which may be secrets."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _join_kinds(kinds: Sequence[str]) -> str:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ConfigError(f"kinds: allowed are {' and '.join(KINDS)}, with commas between them")
    return ",".join(kind for kind in KINDS if kind in kinds)


def _check_secret(secret: str) -> str:
    if not is_secret(secret):
        raise ConfigError("secret: allowed is whsec_ and the base64 of 24 to 64 bytes")
    return secret


def _lock(customer_id: str) -> Transaction[StoredWebhook]:
    """Lock the webhook of a customer, and return it: steps of a write."""
    yield from customers.must_exist(customer_id)
    yield Statement("webhook_lock", {"customer_id": customer_id})
    return (yield from _read(customer_id))


def _read(customer_id: str) -> Transaction[StoredWebhook]:
    rows: Sequence[Row] = yield Statement("webhook_find", {"customer_id": customer_id})
    if not rows:
        raise _no_webhook(customer_id)
    return as_struct(StoredWebhook, rows[0])


def _no_webhook(customer_id: str) -> EntryNotFound:
    return EntryNotFound(
        f"customer {customer_id}: has no webhook; set one with: openpns webhooks set"
    )
