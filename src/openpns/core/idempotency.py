"""At most once: a write with an idempotency key is carried out once; copies get its response.

A key is the client token that a write carries, the nonce that it was signed with or, for an access
key whose owner promises a ts of its own for each request, the signature. The record of a key is
written in the write's transaction, with the response. INSERT … ON CONFLICT waits for a concurrent
write with the same key; the one that loses rolls back and returns the winner's response.

Source: docs/api/README.md, "At most once"; docs/decisions/0023-at-most-once-by-client-token.md.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from openpns import limits
from openpns.core.context import Context, Services
from openpns.core.expiry import delete_expired
from openpns.errors import (
    ClientTokenReused,
    NonceReused,
    OutcomeUnknown,
    ReadFailed,
    ServiceUnavailable,
    TimestampExpired,
)
from openpns.storage.store import Row, Statement, Transaction

SIGNATURE_RECORD_MS: Final = 2 * limits.TS_SKEW_MS_MAX
"""How long after its ts a write is recorded by its signature or nonce. No server accepts the ts
after half of this time; the other half allows for nodes whose clocks differ."""

WRITE_LATE_MS_MAX: Final = limits.TS_SKEW_MS_MAX // 2
"""How long after its ts expired a waiting write may still be carried out. The rest of the time
until its record is deleted allows for clocks that differ."""

_SIGNATURE: Final = "signature:"
_NONCE: Final = "nonce:"
_REUSED: Final = (NonceReused.code, ClientTokenReused.code)
_UNREADABLE: Final = (
    "the write was carried out before, and its response cannot be read now; read before you send "
    "it again"
)


class IdempotencyKey(msgspec.Struct, frozen=True):
    """What makes one write recognisable.

    Attributes:
        key: Unique among the customer's writes that are still recorded.
        expires_ms: When the record may be deleted, in ms since 1970 UTC.
        fingerprint: A digest of the payload; empty if `key` depends on it already.
        action: For the error text.
    """

    key: str
    expires_ms: int
    fingerprint: str
    action: str

    def __repr__(self) -> str:
        """Return a text without the signature or token."""
        return f"IdempotencyKey(action={self.action!r})"


class Response(msgspec.Struct, frozen=True):
    """A response to a write: code 0 and the result as JSON, or an error's code and detail."""

    code: int
    answer: str


class DuplicateRequest(Exception):
    """A write with this idempotency key is recorded already; `missing` are its other keys."""

    def __init__(self, key: IdempotencyKey, missing: Sequence[IdempotencyKey]) -> None:
        super().__init__()
        self.key = key
        self.missing = missing


def keys_of(
    context: Context, action: str, payload: Mapping[str, Any], now_ms: int
) -> Sequence[IdempotencyKey]:
    """Return the idempotency keys of a write, none if it has none; `payload` as for `commit`."""
    request = context.request
    keys = []
    if request.nonce:
        key = f"{_NONCE}{context.principal.access_key}:{request.nonce}"
        # The time counts from the request, but a ts in the future may be replayed for longer.
        until_ms = max(request.ts_ms, now_ms) + SIGNATURE_RECORD_MS
        keys.append(IdempotencyKey(key, until_ms, f"{action}:{digest(payload)}", action))
    elif context.principal.unique_ts and request.signature:
        until_ms = request.ts_ms + SIGNATURE_RECORD_MS
        keys.append(IdempotencyKey(_SIGNATURE + request.signature, until_ms, "", action))
    if request.client_token:
        key = f"token:{action}:{request.client_token}"
        until_ms = now_ms + limits.CLIENT_TOKEN_MS
        keys.append(IdempotencyKey(key, until_ms, digest(payload), action))
    return keys


async def is_recorded(context: Context, action: str, payload: Mapping[str, Any]) -> bool:
    """Return whether a write with one of the request's idempotency keys was carried out.

    For a rule that does a part of its work before `commit`, which decides.
    """
    now_ms = context.clock()
    for key in keys_of(context, action, payload, now_ms):
        place = {"customer_id": context.customer_id, "idempotency_key": key.key}
        if await context.store.fetch("idempotency_record_find_live", place | {"now_ms": now_ms}):
            return True
    return False


