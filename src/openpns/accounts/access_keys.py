"""Access keys: what signs a customer's requests. The operator manages them; no action does.

A function that changes a key raises ConfigError if the key does not exist.
"""

import math
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final

import msgspec

from openpns.accounts import key_values
from openpns.accounts.customers import must_exist
from openpns.accounts.master_key import lock_key_check
from openpns.accounts.secret_box import SecretBox
from openpns.clock import Clock
from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.core.principal import Principal
from openpns.errors import ConfigError, EntryNotFound
from openpns.ids import new_access_key, new_access_secret
from openpns.kit.networks import Networks
from openpns.protocol import signing
from openpns.storage.store import NamedRow, Row, Statement, Store, Transaction, as_struct

_CUSTOMER_ID: Final = 1
"""The index of the customer's id in the row that a statement returns for a changed key."""

_AUDITED: Final = {
    "expiresMs": "expires_ms",
    "sha256OnlySinceMs": "sha256_only_since_ms",
    "ratePerS": "rate_per_s",
    "rateBurst": "rate_burst",
    "readOnlyMs": "read_only_ms",
    "uniqueTsSinceMs": "unique_ts_since_ms",
    "hmacOnlySinceMs": "hmac_only_since_ms",
    "allowedAddresses": "allowed_addresses",
    "allowedActions": "allowed_actions",
}
"""The details of the audit entry of a new key, and their columns."""


class AccessKey(msgspec.Struct, frozen=True, rename="camel"):
    """An access key as the operator sees it: without its secret.

    Attributes:
        allowed_addresses: Addresses and networks, with commas between them; None for any.
        allowed_actions: Actions, with commas between them; None for every one.
        last_used_ms: About a minute exact; None if it was never used.
    """

    access_key: str
    customer_id: str
    label: str
    created_ms: int
    expires_ms: int | None
    disabled_ms: int | None
    previous_secret_until_ms: int | None
    sha256_only_since_ms: int | None
    rate_per_s: int | None
    rate_burst: int | None
    read_only_ms: int | None
    unique_ts_since_ms: int | None
    hmac_only_since_ms: int | None = None
    allowed_addresses: str | None = None
    allowed_actions: str | None = None
    last_used_ms: int | None = None


class NewSecret(msgspec.Struct, frozen=True, rename="camel"):
    """An access key with its new secret, which is never shown again."""

    access_key: str
    access_secret: str
    customer_id: str

    def __repr__(self) -> str:
        return f"NewSecret(access_key={self.access_key!r}, customer_id={self.customer_id!r})"


class Revisions(msgspec.Struct, frozen=True):
    """The revision of each resource of a customer: another random number after each change."""

    groups: int
    bindings: int


class SigningKey(msgspec.Struct, frozen=True):
    """What it takes to check a request that an access key signed.

    Attributes:
        secret_ciphertext: Its secret, encrypted.
        previous_ciphertext: The secret before the last rotation, accepted until previous_until_ms.
        customer_disabled_ms: Since when its customer is disabled; None if it is not.
        sha256_only_since_ms: Since when md5 signatures are refused; None if they are not.
        hmac_only_since_ms: Since when only HMAC signatures are accepted; None if others are, too.
        allowed_addresses: Where its requests may come from; None for anywhere.
    """

    principal: Principal
    revisions: Revisions
    secret_ciphertext: bytes
    previous_ciphertext: bytes | None = None
    previous_until_ms: int | None = None
    expires_ms: int | None = None
    disabled_ms: int | None = None
    customer_disabled_ms: int | None = None
    sha256_only_since_ms: int | None = None
    hmac_only_since_ms: int | None = None
    allowed_addresses: Networks | None = None

    def is_active(self, now_ms: int) -> bool:
        """Return whether the key is neither disabled nor expired."""
        return self.disabled_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


async def find(store: Store, access_key: str) -> SigningKey | None:
    """Return what it takes to check a request of this access key; None for an unknown one."""
    row = await find_row(store, access_key)
    return None if row is None else read_row(row)


def find_row(
    store: Store, access_key: str, since_s: float = math.inf
) -> Awaitable[NamedRow | None]:
    """Return the row of this access key; the same object, or an equal one, until it changes.

    It is not older than `since_s`; see `Store.get_cached`. By default it is read or checked now.
    """
    return store.get_cached("key_find", access_key, since_s)


def read_row(row: NamedRow) -> SigningKey:
    """Return what it takes to check a request of a row's access key."""
    addresses, actions = row["allowed_addresses"], row["allowed_actions"]
    return SigningKey(
        principal=Principal(
            access_key=row["access_key"],
            customer_id=row["customer_id"],
            is_read_only=row["read_only_ms"] is not None,
            rate_per_s=row["rate_per_s"],
            rate_burst=row["rate_burst"],
            unique_ts=row["unique_ts_since_ms"] is not None,
            allowed_actions=None if actions is None else frozenset(actions.split(",")),
            schemes=_schemes(row),
        ),
        revisions=Revisions(row["groups_revision"], row["bindings_revision"]),
        secret_ciphertext=row["secret_ciphertext"],
        previous_ciphertext=row["previous_ciphertext"],
        previous_until_ms=row["previous_until_ms"],
        expires_ms=row["expires_ms"],
        disabled_ms=row["disabled_ms"],
        customer_disabled_ms=row["customer_disabled_ms"],
        sha256_only_since_ms=row["sha256_only_since_ms"],
        hmac_only_since_ms=row["hmac_only_since_ms"],
        allowed_addresses=None if addresses is None else Networks(addresses),
    )


