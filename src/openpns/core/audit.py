"""The audit trail: who changed what and when, written in the transaction of the change.

An entry holds counts and, of at most a few phones, some digits; never a whole phone, a name, a
remark or a secret.

Source: docs/decisions/0020-audit-in-the-same-transaction.md.
"""

import os
import pwd
import secrets
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cache
from typing import Any, Final

import msgspec

from openpns.clock import now_ms
from openpns.core.context import Context
from openpns.errors import ReadFailed
from openpns.storage.store import Row, Statement, Store, Transaction, as_struct

NO_CUSTOMER: Final = ""
"""The customer of entries that are about no single customer."""

CUSTOMER_CREATED: Final = "customers.create"
"""The action of the first entry of each customer."""

UNBOUNDED: Final = 2**62
"""A time in ms, and a number of entries, that is never reached."""

_ITSELF: Final = "openpns"
"""The operator of entries that no person has caused."""

_ROWS_EACH: Final = 256

_encode: Final = msgspec.json.Encoder().encode


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """An entry as the operator sees it.

    Attributes:
        actor: An access key, `operator:` with the user and machine of a command, or
            `operator:openpns` for what openpns does by itself.
        access_key: The key that signed, or that the command was about.
        subject: What was changed, such as a groupId.
    """

    at_ms: int
    customer_id: str | None
    actor: str
    access_key: str | None
    action: str
    subject: str | None
    request_id: str | None
    details: dict[str, Any]


class Filter(msgspec.Struct, frozen=True):
    """Which entries to read; None does not restrict."""

    since_ms: int = 0
    until_ms: int = UNBOUNDED
    customer_id: str | None = None
    access_key: str | None = None
    action: str | None = None
    subject: str | None = None
    at_most: int = UNBOUNDED


def entry(context: Context, at_ms: int, action: str, subject: str, details: Any) -> Statement:
    """Return the statement that adds the entry of a principal's write.

    `details` is a struct or a dict; never a name, a secret or a whole phone.
    """
    return _add(
        context.customer_id,
        at_ms,
        action,
        details,
        access_key=context.principal.access_key,
        subject=subject,
        request_id=context.request.request_id or None,
    )


def operator_entry(
    customer_id: str, action: str, access_key: str | None = None, details: Any = None
) -> Statement:
    """Return the statement that adds the entry of an operator's command.

    `customer_id` and `access_key` are those that it is about; NO_CUSTOMER for none or all.
    """
    return _add(
        customer_id, now_ms(), action, details or {}, operator=_operator(), access_key=access_key
    )


def own_entry(customer_id: str, action: str, details: Any) -> Statement:
    """Return the statement that adds the entry of a change that openpns makes by itself."""
    return _add(customer_id, now_ms(), action, details, operator=_ITSELF)


async def record(store: Store, action: str, details: Any) -> None:
    """Add an entry for a command that replaced or changed a database as a whole."""

    def steps() -> Transaction[None]:
        yield operator_entry(NO_CUSTOMER, action, details=details)

    await store.write(steps)


async def find(store: Store, wanted: Filter) -> AsyncGenerator[Sequence[Entry], None]:
    """Return entries in slices, newest first."""
    params = msgspec.structs.asdict(wanted)
    async with aclosing(store.stream("audit_list", params, _ROWS_EACH)) as slices:
        async for rows in slices:
            yield [_as_entry(row) for row in rows]


def _add(
    customer_id: str,
    at_ms: int,
    action: str,
    details: Any,
    **columns: str | None,
) -> Statement:
    row: dict[str, Any] = {
        "customer_id": customer_id,
        "at_ms": at_ms,
        "entry_id": secrets.randbits(63),
        "action": action,
        "operator": None,
        "access_key": None,
        "subject": None,
        "request_id": None,
        "details": _encode(details).decode(),
    }
    return Statement("audit_add", row | columns)


@cache
def _operator() -> str:
    """Return who runs this process, and on which machine: `alice@host`."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's user may have no name
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"


def _as_entry(row: Row) -> Entry:
    customer_id, at_ms, action, operator, access_key, subject, request_id, details = row
    actor = access_key if operator is None else f"operator:{operator}"
    try:
        read = msgspec.json.decode(details)
    except (TypeError, msgspec.DecodeError):
        raise ReadFailed("an audit entry is damaged") from None
    values = (at_ms, customer_id or None, actor, access_key, action, subject, request_id, read)
    return as_struct(Entry, values)