def add_records(
    context: Context, keys: Sequence[IdempotencyKey], response: Response, now_ms: int
) -> list[Statement]:
    """Return the statements that record a response under each key; see `check_records`."""
    return [
        Statement(
            "idempotency_record_add",
            {
                "customer_id": context.customer_id,
                "idempotency_key": key.key,
                "fingerprint": key.fingerprint,
                "code": response.code,
                "answer": response.answer,
                "expires_ms": key.expires_ms,
                "now_ms": now_ms,
            },
        )
        for key in keys
    ]


def check_records(
    context: Context, keys: Sequence[IdempotencyKey], rows: Sequence[Sequence[Row]]
) -> None:
    """Make sure that the statements of `add_records`, which returned these rows, added all records.

    Raises:
        DuplicateRequest: A key is recorded already.
        TimestampExpired: The write waited so long that an earlier record of its signature or
            nonce may have been deleted.
    """
    added = [key for key, row in zip(keys, rows, strict=True) if row]
    for key in added:
        # The clock is read after no record was found: a process that was stopped for minutes since
        # it checked the ts may run this after a copy's record has expired.
        late_ms = context.request.ts_ms + limits.TS_SKEW_MS_MAX + WRITE_LATE_MS_MAX
        if key.key.startswith((_SIGNATURE, _NONCE)) and context.clock() > late_ms:
            raise TimestampExpired("the write waited too long; nothing was written")
    if len(added) < len(keys):
        recorded = next(key for key in keys if key not in added)
        raise DuplicateRequest(recorded, added)


async def record_response(
    context: Context, keys: Sequence[IdempotencyKey], response: Response, now_ms: int
) -> Response:
    """Record a response after its write was rolled back; return an earlier one if there is one.

    The same request could succeed later; its record makes sure that it gets this response.
    """

    def steps() -> Transaction[None]:
        rows = yield add_records(context, keys, response, now_ms)
        check_records(context, keys, rows)

    try:
        await context.store.write(steps, customer_id=context.customer_id)
    except DuplicateRequest as duplicate:
        return await replay(context, duplicate, now_ms)
    except OutcomeUnknown as error:
        # Whether the record exists is unknown, but the change itself was rolled back.
        raise ServiceUnavailable("the storage was lost; nothing was written") from error
    return response


async def replay(context: Context, duplicate: DuplicateRequest, now_ms: int) -> Response:
    """Return the response that is recorded under a key of a write.

    Its keys that are not recorded get the response as well. A nonce or signature may outlive the
    token that was found; a token may be sent first with a nonce that was used without it.
    """
    response = await find_response(context, duplicate.key)
    missing = duplicate.missing
    # A signature includes its token: that has expired. One that was refused for its nonce is free.
    if not duplicate.key.key.startswith(_NONCE) or response.code in _REUSED:
        missing = [key for key in missing if key.key.startswith((_SIGNATURE, _NONCE))]
    if not missing:
        return response
    return await record_response(context, missing, response, now_ms)


async def find_response(context: Context, key: IdempotencyKey) -> Response:
    """Return the response that is recorded under a key.

    If it answers another request: 19007 for a client token, 19013 for a nonce.

    Raises:
        OutcomeUnknown: It cannot be read.
    """
    place = {"customer_id": context.customer_id, "idempotency_key": key.key}
    try:
        rows = await context.store.fetch("idempotency_record_find", place)
    except (ServiceUnavailable, ReadFailed) as error:
        # "Nothing was written" would be wrong: the first request may have written something.
        raise OutcomeUnknown(_UNREADABLE) from error
    if not rows:  # it expired meanwhile
        raise OutcomeUnknown(_UNREADABLE)
    fingerprint, code, answer = rows[0]
    if fingerprint != key.fingerprint and key.key.startswith(_NONCE):
        return Response(
            NonceReused.code,
            "another write was sent with this nonce in the last two minutes; use a new random "
            "nonce for each request",
        )
    if fingerprint != key.fingerprint:
        return Response(
            ClientTokenReused.code,
            f"another {key.action} was sent with this clientToken in the last 24 hours; use a new "
            "clientToken for each write",
        )
    return Response(code, answer)


async def clean(services: Services) -> None:
    """Delete expired records."""
    await delete_expired(services, "idempotency_record_clean", {"now_ms": services.clock()})


def digest(payload: Mapping[str, Any]) -> str:
    """Return a digest of a payload; a field that a later version adds does not change it."""
    sent = {name: value for name, value in payload.items() if value is not None}
    return hashlib.sha256(msgspec.json.encode(sent, order="sorted")).hexdigest()
