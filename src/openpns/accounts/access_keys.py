"""Access keys: what signs a customer's calls. The operator's, without a wire action."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from openpns import limits
from openpns.accounts.customers import check_label, unknown_customer
from openpns.accounts.master_key import lock_key_check
from openpns.accounts.secret_box import SecretBox
from openpns.clock import Clock
from openpns.core import audit
from openpns.errors import ConfigError
from openpns.ids import new_access_key, new_access_secret
from openpns.storage.store import Row, Statement, Store, Transaction

_ACCESS_KEY: Final = re.compile(
    rf"[A-Za-z0-9_-]{{{limits.ACCESS_KEY_CHARS_MIN},{limits.ACCESS_KEY_CHARS_MAX}}}", re.ASCII
)
# Printable ASCII without the space: white space at the end of a secret is the classic mistake.
_ACCESS_SECRET: Final = re.compile(
    rf"[!-~]{{{limits.ACCESS_SECRET_CHARS_MIN},{limits.ACCESS_SECRET_CHARS_MAX}}}", re.ASCII
)

_CUSTOMER_ID: Final = 1
"""The place of the customer's id in a row that tells of a key."""

_NOTED: Final = {
    "expiresMs": "expires_ms",
    "sha256OnlySinceMs": "sha256_only_since_ms",
    "ratePerS": "rate_per_s",
    "rateBurst": "rate_burst",
    "readOnlyMs": "read_only_ms",
}
"""What the audit trail tells of a new key."""


class AccessKey(msgspec.Struct, frozen=True):
    """An access key as the operator sees it: without its secret."""

    accessKey: str  # noqa: N815
    customerId: str  # noqa: N815
    label: str
    createdMs: int  # noqa: N815
    expiresMs: int | None  # noqa: N815
    disabledMs: int | None  # noqa: N815
    previousSecretUntilMs: int | None  # noqa: N815
    sha256OnlySinceMs: int | None  # noqa: N815
    ratePerS: int | None  # noqa: N815
    rateBurst: int | None  # noqa: N815
    readOnlyMs: int | None  # noqa: N815


class NewSecret(msgspec.Struct, frozen=True):
    """An access key with the secret it was just given: the one time that it is shown."""

    accessKey: str  # noqa: N815
    accessSecret: str  # noqa: N815
    customerId: str  # noqa: N815

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return f"NewSecret(accessKey={self.accessKey!r}, customerId={self.customerId!r})"


class KnownKey(msgspec.Struct, frozen=True):
    """What checking a call needs to know of its access key."""

    access_key: str
    customer_id: str
    secret_ciphertext: bytes
    previous_ciphertext: bytes | None
    previous_until_ms: int | None
    expires_ms: int | None
    disabled_ms: int | None
    customer_disabled_ms: int | None
    sha256_only_since_ms: int | None
    version: int
    """The version of the customer's data: another one after each change."""
    has_gaps: bool
    """Whether groups of the customer's were deleted."""
    rate_per_s: int | None
    """How many calls a second it may make, 0 for any number; None where it has no rate of its
    own."""
    rate_burst: int | None
    """How many of them may come at once; None for those of a second."""
    read_only_ms: int | None
    """From when on it may only read; None for one that may write."""

    def may_sign(self, now_ms: int) -> bool:
        """Tell whether the key may be used now: neither disabled nor expired.

        Args:
            now_ms: The time now.
        """
        return self.disabled_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)

    def secret_ciphertexts(self, now_ms: int) -> list[bytes]:
        """Return the sealed secrets that the key accepts now.

        That is its own and, for a while after a rotation, the one before it.

        Args:
            now_ms: The time now.
        """
        if self.previous_ciphertext is None or now_ms >= (self.previous_until_ms or 0):
            return [self.secret_ciphertext]
        return [self.secret_ciphertext, self.previous_ciphertext]


