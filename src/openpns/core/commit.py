"""The commit path of every write: one transaction.

Source: docs/decisions/0025-one-commit-path.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from openpns.core import audit, idempotency, outbox
from openpns.core.context import Context
from openpns.core.idempotency import DuplicateRequest, IdempotencyKey, Response
from openpns.core.outbox import Event
from openpns.errors import WIRE_ERRORS, InternalError, QuotaExceeded, WireError
from openpns.ids import new_revision
from openpns.storage.store import BatchKey, Statement, Store, Transaction

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Effect(Generic[ResultT]):
    """What a rule's steps did.

    Attributes:
        result: What the rule returns; msgspec can write it as JSON.
        subject: What was changed, such as a groupId.
        details: The details of the audit entry: a struct or a dict; no name, no secret and no
            whole phone.
        last: The last statements, whose rows the steps do not need: they share a round trip with
            those of the commit path.
        counts: The parameters of `SCOPE_revision_change` besides customer and revision: what it
            adds to the counts of the customer.
        is_revised: Whether the steps have run `SCOPE_revision_change` themselves.
        is_change: Whether they changed anything; if not, the write owes only its record.
        events: What the customer's webhook is to be sent.
    """

    result: ResultT
    subject: str
    details: Any
    last: Sequence[Statement] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    is_revised: bool = False
    is_change: bool = True
    events: Sequence[Event] = ()


_QUOTAS: Final = {
    "groups": "quotas of groups, numbers and bytes",
    "bindings": "quota of bindings",
}
"""The quotas of each scope, for the text of an error."""


@dataclass(frozen=True, slots=True)
class OperatorEffect(Generic[ResultT]):
    """What the steps of an operator's command did; see `Effect` and `audit.operator_entry`.

    Without `is_change` there is no audit entry.
    """

    result: ResultT
    customer_id: str
    access_key: str | None = None
    details: Any = None
    is_change: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)


async def commit(
    context: Context,
    action: str,
    steps: Callable[[], Transaction[Effect[ResultT]]],
    *,
    scope: str | None,
    payload: Mapping[str, Any],
    result: Any = NoneType,
    dry_run: bool = False,
    kind: str = "",
    resources: Sequence[str] = (),
) -> ResultT:
    """Carry out a write once; return its result, or that of the first request with its key.

    The steps lock the rows of their resource. The customer's row, which all writes of a customer
    share, is locked with the last statements, so that it is locked briefly. What several resources
    share, such as other counts, and what several requests share, such as idempotency keys, is
    locked after it. Only steps that need its values, such as a seq, lock it first.

    Args:
        steps: The rule's own statements; called again for another attempt of the storage. Those of
            a dry run only read: they return the `last` statements, which are not run.
        scope: The resource that changes: its `SCOPE_revision_change` invalidates cached pages. None
            if no cached page shows what changes, and no count does.
        payload: The normalised fields of the request, by their names on the wire, without
            clientToken and dryRun; None is a missing field.
        result: The type of the result, to read it from the record of an earlier request.
        dry_run: Write nothing, and return the result, or raise the error, that a commit would have.
            It reads one snapshot, and neither waits for a write nor delays one.
        kind: A part of the action, for the audit entry: `add` makes `updateGroup.add`.
        resources: The ids of the resources that the steps change, so that the write may share a
            transaction with others of this action and kind: see `BatchKey`. None of them if it runs
            alone, because it changes many rows, or resources that its first step does not lock.

    Raises:
        WireError: The steps refuse the write, or the first request with its key was refused.
        ClientTokenReused: The client token was sent with another payload.
        OutcomeUnknown: The storage was lost during the commit.
    """
    customer_id = context.customer_id
    if dry_run:
        return await context.store.read(
            lambda: _preview(customer_id, steps, scope), customer_id=customer_id
        )
    now_ms = context.clock()
    name = f"{action}.{kind}" if kind else action
    keys = idempotency.keys_of(context, action, payload, now_ms)

    def transaction() -> "Transaction[ResultT]":  # quoted: else it is evaluated for each write
        effect = yield from steps()
        yield from _complete(context, name, effect, scope, keys, now_ms)
        return effect.result

    batch_key = BatchKey(f"{customer_id} {name}", tuple(resources)) if resources else None
    try:
        return await context.store.write(transaction, customer_id=customer_id, batch_key=batch_key)
    except DuplicateRequest as duplicate:
        response = await idempotency.replay(context, duplicate, now_ms)
    except WireError as error:
        if not (keys and error.is_recorded):
            raise
        refusal = Response(error.code, error.detail)
        response = await idempotency.record_response(context, keys, refusal, now_ms)
    if response.code:
        raise WIRE_ERRORS.get(response.code, InternalError)(response.answer)
    return cast("ResultT", msgspec.json.decode(response.answer, type=result))


def _complete(
    context: Context,
    name: str,
    effect: Effect[Any],
    scope: str | None,
    keys: Sequence[IdempotencyKey],
    now_ms: int,
) -> Transaction[None]:
    """Run the last statements of a rule, and with them what every write owes."""
    last = [*effect.last]
    revised = scope if effect.is_change and not effect.is_revised else None
    if revised:  # first, so that it locks before the others
        last.insert(0, change_revision(context.customer_id, revised, effect.counts))
    if effect.is_change:
        last.append(audit.entry(context, now_ms, name, effect.subject, effect.details))
    for event in effect.events:
        last += outbox.add_counted(context.customer_id, event, now_ms)
    if keys:
        answer = msgspec.json.encode(effect.result).decode()
        last += idempotency.add_records(context, keys, Response(0, answer), now_ms)
    rows = (yield last) if last else ()
    if revised and not rows[0]:
        raise quota_exceeded(revised)
    if keys:
        idempotency.check_records(context, keys, rows[-len(keys) :])


def _preview(
    customer_id: str, steps: Callable[[], Transaction[Effect[ResultT]]], scope: str | None
) -> Transaction[ResultT]:
    """Run the steps of a dry run, and refuse what the quotas of the customer would."""
    effect = yield from steps()
    if effect.is_change and scope:
        counts = {"customer_id": customer_id, **effect.counts}
        if not (yield Statement(f"{scope}_quota_find", counts)):
            raise quota_exceeded(scope)
    return effect.result


async def commit_as_operator(
    store: Store,
    action: str,
    steps: Callable[[], Transaction[OperatorEffect[ResultT]]],
    *,
    scope: str | None = None,
) -> ResultT:
    """Carry out an operator's command with its audit entry, in one transaction.

    `action` is the name in the audit entry, such as `keys.disable`, and `scope` the resource of the
    customer that changes, if any.
    """

    def transaction() -> Transaction[ResultT]:
        effect = yield from steps()
        if effect.is_change:
            entry = audit.operator_entry(
                effect.customer_id, action, effect.access_key, effect.details
            )
            if scope is None:
                yield entry
            else:
                yield [change_revision(effect.customer_id, scope, effect.counts), entry]
        return effect.result

    return await store.write(transaction)


def quota_exceeded(scope: str) -> QuotaExceeded:
    """Return the error of a write whose change of the revision was refused."""
    return QuotaExceeded(f"getLimits shows your {_QUOTAS[scope]}")


def change_revision(customer_id: str, scope: str, counts: Mapping[str, int]) -> Statement:
    """Return the statement that replaces the revision of a resource and adds to its counts.

    It also locks the customer's row. It returns no row, and changes nothing, if a count would grow
    past its quota: see `quota_exceeded`. `SCOPE_quota_find` returns no row then, either.
    """
    params = {"customer_id": customer_id, "revision": new_revision(), **counts}
    return Statement(f"{scope}_revision_change", params)
