"""The audit trail: who changed what and when, written in the transaction of the change.

An entry tells how many numbers came and went, and of at most a few of them some digits; never a
whole number, a name, a remark or a secret.

Source: docs/decisions/0020-audit-in-the-same-transaction.md.
"""

import os
import pwd
import secrets
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cache, partial
from typing import Any, Final

import msgspec

from openpns import limits
from openpns.clock import now_ms
from openpns.core.context import Caller
from openpns.storage.store import Row, Statement, Store, Transaction

NO_CUSTOMER: Final = ""
"""Whose entries those are that are about no single customer."""

NO_BOUND: Final = 2**62
"""A time, and a number of entries, that is never reached."""

_ROWS_EACH: Final = 256
_HEAD_DIGITS_MAX: Final = 7
_TAIL_DIGITS: Final = 2
_MASKED_DIGITS: Final = 4

_encode: Final = msgspec.json.Encoder().encode


class Changed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a write did to groups."""

    groups: int = 0
    added: int = 0
    removed: int = 0
    renamed: bool = False
    phones: Sequence[str] = ()
    """Some digits of the first few numbers that the request names."""


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """An entry as the operator sees it."""

    at_ms: int
    customer_id: str | None
    actor: str
    """An access key, or `operator:` and who ran a command on which machine."""
    access_key: str | None
    """The key that called, or that the command was about."""
    action: str
    subject: str | None
    request_id: str | None
    details: dict[str, Any]


class Wanted(msgspec.Struct, frozen=True):
    """Which entries are looked for; None does not narrow them down."""

    since_ms: int = 0
    until_ms: int = NO_BOUND
    customer_id: str | None = None
    access_key: str | None = None
    action: str | None = None
    subject: str | None = None
    at_most: int = NO_BOUND


def mask(number: str) -> str:
    """Return a phone number as it may stand in an entry: 8613800****00.

    Args:
        number: Its digits.
    """
    hidden_and_tail = _MASKED_DIGITS + _TAIL_DIGITS
    head = min(_HEAD_DIGITS_MAX, max(0, len(number) - hidden_and_tail))
    stars = max(0, len(number) - head - _TAIL_DIGITS)
    return number[:head] + "*" * stars + number[-_TAIL_DIGITS:]


def numbers(
    phones: Sequence[str], *, added: int = 0, removed: int = 0, is_renamed: bool = False
) -> Changed:
    """Return what a write did to a group.

    Args:
        phones: The numbers that the request names.
        added: How many numbers came.
        removed: How many went.
        is_renamed: Whether it may have another name or remark now.
    """
    some = tuple(mask(phone) for phone in phones[: limits.AUDIT_PHONES_MAX])
    return Changed(added=added, removed=removed, renamed=is_renamed, phones=some)


def entry(caller: Caller, at_ms: int, action: str, subject: str, changed: Changed) -> Statement:
    """Return the step that adds the entry of a caller's write, to be run in its transaction.

    Args:
        caller: Who asked, by which request.
        at_ms: The time now.
        action: What was done, such as `createGroup`.
        subject: To which group.
        changed: To which numbers.
    """
    return _add(
        caller.customer_id,
        at_ms,
        action,
        access_key=caller.access_key,
        subject=subject,
        request_id=caller.request_id or None,
        details=_encode(changed).decode(),
    )


def operator_entry(
    customer_id: str, action: str, access_key: str | None = None, details: Any = None
) -> Statement:
    """Return the step that adds the entry of an operator's command, in its transaction.

    Args:
        customer_id: Whom it is about; NO_CUSTOMER for nobody, or all.
        action: What was done, such as `keys.disable`.
        access_key: The key that it is about, if any.
        details: What changed: a struct or a dict; never a secret, a name or a number.
    """
    return _add(
        customer_id,
        now_ms(),
        action,
        operator=_operator(),
        access_key=access_key,
        details=_encode(details or {}).decode(),
    )


async def note(store: Store, action: str, details: Any) -> None:
    """Add an entry for an operator's command that changed a database as a whole.

    Args:
        store: The database.
        action: What was done, such as `database.restore`.
        details: What changed: a struct or a dict.
    """

    def steps() -> Transaction[None]:
        yield operator_entry(NO_CUSTOMER, action, details=details)

    await store.write(steps)


async def find(store: Store, wanted: Wanted) -> AsyncGenerator[Sequence[Entry], None]:
    """Return entries in slices, the newest first.

    Args:
        store: The database.
        wanted: Which ones.
    """
    params = msgspec.structs.asdict(wanted)
    async with aclosing(store.stream("audit_list", params, _ROWS_EACH)) as slices:
        async for rows in slices:
            yield [_as_entry(row) for row in rows]


async def prune(store: Store, before_ms: int) -> int:
    """Delete the entries from before a time, and add an entry that says so; return how many.

    Each transaction deletes a bounded number, so that writes need not wait for all of them.

    Args:
        store: The database.
        before_ms: The time; not in the future.
    """
    customers = [row[0] for row in await store.fetch("audit_customers", {"before_ms": before_ms})]
    pruned = 0
    for customer_id in customers:
        while deleted := await store.write(partial(_prune, customer_id, before_ms)):
            pruned += deleted
    return pruned


def _prune(customer_id: str, before_ms: int) -> Transaction[int]:
    yield Statement("audit_prune_begin", {"before_ms": before_ms})
    deleted = yield Statement(
        "audit_prune",
        {
            "customer_id": customer_id,
            "before_ms": before_ms,
            "at_most": limits.AUDIT_PRUNE_AT_ONCE,
        },
    )
    yield Statement("audit_prune_end", {})
    if deleted:
        details = {"beforeMs": before_ms, "entries": len(deleted)}
        yield operator_entry(customer_id, "audit.prune", details=details)
    return len(deleted)


def _add(
    customer_id: str,
    at_ms: int,
    action: str,
    *,
    operator: str | None = None,
    access_key: str | None = None,
    subject: str | None = None,
    request_id: str | None = None,
    details: str,
) -> Statement:
    return Statement(
        "audit_add",
        {
            "customer_id": customer_id,
            "at_ms": at_ms,
            "entry_id": secrets.randbits(63),
            "action": action,
            "operator": operator,
            "access_key": access_key,
            "subject": subject,
            "request_id": request_id,
            "details": details,
        },
    )


@cache
def _operator() -> str:
    """Return who runs this process, and where: `alice@host`."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # in a container, a user need not have a name
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"


def _as_entry(row: Row) -> Entry:
    customer_id, at_ms, action, operator, access_key, subject, request_id, details = row
    return Entry(
        at_ms=at_ms,
        customer_id=customer_id or None,
        actor=access_key if operator is None else f"operator:{operator}",
        access_key=access_key,
        action=action,
        subject=subject,
        request_id=request_id,
        details=msgspec.json.decode(details),
    )