async def find(store: Store, access_key: str) -> KnownKey | None:
    """Return what checking a call needs to know of its access key; None for an unknown one.

    Args:
        store: The database.
        access_key: The header accessKey.
    """
    row = await store.get_cached("key_find", access_key)
    return None if row is None else KnownKey(*row)


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
) -> NewSecret:
    """Create an access key for a customer; its secret is returned this once only.

    Args:
        store: The database.
        secret_box: Seals the secret.
        clock: The wall clock.
        customer_id: The customer.
        access_key: 4 to 64 letters, digits, `_` and `-`; generated where None.
        access_secret: 8 to 128 printable ASCII characters without spaces; generated where None.
        label: A note for people; at most 128 characters.
        expires_ms: From when on the key is refused; None for never.
        sha256_only: Whether md5 signatures are refused.
        rate_per_s: How many calls a second it may make, 0 for any number; None for the server's
            own rate.
        rate_burst: How many of them may come at once, where it has a rate; None for those of a
            second.
        read_only: Whether it may only read.

    Raises:
        ConfigError: A value is not allowed, the customer is unknown, or the key is taken.
    """
    name = access_key if access_key is not None else new_access_key()
    secret = access_secret if access_secret is not None else new_access_secret()
    now = clock()
    _check(name, secret)
    check_label("label", label, limits.LABEL_CHARS_MAX)
    _check_expires(expires_ms, now)
    _check_rate(rate_per_s, rate_burst)
    key = {
        "access_key": name,
        "customer_id": customer_id,
        "label": label,
        "now_ms": now,
        "expires_ms": expires_ms,
        "sha256_only_since_ms": now if sha256_only else None,
        "rate_per_s": rate_per_s,
        "rate_burst": rate_burst,
        "read_only_ms": now if read_only else None,
    }

    def steps() -> Transaction[None]:
        if not (yield Statement("customer_list", {"customer_id": customer_id})):
            raise unknown_customer(customer_id)
        yield from lock_key_check(secret_box)
        sealed = {"secret_ciphertext": secret_box.seal(secret.encode(), name)}
        if not (yield Statement("key_create", key | sealed)):
            raise ConfigError(f"access key {name} is there already")
        changed = {shown: key[column] for shown, column in _NOTED.items()}
        yield audit.operator_entry(customer_id, "keys.create", name, changed)

    await store.write(steps)
    return NewSecret(name, secret, customer_id)


async def find_all(store: Store, customer_id: str | None = None) -> list[AccessKey]:
    """Return every access key, or those of one customer, oldest first.

    Args:
        store: The database.
        customer_id: The customer; None for all.
    """
    rows = await store.fetch("key_list", {"customer_id": customer_id})
    return [AccessKey(*row) for row in rows]


async def disable(store: Store, access_key: str, now_ms: int | None) -> AccessKey:
    """Disable a key from now on, or enable it.

    Args:
        store: The database.
        access_key: The key.
        now_ms: The time now; None enables.

    Raises:
        ConfigError: There is no such key.
    """

    def steps() -> Transaction[Row]:
        params = {"access_key": access_key, "now_ms": now_ms}
        action = "keys.enable" if now_ms is None else "keys.disable"
        return (yield from _change(Statement("key_disable", params), action))

    return AccessKey(*await store.write(steps))


async def require_sha256(store: Store, access_key: str, now_ms: int | None) -> AccessKey:
    """Refuse a key's md5 signatures from now on, or accept them again.

    Args:
        store: The database.
        access_key: The key.
        now_ms: The time now; None accepts them.

    Raises:
        ConfigError: There is no such key.
    """

    def steps() -> Transaction[Row]:
        params = {"access_key": access_key, "now_ms": now_ms}
        action = "keys.allowMd5" if now_ms is None else "keys.requireSha256"
        return (yield from _change(Statement("key_require_sha256", params), action))

    return AccessKey(*await store.write(steps))


