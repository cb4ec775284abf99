"""Customers: the owners of number groups and access keys. The operator manages them."""

import re
from typing import Final

import msgspec

from openpns import limits
from openpns.clock import Clock
from openpns.core.audit import CUSTOMER_CREATED
from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.errors import ConfigError, EntryNotFound
from openpns.ids import new_revision
from openpns.storage.store import Statement, Store, Transaction, as_struct

_CUSTOMER_ID: Final = re.compile(
    rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{limits.CUSTOMER_ID_CHARS_MAX - 1}}}", re.ASCII
)


class Customer(msgspec.Struct, frozen=True, rename="camel"):
    """A customer as the operator sees it; a quota of None is that of the server's settings.

    An audio is the URL of a WAV file that is played to callers of the customer's virtual numbers;
    empty or None for the engine's own tone.
    """

    customer_id: str
    name: str
    created_ms: int
    disabled_ms: int | None
    group_count: int
    group_quota: int | None = None
    phone_quota: int | None = None
    byte_quota: int | None = None
    binding_quota: int | None = None
    call_record_quota: int | None = None
    delivery_quota: int | None = None
    audio_when_call_fail: str | None = None
    audio_when_dtmf_err: str | None = None
    audio_when_dtmf_need: str | None = None


async def create(store: Store, clock: Clock, customer_id: str, name: str) -> Customer:
    """Create a customer.

    Raises:
        ConfigError: The id is not 1 to 64 letters, digits, `_`, `.` and `-`, the name has more than
            128 characters, or the id is taken.
    """
    if not _CUSTOMER_ID.fullmatch(customer_id):
        raise ConfigError(
            f"customer id {customer_id!r}: allowed are 1 to {limits.CUSTOMER_ID_CHARS_MAX} "
            "letters, digits, _ . and -, the first one a letter or digit"
        )
    check_label("name", name, limits.CUSTOMER_NAME_CHARS_MAX)
    now = clock()

    def steps() -> Transaction[OperatorEffect[Customer]]:
        customer = {"customer_id": customer_id, "name": name, "now_ms": now}
        if not (yield Statement("customer_create", customer)):
            raise ConfigError(f"customer {customer_id} exists already")
        state = {"customer_id": customer_id, "revision": new_revision()}
        yield Statement("customer_state_create", state)
        return OperatorEffect(Customer(customer_id, name, now, None, 0), customer_id)

    return await commit_as_operator(store, CUSTOMER_CREATED, steps)


async def list_customers(store: Store) -> list[Customer]:
    """Return every customer, oldest first."""
    rows = await store.fetch("customer_list", {"customer_id": None})
    return [as_struct(Customer, row) for row in rows]


async def get(store: Store, customer_id: str) -> Customer:
    """Return a customer.

    Raises:
        EntryNotFound: The customer does not exist.
    """
    rows = await store.fetch("customer_list", {"customer_id": customer_id})
    if not rows:
        raise _unknown_customer(customer_id)
    return as_struct(Customer, rows[0])


async def disable(store: Store, customer_id: str, now_ms: int | None) -> Customer:
    """Disable a customer from now on, so that its keys get 1005; None enables it.

    Raises:
        EntryNotFound: The customer does not exist.
    """

    def steps() -> Transaction[OperatorEffect[None]]:
        customer = {"customer_id": customer_id, "now_ms": now_ms}
        if not (yield Statement("customer_disable", customer)):
            raise _unknown_customer(customer_id)
        return OperatorEffect(None, customer_id)

    action = "customers.enable" if now_ms is None else "customers.disable"
    await commit_as_operator(store, action, steps)
    return await get(store, customer_id)


async def set_quotas(
    store: Store,
    customer_id: str,
    *,
    groups: int | None,
    phones: int | None,
    num_bytes: int | None,
    bindings: int | None = None,
    call_records: int | None = None,
    deliveries: int | None = None,
) -> Customer:
    """Give a customer quotas of its own, from its next write on.

    0 is no quota, None the quota of the server's settings. What is stored beyond a new quota stays.

    Raises:
        ConfigError: The customer does not exist, or a value is not from 0 to 2^62.
    """
    quotas = {
        "group_quota": groups,
        "phone_quota": phones,
        "byte_quota": num_bytes,
        "binding_quota": bindings,
        "call_record_quota": call_records,
        "delivery_quota": deliveries,
    }
    for quota in quotas.values():
        if quota is not None and not 0 <= quota <= limits.QUOTA_MAX:
            raise ConfigError(f"quota: allowed are 0 to {limits.QUOTA_MAX}; 0 for no quota")

    def steps() -> Transaction[OperatorEffect[None]]:
        stored = {name: limits.QUOTA_MAX if quota == 0 else quota for name, quota in quotas.items()}
        if not (yield Statement("customer_set_quota", {"customer_id": customer_id, **stored})):
            raise _unknown_customer(customer_id)
        details = {"groups": groups, "phones": phones, "bytes": num_bytes, "bindings": bindings}
        details |= {"callRecords": call_records, "deliveries": deliveries}
        return OperatorEffect(None, customer_id, details=details)

    await commit_as_operator(store, "customers.setQuota", steps)
    return await get(store, customer_id)


def must_exist(customer_id: str) -> Transaction[None]:
    """Raise EntryNotFound if a customer does not exist: a step of a write."""
    if not (yield Statement("customer_list", {"customer_id": customer_id})):
        raise _unknown_customer(customer_id)


def _unknown_customer(customer_id: str) -> EntryNotFound:
    return EntryNotFound(
        f"customer {customer_id!r}: not found; openpns customers list shows all of them"
    )


def check_label(what: str, text: str, chars_max: int) -> None:
    """Raise ConfigError if a text for people is too long or has control characters."""
    if len(text) > chars_max or not text.isprintable():
        raise ConfigError(f"{what}: allowed are at most {chars_max} printable characters")
