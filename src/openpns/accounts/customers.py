"""Customers: who owns number groups and access keys. The operator's, without a wire action."""

import re
from typing import Final

import msgspec

from openpns import limits
from openpns.clock import Clock
from openpns.core import audit
from openpns.errors import ConfigError
from openpns.ids import new_revision
from openpns.storage.store import Statement, Store, Transaction

_CUSTOMER_ID: Final = re.compile(
    rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{limits.CUSTOMER_ID_CHARS_MAX - 1}}}", re.ASCII
)


class Customer(msgspec.Struct, frozen=True):
    """A customer as the operator sees it."""

    customerId: str  # noqa: N815
    name: str
    createdMs: int  # noqa: N815
    disabledMs: int | None  # noqa: N815
    groupCount: int  # noqa: N815


async def create(store: Store, clock: Clock, customer_id: str, name: str) -> Customer:
    """Create a customer.

    Args:
        store: The database.
        clock: The wall clock.
        customer_id: Its id, for good: 1 to 64 letters, digits, `_`, `.` and `-`.
        name: A name for people; at most 128 characters.

    Raises:
        ConfigError: The id or the name is not allowed, or the id is taken.
    """
    if not _CUSTOMER_ID.fullmatch(customer_id):
        raise ConfigError(
            f"customer id {customer_id!r}: allowed are 1 to {limits.CUSTOMER_ID_CHARS_MAX} "
            "letters, digits, _ . and -, the first one a letter or digit"
        )
    check_label("name", name, limits.CUSTOMER_NAME_CHARS_MAX)
    now = clock()

    def steps() -> Transaction[None]:
        customer = {"customer_id": customer_id, "name": name, "now_ms": now}
        if not (yield Statement("customer_create", customer)):
            raise ConfigError(f"customer {customer_id} is there already")
        counter = {"customer_id": customer_id, "revision": new_revision()}
        yield Statement("customer_state_create", counter)
        yield audit.operator_entry(customer_id, "customers.create")

    await store.write(steps)
    return Customer(customer_id, name, now, None, 0)


async def find_all(store: Store) -> list[Customer]:
    """Return every customer, oldest first.

    Args:
        store: The database.
    """
    return [Customer(*row) for row in await store.fetch("customer_list", {"customer_id": None})]


async def get(store: Store, customer_id: str) -> Customer:
    """Return a customer.

    Args:
        store: The database.
        customer_id: Its id.

    Raises:
        ConfigError: There is none with this id.
    """
    rows = await store.fetch("customer_list", {"customer_id": customer_id})
    if not rows:
        raise unknown_customer(customer_id)
    return Customer(*rows[0])


async def disable(store: Store, customer_id: str, now_ms: int | None) -> Customer:
    """Disable a customer from now on, or enable it: its keys answer 1005 until then.

    Args:
        store: The database.
        customer_id: Its id.
        now_ms: The time now; None enables.

    Raises:
        ConfigError: There is none with this id.
    """

    def steps() -> Transaction[None]:
        if not (
            yield Statement("customer_disable", {"customer_id": customer_id, "now_ms": now_ms})
        ):
            raise unknown_customer(customer_id)
        action = "customers.enable" if now_ms is None else "customers.disable"
        yield audit.operator_entry(customer_id, action)

    await store.write(steps)
    return await get(store, customer_id)


def unknown_customer(customer_id: str) -> ConfigError:
    """Return the error for a customer that is not there.

    Args:
        customer_id: What the operator typed.
    """
    return ConfigError(
        f"customer {customer_id!r}: there is none with this id; openpns customers list shows all"
    )


def check_label(what: str, text: str, chars_max: int) -> None:
    """Make sure that a text for people is short and has no control characters.

    Args:
        what: What it is, for the error text.
        text: The text.
        chars_max: How many characters it may have.

    Raises:
        ConfigError: It is too long or has control characters.
    """
    if len(text) > chars_max or not text.isprintable():
        raise ConfigError(f"{what}: allowed are at most {chars_max} printable characters")