async def set_rate(
    store: Store, access_key: str, rate_per_s: int | None, rate_burst: int | None
) -> AccessKey:
    """Change how many calls a key may make, from its next call on.

    Args:
        store: The database.
        access_key: The key.
        rate_per_s: How many a second, 0 for any number; None for the server's own rate.
        rate_burst: How many of them may come at once, where it has a rate; None for those of a
            second.

    Raises:
        ConfigError: A value is not allowed, or there is no such key.
    """
    _check_rate(rate_per_s, rate_burst)

    def steps() -> Transaction[Row]:
        params = {"access_key": access_key, "rate_per_s": rate_per_s, "rate_burst": rate_burst}
        changed = {"ratePerS": rate_per_s, "rateBurst": rate_burst}
        return (yield from _change(Statement("key_set_rate", params), "keys.setRate", changed))

    return AccessKey(*await store.write(steps))


async def expire(store: Store, clock: Clock, access_key: str, expires_ms: int | None) -> AccessKey:
    """Change when a key expires.

    Args:
        store: The database.
        clock: The wall clock.
        access_key: The key.
        expires_ms: From when on the key is refused, a time in the future; None for never.

    Raises:
        ConfigError: The time is past, or there is no such key.
    """
    _check_expires(expires_ms, clock())

    def steps() -> Transaction[Row]:
        params = {"access_key": access_key, "expires_ms": expires_ms}
        changed = {"expiresMs": expires_ms}
        return (yield from _change(Statement("key_expire", params), "keys.expire", changed))

    return AccessKey(*await store.write(steps))


async def rotate(
    store: Store, secret_box: SecretBox, clock: Clock, access_key: str, grace_ms: int
) -> NewSecret:
    """Give a key a new secret; the old one is accepted for a while longer.

    Args:
        store: The database.
        secret_box: Seals the secret.
        clock: The wall clock.
        access_key: The key.
        grace_ms: For how long the old secret is accepted; 0 refuses it at once.

    Raises:
        ConfigError: There is no such key.
    """
    secret = new_access_secret()
    until_ms = clock() + grace_ms

    def steps() -> Transaction[Row]:
        yield from lock_key_check(secret_box)
        params = {
            "access_key": access_key,
            "secret_ciphertext": secret_box.seal(secret.encode(), access_key),
            "previous_until_ms": until_ms,
        }
        changed = {"previousUntilMs": until_ms}
        return (yield from _change(Statement("key_rotate", params), "keys.rotate", changed))

    return NewSecret(access_key, secret, (await store.write(steps))[_CUSTOMER_ID])


def _change(
    statement: Statement, action: str, changed: Mapping[str, object] | None = None
) -> Transaction[Row]:
    """Change a key, and enter it in the audit trail; return the key's row."""
    access_key = statement.params["access_key"]
    rows = yield statement
    if not rows:
        raise ConfigError(f"access key {access_key!r}: there is none; openpns keys list shows all")
    yield audit.operator_entry(rows[0][_CUSTOMER_ID], action, access_key, changed)
    return rows[0]


def _check_expires(expires_ms: int | None, now_ms: int) -> None:
    if expires_ms is not None and expires_ms <= now_ms:
        raise ConfigError("expires: allowed is a time in the future")


def _check_rate(per_s: int | None, burst: int | None) -> None:
    if per_s is not None and not 0 <= per_s <= limits.RATE_MAX:
        raise ConfigError(
            f"rate per second: allowed are 0 to {limits.RATE_MAX}; 0 for any number of calls"
        )
    if burst is None:
        return
    if not per_s:
        raise ConfigError("rate burst: allowed only beside a rate per second above 0")
    if not 1 <= burst <= limits.RATE_MAX:
        raise ConfigError(f"rate burst: allowed are 1 to {limits.RATE_MAX}")


def _check(access_key: str, access_secret: str) -> None:
    if not _ACCESS_KEY.fullmatch(access_key):
        raise ConfigError(
            f"access key {access_key!r}: allowed are {limits.ACCESS_KEY_CHARS_MIN} to "
            f"{limits.ACCESS_KEY_CHARS_MAX} letters, digits, _ and -"
        )
    if not _ACCESS_SECRET.fullmatch(access_secret):
        raise ConfigError(
            f"access secret: allowed are {limits.ACCESS_SECRET_CHARS_MIN} to "
            f"{limits.ACCESS_SECRET_CHARS_MAX} printable ASCII characters without spaces"
        )