def _schemes(row: NamedRow) -> tuple[str, ...]:
    if row["hmac_only_since_ms"] is not None:
        return (signing.HMAC_SHA256,)
    return signing.SCHEMES if row["sha256_only_since_ms"] is None else signing.SCHEMES[1:]


async def create(
    store: Store,
    secret_box: SecretBox,
    clock: Clock,
    customer_id: str,
    *,
    access_key: str | None = None,
    access_secret: str | None = None,
    label: str = "",
    expires_ms: int | None = None,
    sha256_only: bool = False,
    rate_per_s: int | None = None,
    rate_burst: int | None = None,
    read_only: bool = False,
    unique_ts: bool = False,
    hmac_only: bool = False,
    allowed_addresses: Sequence[str] | None = None,
    allowed_actions: Sequence[str] | None = None,
) -> NewSecret:
    """Create an access key for a customer; only this returns its secret.

    Args:
        access_key: 4 to 64 letters, digits, `_` and `-`; generated if None.
        access_secret: 8 to 128 printable ASCII characters without spaces; generated if None.
        label: A note for people; at most 128 characters.
        expires_ms: When the key expires; None for never.
        sha256_only: Refuse md5 signatures.
        rate_per_s: Requests a second, 0 for no limit; None for the server's own rate.
        rate_burst: Requests at once, if it has a rate; None for those of a second.
        read_only: Refuse every action that writes.
        unique_ts: The key's owner promises that no two requests share a ts.
        hmac_only: Refuse signatures that are no HMAC.
        allowed_addresses: Addresses and networks that its requests may come from; None for any.
        allowed_actions: The actions that it may use, which exist; None for every one.

    Raises:
        ConfigError: A value is not allowed, the customer is unknown, or the key exists.
    """
    name = access_key if access_key is not None else new_access_key()
    secret = access_secret if access_secret is not None else new_access_secret()
    now = clock()
    key_values.check(name, secret, label, expires_ms, now)
    key_values.check_rate(rate_per_s, rate_burst)
    since = {False: None, True: now}
    key = {
        "access_key": name,
        "customer_id": customer_id,
        "label": label,
        "now_ms": now,
        "expires_ms": expires_ms,
        "rate_per_s": rate_per_s,
        "rate_burst": rate_burst,
        "allowed_addresses": key_values.addresses_text(allowed_addresses),
        "allowed_actions": key_values.actions_text(allowed_actions),
        "sha256_only_since_ms": since[sha256_only],
        "read_only_ms": since[read_only],
        "unique_ts_since_ms": since[unique_ts],
        "hmac_only_since_ms": since[hmac_only],
    }

    def steps() -> Transaction[OperatorEffect[NewSecret]]:
        yield from must_exist(customer_id)
        yield from lock_key_check(secret_box)
        ciphertext = {"secret_ciphertext": secret_box.encrypt(secret.encode(), name)}
        if not (yield Statement("key_create", key | ciphertext)):
            raise ConfigError(f"access key {name} exists already")
        created = NewSecret(name, secret, customer_id)
        return OperatorEffect(created, customer_id, name, _audited(key))

    return await commit_as_operator(store, "keys.create", steps)


def _audited(key: Mapping[str, object]) -> dict[str, object]:
    return {shown: key[column] for shown, column in _AUDITED.items()}


async def list_keys(store: Store, customer_id: str | None = None) -> list[AccessKey]:
    """Return the access keys of one customer, or of all if None; oldest first."""
    rows = await store.fetch("key_list", {"customer_id": customer_id, "access_key": None})
    return [as_struct(AccessKey, row) for row in rows]


async def disable(store: Store, access_key: str, now_ms: int | None) -> AccessKey:
    """Disable a key from now on; None enables it."""
    action = "keys.enable" if now_ms is None else "keys.disable"
    return await _set(store, action, "key_disable", access_key, {"now_ms": now_ms})


async def require_sha256(store: Store, access_key: str, now_ms: int | None) -> AccessKey:
    """Refuse a key's md5 signatures from now on; None accepts them."""
    action = "keys.allowMd5" if now_ms is None else "keys.requireSha256"
    return await _set(store, action, "key_require_sha256", access_key, {"now_ms": now_ms})


async def require_unique_ts(store: Store, access_key: str, now_ms: int | None) -> AccessKey:
    """Take a key's identical writes as copies from now on; None takes each as a request."""
    action = "keys.allowRepeatedTs" if now_ms is None else "keys.requireUniqueTs"
    return await _set(store, action, "key_require_unique_ts", access_key, {"now_ms": now_ms})


