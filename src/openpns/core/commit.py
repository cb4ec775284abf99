"""The commit path of every write: one transaction.

Source: docs/decisions/0025-one-commit-path.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, Generic, TypeVar, cast

import msgspec

from openpns.core import audit, idempotency
from openpns.core.context import Context
from openpns.core.idempotency import DuplicateRequest, Response
from openpns.errors import WIRE_ERRORS, InternalError, WireError
from openpns.ids import new_revision
from openpns.storage.store import Statement, Store, Transaction

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Effect(Generic[ResultT]):
    """What a rule's steps did.

    Attributes:
        result: What the rule returns; msgspec can write it as JSON.
        subject: What was changed, such as a groupId.
        details: The details of the audit entry: a struct or a dict; no name, no secret and no
            whole phone.
        kind: A part of the action, for the audit entry: `add` makes `updateGroup.add`.
    """

    result: ResultT
    subject: str
    details: Any
    kind: str = ""


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


class DryRunRollback(Exception):
    """A dry run is complete; its transaction is rolled back."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


async def commit(
    context: Context,
    action: str,
    steps: Callable[[], Transaction[Effect[ResultT]]],
    *,
    scope: str,
    payload: Mapping[str, Any],
    result: Any = NoneType,
    dry_run: bool = False,
    may_batch: bool = False,
) -> ResultT:
    """Carry out a write once; return its result, or that of the first request with its key.

    The steps lock the rows of their resource. The customer's revision comes last, so that its row,
    which all writes of a customer share, is locked briefly.

    Args:
        steps: The rule's own statements; called again for another attempt of the storage.
        scope: The resource that changes: its `SCOPE_revision_change` invalidates cached pages.
        payload: The normalised fields of the request, by their names on the wire, without
            clientToken and dryRun; None is a missing field.
        result: The type of the result, to read it from the record of an earlier request.
        dry_run: Roll back, and return the result that a commit would have.
        may_batch: The steps touch only rows of their own besides the row that their first
            statement locks, and are the same statements for each request: see `Store.write`.

    Raises:
        WireError: The steps refuse the write, or the first request with its key was refused.
        ClientTokenReused: The client token was sent with another payload.
        OutcomeUnknown: The storage was lost during the commit.
    """
    now_ms = context.clock()
    keys = () if dry_run else idempotency.keys_of(context, action, payload, now_ms)

    def transaction() -> Transaction[ResultT]:
        effect = yield from steps()
        if dry_run:
            raise DryRunRollback(effect.result)
        if keys:
            answer = msgspec.json.encode(effect.result).decode()
            yield from idempotency.record(context, keys, Response(0, answer), now_ms)
        name = f"{action}.{effect.kind}" if effect.kind else action
        yield audit.entry(context, now_ms, name, effect.subject, effect.details)
        # Events of an outbox belong here: in the transaction of their cause.
        yield _revise(context.customer_id, scope)
        return effect.result

    batch_key = f"{context.customer_id} {action} {len(keys)}" if may_batch else None
    try:
        return await context.store.write(transaction, batch_key=batch_key)
    except DryRunRollback as rollback:
        return cast("ResultT", rollback.result)
    except DuplicateRequest as duplicate:
        response = await idempotency.replay(context, keys, duplicate.key, now_ms)
    except WireError as error:
        if not (keys and error.is_recorded):
            raise
        refusal = Response(error.code, error.detail)
        response = await idempotency.record_response(context, keys, refusal, now_ms)
    if response.code:
        raise WIRE_ERRORS.get(response.code, InternalError)(response.answer)
    return cast("ResultT", msgspec.json.decode(response.answer, type=result))


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
            yield audit.operator_entry(
                effect.customer_id, action, effect.access_key, effect.details
            )
            if scope is not None:
                yield _revise(effect.customer_id, scope)
        return effect.result

    return await store.write(transaction)


def _revise(customer_id: str, scope: str) -> Statement:
    revision = {"customer_id": customer_id, "revision": new_revision()}
    return Statement(f"{scope}_revision_change", revision)