async def require_hmac(store: Store, access_key: str, now_ms: int | None) -> AccessKey:
    """Refuse a key's signatures that are no HMAC from now on; None accepts them."""
    action = "keys.allowDigests" if now_ms is None else "keys.requireHmac"
    return await _set(store, action, "key_require_hmac", access_key, {"now_ms": now_ms})


async def set_addresses(
    store: Store, access_key: str, addresses: Sequence[str] | None
) -> AccessKey:
    """Change where a key's requests may come from; the argument is that of `create`.

    Raises:
        ConfigError: A value is not allowed.
    """
    text = key_values.addresses_text(addresses)
    params, details = {"allowed_addresses": text}, {"allowedAddresses": text}
    return await _set(store, "keys.setAddresses", "key_set_addresses", access_key, params, details)


async def set_actions(store: Store, access_key: str, actions: Sequence[str] | None) -> AccessKey:
    """Change which actions a key may use; the argument is that of `create`.

    Raises:
        ConfigError: A value is not allowed.
    """
    text = key_values.actions_text(actions)
    params, details = {"allowed_actions": text}, {"allowedActions": text}
    return await _set(store, "keys.setActions", "key_set_actions", access_key, params, details)


async def set_rate(
    store: Store, access_key: str, rate_per_s: int | None, rate_burst: int | None
) -> AccessKey:
    """Change a key's rate, from its next request on; the arguments are those of `create`.

    Raises:
        ConfigError: A value is not allowed.
    """
    key_values.check_rate(rate_per_s, rate_burst)
    rate = {"rate_per_s": rate_per_s, "rate_burst": rate_burst}
    details = {"ratePerS": rate_per_s, "rateBurst": rate_burst}
    return await _set(store, "keys.setRate", "key_set_rate", access_key, rate, details)


async def expire(store: Store, clock: Clock, access_key: str, expires_ms: int | None) -> AccessKey:
    """Change when a key expires: a time in the future, or None for never.

    Raises:
        ConfigError: The time is past.
    """
    key_values.check_expires(expires_ms, clock())
    expires, details = {"expires_ms": expires_ms}, {"expiresMs": expires_ms}
    return await _set(store, "keys.expire", "key_expire", access_key, expires, details)


async def rotate(
    store: Store, secret_box: SecretBox, clock: Clock, access_key: str, grace_ms: int
) -> NewSecret:
    """Give a key a new secret; the old one stays accepted for grace_ms."""
    secret = new_access_secret()
    until_ms = clock() + grace_ms

    def steps() -> Transaction[OperatorEffect[NewSecret]]:
        yield from lock_key_check(secret_box)
        params = {
            "access_key": access_key,
            "secret_ciphertext": secret_box.encrypt(secret.encode(), access_key),
            "previous_until_ms": until_ms,
        }
        row = _only((yield Statement("key_rotate", params)), access_key)
        rotated = NewSecret(access_key, secret, row[_CUSTOMER_ID])
        return OperatorEffect(rotated, row[_CUSTOMER_ID], access_key, {"previousUntilMs": until_ms})

    return await commit_as_operator(store, "keys.rotate", steps)


async def rotate_back(store: Store, access_key: str, before: SigningKey) -> None:
    """Undo a rotation: accept the secrets that the key had, an older one until its own end.

    Args:
        before: The key as it was.

    Raises:
        ConfigError: Its secrets have changed since the rotation.
    """
    secrets = {
        "access_key": access_key,
        "secret_ciphertext": before.secret_ciphertext,
        "previous_ciphertext": before.previous_ciphertext,
        "previous_until_ms": before.previous_until_ms,
    }

    def steps() -> Transaction[OperatorEffect[None]]:
        rows = yield Statement("key_rotate_back", secrets)
        if not rows:
            raise ConfigError(f"the secrets of access key {access_key} have changed since")
        details = {"previousUntilMs": before.previous_until_ms}
        return OperatorEffect(None, rows[0][_CUSTOMER_ID], access_key, details)

    await commit_as_operator(store, "keys.rotateBack", steps)


async def get_secret(store: Store, secret_box: SecretBox, access_key: str) -> str:
    """Return the secret of a key."""
    found = await find(store, access_key)
    if found is None:
        raise _unknown_key(access_key)
    return secret_box.decrypt(found.secret_ciphertext, access_key).decode()


async def _set(
    store: Store,
    action: str,
    statement: str,
    access_key: str,
    params: Mapping[str, object],
    details: Mapping[str, object] | None = None,
) -> AccessKey:
    def steps() -> Transaction[OperatorEffect[AccessKey]]:
        _only((yield Statement(statement, {"access_key": access_key, **params})), access_key)
        one = {"customer_id": None, "access_key": access_key}
        key = AccessKey(*_only((yield Statement("key_list", one)), access_key))
        return OperatorEffect(key, key.customer_id, access_key, details)

    return await commit_as_operator(store, action, steps)


def _only(rows: Sequence[Row], access_key: str) -> Row:
    if not rows:
        raise _unknown_key(access_key)
    return rows[0]


def _unknown_key(access_key: str) -> EntryNotFound:
    return EntryNotFound(f"access key {access_key!r}: not found; openpns keys list shows all")
